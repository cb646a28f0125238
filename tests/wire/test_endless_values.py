"""Numbers and nesting without end, signed by a key that is known: refused by name, never a fault of ours."""

from datetime import UTC, datetime

import pytest

from gateway.wire.errors import InvalidClaims, InvalidRecord
from gateway.wire.jws import issue_jwt, verify_jwt
from gateway.wire.sd_jwt import issue_sd_jwt, verify_sd_jwt
from gateway.wire.signer import PrivateKeySigner

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SIGNER = PrivateKeySigner.generate("ES256")
CLAIMS = {"iss": "dwp", "aud": "council", "exp": int(NOW.timestamp()) + 60}


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("number", [10**400, -(10**400), 10**15, 1e300])
def test_a_time_that_no_calendar_has_is_refused(claim: str, number: float) -> None:
    token = issue_jwt({**CLAIMS, claim: number}, typ="test+jwt", signer=SIGNER)
    with pytest.raises(InvalidClaims):
        verify_jwt(
            token,
            keys=[SIGNER.public_jwk()],
            typ="test+jwt",
            algorithms=["ES256"],
            issuer="dwp",
            audience="council",
            now=NOW,
        )


@pytest.mark.parametrize("kind", ["list", "object"])
def test_a_value_nested_without_end_is_refused(kind: str) -> None:
    value: object = "deep"
    for _ in range(200):
        value = [value] if kind == "list" else {"in": value}
    record = issue_sd_jwt(CLAIMS, {"note": value}, signer=SIGNER, typ="test+sd-jwt")
    with pytest.raises(InvalidRecord, match="nested too deeply"):
        verify_sd_jwt(
            record,
            keys=[SIGNER.public_jwk()],
            typ="test+sd-jwt",
            algorithms=["ES256"],
            issuer="dwp",
            audience="council",
            now=NOW,
        )

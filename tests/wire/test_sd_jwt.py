import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sd_jwt.verifier import JWK, SDJWTVerifier

from gateway.errors import GatewayError
from gateway.wire.canonical import digest_b64
from gateway.wire.encoding import b64url_decode, b64url_encode
from gateway.wire.errors import InvalidClaims, InvalidJws, InvalidRecord, InvalidSignature
from gateway.wire.jws import issue_jwt, unverified_claims
from gateway.wire.keys import SIGNING_ALGORITHMS
from gateway.wire.sd_jwt import VerifiedRecord, issue_sd_jwt, keep_only, verify_sd_jwt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.statements import NOW

PROVIDER = PrivateKeySigner.generate("ES256")
TYP = "gateway-record+sd-jwt"
SECONDS = int(NOW.timestamp())
CLAIMS: dict[str, Any] = {
    "iss": "https://dwp.example",
    "aud": "E06000008",
    "sub": "one-time-handle",
    "jti": "exchange",
    "iat": SECONDS,
    "exp": SECONDS + 600,
}
FIELDS: dict[str, Any] = {
    "eligible": True,
    "tier": "full",
    "award": {"amount": "12.50", "weeks": [1, 2]},
    "nothing": None,
}


@pytest.mark.parametrize("value", [True, False, "é" * 40, "x" * 500])
def test_padded_disclosures_fill_blocks_and_read_as_others(value: object) -> None:
    fields = {**FIELDS, "padded": value}
    record = issue_sd_jwt(CLAIMS, fields, signer=PROVIDER, typ=TYP, padded=True)
    disclosures = record.split("~")[1:-1]
    assert [len(disclosure) % 256 for disclosure in disclosures] == [0] * len(fields)
    salts = [json.loads(b64url_decode(disclosure))[0] for disclosure in disclosures]
    assert len({salt[:22] for salt in salts}) == len(fields)
    assert verified(record).fields == fields
    # What travels in the clear stays small.
    assert len(issued({"eligible": True})) < len(
        issue_sd_jwt(CLAIMS, {"eligible": True}, signer=PROVIDER, typ=TYP, padded=True)
    )


def issued(fields: dict[str, Any] = FIELDS, **claims: Any) -> str:
    return issue_sd_jwt({**CLAIMS, **claims}, fields, signer=PROVIDER, typ=TYP)


def verified(record: str, **changes: Any) -> VerifiedRecord:
    arguments: dict[str, Any] = {
        "keys": [PROVIDER.public_jwk()],
        "typ": TYP,
        "algorithms": SIGNING_ALGORITHMS,
        "issuer": "https://dwp.example",
        "audience": "E06000008",
        "now": NOW,
        **changes,
    }
    return verify_sd_jwt(record, **arguments)


def disclosure(*parts: object) -> str:
    return b64url_encode(json.dumps(list(parts)).encode())


def signed_over(*disclosures: str, sd: object = None, shown: tuple[str, ...] | None = None, **claims: Any) -> str:
    """An SD-JWT truly signed by the provider over any disclosures, well formed or not."""
    digests = [digest_b64(item.encode()) for item in disclosures] if sd is None else sd
    token = issue_jwt({**CLAIMS, "_sd": digests, "_sd_alg": "sha-256", **claims}, typ=TYP, signer=PROVIDER)
    return "~".join((token, *(disclosures if shown is None else shown), ""))


def independently_verified(record: str) -> dict[str, Any]:
    key = JWK.from_json(json.dumps(PROVIDER.public_jwk()))
    payload: dict[str, Any] = SDJWTVerifier(record, lambda _issuer, _header: key).get_verified_payload()
    return payload


def test_every_field_comes_back_and_the_claims_stay_in_the_clear() -> None:
    record = verified(issued())
    assert record.fields == FIELDS
    assert record.claims == CLAIMS


def test_a_field_is_not_readable_without_its_disclosure() -> None:
    payload = unverified_claims(issued().split("~")[0])
    assert set(payload) == {*CLAIMS, "_sd", "_sd_alg"}
    assert "full" not in json.dumps(payload)


def test_digests_do_not_tell_the_order_of_fields_and_equal_values_look_different() -> None:
    first, second = issued(), issued()
    digests = unverified_claims(first.split("~")[0])["_sd"]
    assert digests == sorted(digests)
    assert not set(digests) & set(unverified_claims(second.split("~")[0])["_sd"])


def test_each_salt_has_128_bits_of_its_own() -> None:
    salts = [json.loads(b64url_decode(item))[0] for _ in range(20) for item in issued().split("~")[1:-1]]
    assert {len(b64url_decode(salt)) for salt in salts} == {16}
    assert len(set(salts)) == len(salts)


def test_dropping_fields_keeps_the_providers_signature_valid() -> None:
    record = verified(issued())
    kept = keep_only(record, ["tier", "eligible", "never-sent"])
    assert verified(kept).fields == {"eligible": True, "tier": "full"}
    assert verified(kept).issuer_jwt == record.issuer_jwt
    assert "award" not in independently_verified(kept)
    assert "amount" not in kept


def test_keeping_nothing_leaves_a_record_without_fields() -> None:
    assert verified(keep_only(verified(issued()), [])).fields == {}


def test_an_independent_verifier_reads_the_same() -> None:
    assert independently_verified(issued()) == {**CLAIMS, **FIELDS}


def test_the_disclosures_of_rfc_9901_section_5_1_match_its_digests() -> None:
    given_name = "WyIyR0xDNDJzS1F2ZUNmR2ZyeU5STjl3IiwgImdpdmVuX25hbWUiLCAiSm9obiJd"
    family_name = "WyJlbHVWNU9nM2dTTklJOEVZbnN4QV9BIiwgImZhbWlseV9uYW1lIiwgIkRvZSJd"
    digests = [
        "CrQe7S5kqBAHt-nMYXgc6bdt2SH5aTY1sU_M-PgkjPI",
        "TGf4oLbgwd5JQaHyKVQZU9UdGE0w5rtDsrZzfUaomLo",
        "jsu9yVulwQQlhFlM_3JlzMaSFzglhQG0DpfayQwLUK4",
    ]
    record = verified(signed_over(sd=digests, shown=(given_name, family_name)))
    assert record.fields == {"given_name": "John", "family_name": "Doe"}


def test_digests_without_a_disclosure_are_decoys_and_allowed() -> None:
    shown = disclosure("salt", "tier", "full")
    record = signed_over(sd=[digest_b64(b"decoy"), digest_b64(shown.encode())], shown=(shown,))
    assert verified(record).fields == {"tier": "full"}


def test_a_disclosure_the_issuer_did_not_sign_for_is_refused() -> None:
    with pytest.raises(InvalidRecord):
        verified(issued() + disclosure("salt", "award_amount", "1000") + "~")
    with pytest.raises(InvalidRecord):
        verified(issued() + "~")


def test_a_disclosure_of_another_record_is_refused() -> None:
    with pytest.raises(InvalidRecord):
        verified(issued().split("~")[0] + "~" + "~".join(issued().split("~")[1:]))


def test_a_disclosure_shown_twice_or_two_for_one_name_are_refused() -> None:
    one, other = disclosure("salt-1", "tier", "full"), disclosure("salt-2", "tier", "none")
    with pytest.raises(InvalidRecord):
        verified(signed_over(one, shown=(one, one)))
    with pytest.raises(InvalidRecord):
        verified(signed_over(one, other))


def test_a_repeated_digest_is_refused() -> None:
    one = disclosure("salt", "tier", "full")
    with pytest.raises(InvalidRecord):
        verified(signed_over(one, one, shown=(one,)))


@pytest.mark.parametrize(
    "name", ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "vct", "_sd", "_sd_alg", "..."]
)
def test_a_disclosure_cannot_state_a_registered_claim(name: str) -> None:
    with pytest.raises(InvalidRecord):
        verified(signed_over(disclosure("salt", name, "x")))
    with pytest.raises(InvalidRecord):
        issued({name: "x"})


def test_a_disclosure_cannot_replace_a_clear_claim() -> None:
    with pytest.raises(InvalidRecord):
        verified(signed_over(disclosure("salt", "tier", "full"), tier="none"))
    with pytest.raises(InvalidRecord):
        issued({"tier": "full"}, tier="none")


@pytest.mark.parametrize(
    "item",
    [
        b64url_encode(b"not json"),
        b64url_encode(b"{}"),
        b64url_encode(b'["salt","a"]'),
        b64url_encode(b'["salt","a",1,2]'),
        b64url_encode(b'[1,"a",1]'),
        b64url_encode(b'["salt",1,1]'),
        b64url_encode(b'["salt","a",{"x":1,"x":2}]'),
        b64url_encode(b'["salt","a",NaN]'),
        b64url_encode(b'["salt","a",{"_sd":[]}]'),
        b64url_encode(b'["salt","a",[{"...":"x"}]]'),
        b64url_encode(b"\xff"),
        "=",
        "AB",
    ],
)
def test_a_malformed_or_nested_disclosure_is_refused_though_it_was_signed_for(item: str) -> None:
    with pytest.raises(InvalidRecord):
        verified(signed_over(item))


@pytest.mark.parametrize(
    "claims",
    [
        {"_sd_alg": "sha-512"},
        {"_sd_alg": None},
        {"sd": "text"},
        {"sd": [1]},
        {"address": {"_sd": []}},
        {"nationalities": [{"...": "x"}]},
    ],
)
def test_a_payload_outside_the_profile_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecord):
        verified(signed_over(**claims))


@pytest.mark.parametrize(
    "change", [lambda text: text[:-1], lambda text: text + "e30.e30.AA", lambda text: text.split("~")[0]]
)
def test_a_key_binding_part_or_a_missing_tilde_is_refused(change: Any) -> None:
    with pytest.raises(InvalidRecord):
        verified(change(issued()))


def test_a_record_of_another_issuer_for_another_audience_or_time_or_kind_is_refused() -> None:
    record = issued()
    for error, changes in (
        (InvalidClaims, {"issuer": "https://hmrc.example"}),
        (InvalidClaims, {"audience": "E09000001"}),
        (InvalidClaims, {"now": NOW + timedelta(seconds=605)}),
        (InvalidClaims, {"now": NOW - timedelta(seconds=6)}),
        (InvalidJws, {"typ": "other+sd-jwt"}),
        (InvalidJws, {"keys": []}),
        (InvalidJws, {"algorithms": ["Ed25519"]}),
        (InvalidSignature, {"keys": [{**PrivateKeySigner.generate("ES256").public_jwk(), "kid": PROVIDER.key_id}]}),
    ):
        with pytest.raises(error):
            verified(record, **changes)


RECORD = issued()


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, len(RECORD) - 1), replacement=st.characters(min_codepoint=33, max_codepoint=126))
def test_no_character_of_a_record_can_be_changed(position: int, replacement: str) -> None:
    changed = RECORD[:position] + replacement + RECORD[position + 1 :]
    if changed != RECORD:
        with pytest.raises(GatewayError):
            verified(changed)


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).map(lambda name: f"f-{name}"),
        st.text() | st.integers() | st.none(),
        max_size=5,
    )
)
def test_any_fields_survive(fields: dict[str, Any]) -> None:
    assert verified(issued(fields)).fields == fields

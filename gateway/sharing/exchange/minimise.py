"""Keep only what was permitted, and only if it is what the service says it is."""

import re
from dataclasses import dataclass

from gateway.sharing.catalogue.services import Service
from gateway.sharing.exchange.attachments import Attachment
from gateway.sharing.exchange.provider_call import ProviderFailed, failed
from gateway.wire.canonical import digest_b64
from gateway.wire.keys import Jwk, public_members
from gateway.wire.sd_jwt import VerifiedRecord, keep_only

_SAFE_NAME = re.compile(r"[a-z0-9_]{1,64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimisedRecord:
    """The provider's SD-JWT with only the permitted disclosures; `withheld` names what was sent and dropped.

    `provider_jwt` is the part that the provider signed, which holds no value, and `provider_key` the public key (JWK)
    with which that was verified. `attachments` are the documents beside it that wait to be fetched.
    """

    sd_jwt: str
    provider_jwt: str
    provider_jwt_digest: str
    provider_key: Jwk
    disclosed: tuple[str, ...]
    withheld: tuple[str, ...]
    attachments: tuple[Attachment, ...] = ()


def minimise(
    record: VerifiedRecord, *, permitted: tuple[str, ...], service: Service
) -> MinimisedRecord | ProviderFailed:
    """Drop every field that was not permitted, then validate what is left against the service's schema."""
    missing = [name for name in permitted if name not in record.fields]
    if missing:
        return failed("provider_answer_invalid", f"{len(missing)} of the fields asked for are missing")
    problems = service.problems_in({name: record.fields[name] for name in permitted})
    if problems:
        return failed("provider_answer_invalid", "; ".join(problems))
    dropped = sorted(name for name in record.fields if name not in permitted)
    return MinimisedRecord(
        sd_jwt=keep_only(record, permitted),
        provider_jwt=record.issuer_jwt,
        provider_jwt_digest=digest_b64(record.issuer_jwt.encode()),
        provider_key=public_members(record.key),
        disclosed=permitted,
        # A provider chooses its field names; only plain ones may stand in a receipt.
        withheld=tuple(dict.fromkeys(name if _SAFE_NAME.match(name) else "(unnamed)" for name in dropped)),
    )

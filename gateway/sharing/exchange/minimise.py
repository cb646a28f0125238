"""Keep only what was permitted, and only if it is what the service says it is."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from gateway.sharing.catalogue.services import Service
from gateway.sharing.exchange.about import SAID_NOTHING, About
from gateway.sharing.exchange.checks import Plan
from gateway.sharing.exchange.documents.attachments import Attachment
from gateway.sharing.exchange.provider_call import ProviderFailed, failed
from gateway.wire.canonical import digest_b64
from gateway.wire.errors import ExpressionFailed
from gateway.wire.expressions import checked_result
from gateway.wire.keys import Jwk, public_members
from gateway.wire.sd_jwt import VerifiedRecord, keep_only
from gateway.wire.sealed_disclosures import SealedDisclosure

_SAFE_NAME = re.compile(r"[a-z0-9_]{1,64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimisedRecord:
    """The provider's SD-JWT with only the permitted disclosures; `withheld` names what was sent and dropped.

    `provider_jwt` is the part that the provider signed, which holds no value, and `provider_key` the public key (JWK)
    with which that was verified. `attachments` are the documents beside it that wait to be fetched, `checks` the
    gateway's own SD-JWT where it computed some. Where values are encrypted from end to end, the SD-JWT has no
    disclosures, and `encrypted` holds them.
    """

    sd_jwt: str
    provider_jwt: str
    provider_jwt_digest: str
    provider_key: Jwk
    disclosed: tuple[str, ...]
    withheld: tuple[str, ...]
    attachments: tuple[Attachment, ...] = ()
    checks: str | None = None
    encrypted: tuple[SealedDisclosure, ...] = ()

    @property
    def checks_jwt(self) -> str | None:
        """The part of `checks` that the gateway signed, which holds no result."""
        return self.checks.partition("~")[0] if self.checks is not None else None

    about: About = SAID_NOTHING
    """What the provider said of the person, to us alone."""


def minimise(record: VerifiedRecord, *, plan: Plan, service: Service) -> MinimisedRecord | ProviderFailed:
    """Drop every field that was not permitted, and hold what is used against the service's schema."""
    needed = (*plan.fetched, *(check.name for check in plan.there))
    missing = [name for name in needed if name not in record.fields]
    if missing:
        return failed("provider_answer_invalid", f"{len(missing)} of the fields asked for are missing")
    problems = service.problems_in({name: record.fields[name] for name in plan.fetched})
    if problems:
        return failed("provider_answer_invalid", "; ".join(problems))
    try:
        for check in plan.there:
            checked_result(record.fields[check.name], gives=check.gives)
    except ExpressionFailed:
        return failed("provider_answer_invalid", "a check gives what was not agreed")
    return _kept(record, plan=plan, sent=record.fields, sd_jwt=keep_only(record, plan.from_provider))


def minimise_sealed(
    record: VerifiedRecord, sealed: Sequence[SealedDisclosure], *, plan: Plan
) -> MinimisedRecord | ProviderFailed:
    """Drop every part that was not permitted, by its label: what is inside, and whether it is valid, is not seen."""
    sent = {part.field: part for part in sealed}
    missing = [name for name in plan.from_provider if name not in sent]
    if missing:
        return failed("provider_answer_invalid", f"{len(missing)} of the fields asked for are missing")
    kept = _kept(record, plan=plan, sent=sent, sd_jwt=keep_only(record, ()))
    return replace(kept, encrypted=tuple(sent[name] for name in plan.from_provider))


def _kept(record: VerifiedRecord, *, plan: Plan, sent: Collection[str], sd_jwt: str) -> MinimisedRecord:
    dropped = sorted(name for name in sent if name not in plan.from_provider)
    return MinimisedRecord(
        sd_jwt=sd_jwt,
        provider_jwt=record.issuer_jwt,
        provider_jwt_digest=digest_b64(record.issuer_jwt.encode()),
        provider_key=public_members(record.key),
        disclosed=plan.asked,
        # A provider chooses its field names; only plain ones may stand in a receipt.
        withheld=tuple(dict.fromkeys(name if _SAFE_NAME.match(name) else "(unnamed)" for name in dropped)),
    )

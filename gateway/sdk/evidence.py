"""Settle an exchange offline from one evidence file, and reveal one chosen field of it without the others.

The keys of the gateway must have been obtained beforehand, from the gateway or a party you trust. Every other key in
the file is believed because the gateway's receipt names its thumbprint or the digest of what holds it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gateway.clock import parse_rfc3339
from gateway.wire.agreement_texts import read_agreement_texts, texts_digest
from gateway.wire.canonical import canonical_json, digest_b64
from gateway.wire.contracts import AGREEMENT_TYP, CHECK_TYP, RECORD_TYP
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.evidence import Evidence, parse_evidence
from gateway.wire.jws import unverified_header, verify_detached_jws
from gateway.wire.keys import SIGNING_ALGORITHMS, Jwk, thumbprint
from gateway.wire.leaves import commitment, parse_leaf
from gateway.wire.proofs import ProvedStep, PublicKeys, require, step_named, verify_proof
from gateway.wire.receipts import Receipt, verify_receipt
from gateway.wire.sd_jwt import VerifiedRecord, verify_sd_jwt, without_disclosures

# What was signed then is judged as of then: that a record has ended since takes nothing from what it stated.
_ANY_TIME = int(timedelta(days=3650).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What the verifier has beside the file: what the consumer kept of its request body, and of the answer."""

    request: bytes | None = field(default=None, repr=False)
    record: str | None = field(default=None, repr=False)
    checks: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Evidence that holds: what each step proved, the receipt, the agreement's document, and what is revealed.

    `fields` are the revealed values by name; `details` those of the log's entry, None where the file has none.
    """

    steps: tuple[ProvedStep, ...]
    receipt: Receipt
    agreement: Mapping[str, Any] | None
    fields: Mapping[str, Any] = field(repr=False)
    details: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(slots=True, kw_only=True)
class _Case:
    """One file on its way through the steps."""

    evidence: Evidence
    receipt: Receipt
    public_keys: PublicKeys
    brought: Brought
    fields: dict[str, Any] = field(default_factory=dict, repr=False)
    agreement: Mapping[str, Any] | None = None

    @property
    def since_texts_are_kept(self) -> bool:
        """Whether the receipt is of a gateway that keeps all it names; older ones kept less."""
        return self.receipt.client_key is not None


def settle(file: bytes, public_keys: PublicKeys, *, brought: Brought | None = None) -> Settled:
    """Check an evidence file step by step; raises `ProofFailed` naming the first step that does not hold."""
    # 0. Read the file, believing nothing in it.
    evidence = load_evidence(file)
    # 1. to 5. The receipt is the gateway's, its entry is in the log.
    steps = verify_proof(
        evidence.proof, log_vkeys=public_keys.log_vkeys, receipt_keys=public_keys.keys, issuer=public_keys.issuer
    )
    receipt = verify_receipt(evidence.proof.receipt, keys=public_keys.keys)
    case = _Case(evidence=evidence, receipt=receipt, public_keys=public_keys, brought=brought or Brought())
    # 6. and on. Everything else in the file is what the receipt names.
    for number, name, check in CHECKS:
        with step_named(f"{number} {name}"):
            proved = check(case)
        if proved is not None:
            steps.append(ProvedStep(number=number, name=name, proved=proved))
    return Settled(
        steps=tuple(steps),
        receipt=receipt,
        agreement=case.agreement,
        fields=case.fields,
        details=None if evidence.details is None else evidence.details.values,
    )


def load_evidence(file: bytes) -> Evidence:
    """Read an evidence file, still unverified; raises `ProofFailed` when it is none."""
    with step_named("0 file"):
        return parse_evidence(file)


def load_brought(request: bytes | None, record: bytes | None) -> Brought:
    """Read what the consumer kept: `record` is a kept answer, the JSON of an answer, or an SD-JWT alone.

    A kept answer brings its request as well. Raises `ProofFailed` for anything else.
    """
    if record is None:
        return Brought(request=request)
    with step_named("0 record"):
        if not record.lstrip().startswith(b"{"):
            return Brought(request=request, record=record.decode("ascii", "replace").strip())
        members = parse_json_object(record)
        kept = {name: members.get(name) for name in ("request", "record", "checks")}
        require(all(isinstance(text, str | None) for text in kept.values()), "this is no answer that was kept")
        require(any(text is not None for text in kept.values()), "this is no answer that was kept")
        asked = kept["request"]
        return Brought(
            request=asked.encode() if request is None and asked is not None else request,
            record=kept["record"],
            checks=kept["checks"],
        )


def reveal(file: bytes, kept: Brought, fields: Sequence[str]) -> bytes:
    """Return the evidence with the disclosures of these fields and no others, taken from what the consumer kept.

    Verify the result before you hand it on. Raises `ProofFailed` when what was kept is of another exchange or lacks a
    field.
    """
    evidence = load_evidence(file)
    with step_named("0 record"):
        record = _disclosures(kept.record, signed=evidence.provider.jwt if evidence.provider else None)
        checks = _disclosures(kept.checks, signed=evidence.checks)
        missing = [name for name in fields if name not in {**record, **checks}]
        require(not missing, f"what was kept discloses no field {', '.join(missing)}")
    return evidence.revealing(
        record=tuple(record[name] for name in fields if name in record),
        checks=tuple(checks[name] for name in fields if name in checks and name not in record),
    ).encode()


def _disclosures(kept: str | None, *, signed: str | None) -> dict[str, str]:
    """Return disclosures by the name of their field, of a record whose signed part is this one."""
    if kept is None:
        return {}
    try:
        bare, by_name = without_disclosures(kept)
    except (IndexError, KeyError, TypeError) as error:
        raise MalformedInput("what was kept is no record") from error
    require(bare == f"{signed}~", "what was kept is of another exchange")
    return by_name


def _check_provider(case: _Case) -> str | None:
    """The provider signed these digests, for this consumer and this exchange, with the key that the receipt names."""
    receipt, part = case.receipt, case.evidence.provider
    if part is None:
        require(not case.evidence.record_disclosures, "values are revealed that no provider has signed")
        _require_named(case, receipt.provider_jwt_digest, "what the provider signed")
        return None
    require(digest_b64(part.jwt.encode()) == receipt.provider_jwt_digest, "the receipt names another answer")
    require(thumbprint(part.jwk) == receipt.provider_key, "the receipt names another key of the provider")
    record = _opened(case, part.jwt, case.evidence.record_disclosures, keys=[part.jwk])
    case.fields.update(record.fields)
    return f"{receipt.provider} signed what it answered for {receipt.consumer}, with the key {receipt.provider_key}"


def _check_checks(case: _Case) -> str | None:
    """The gateway signed the checks that it computed from that answer."""
    receipt, checks = case.receipt, case.evidence.checks
    if checks is None:
        require(not case.evidence.check_disclosures, "results are revealed that nobody has signed")
        _require_named(case, receipt.checks_digest, "the checks that the gateway signed")
        return None
    require(digest_b64(checks.encode()) == receipt.checks_digest, "the receipt names other checks")
    results = verify_sd_jwt(
        "~".join((checks, *case.evidence.check_disclosures, "")),
        keys=case.public_keys.keys,
        typ=CHECK_TYP,
        algorithms=SIGNING_ALGORITHMS,
        issuer=receipt.issuer,
        audience=receipt.consumer,
        now=_issued(receipt),
        leeway_seconds=_ANY_TIME,
    )
    _require_ours(results, receipt)
    case.fields.update(results.fields)
    return f"{receipt.issuer} signed what it computed from that answer"


def _check_agreement(case: _Case) -> str | None:
    """Both members signed this document, which the exchange was decided under."""
    receipt, texts = case.receipt, case.evidence.agreement
    if texts is None:
        _require_named(case, receipt.agreement_digest, "the agreement")
        return None
    require(texts_digest(texts) == receipt.agreement_digest, "the receipt names another text of the agreement")
    document, signatures = read_agreement_texts(texts)
    terms = parse_json_object(document)
    require(canonical_json(terms) == document, "the document is not canonical JSON")
    stated = (terms.get("reference"), terms.get("version"), terms.get("service"))
    require(
        stated == (receipt.agreement, receipt.agreement_version, receipt.service),
        "the document is not the agreement that the receipt names",
    )
    for signature in signatures.values():
        verify_detached_jws(
            signature.jws, document, keys=[signature.key], typ=AGREEMENT_TYP, algorithms=SIGNING_ALGORITHMS
        )
    members = sorted(signatures)
    parties = {receipt.consumer, receipt.provider}
    require(receipt.outcome != "disclosed" or parties <= set(members), "not both members have signed")
    case.agreement = terms
    signed = f"signed by {' and '.join(members)}" if members else "signed by nobody"
    return f"{receipt.agreement}.{receipt.agreement_version} was decided under, {signed}"


def _check_policy(case: _Case) -> str | None:
    """These are the rules and lists that decided."""
    receipt, texts = case.receipt, case.evidence.policy
    if texts is None:
        _require_named(case, receipt.policy_digest, "the policy")
        return None
    require(texts_digest(texts) == receipt.policy_digest, "the receipt names another policy")
    return f"the rules that decided are those of {receipt.policy_digest}"


def _check_details(case: _Case) -> str | None:
    """The log's entry commits to these details, and they tell the story of the receipt."""
    details, receipt = case.evidence.details, case.receipt
    if details is None:
        return None
    leaf = parse_leaf(case.evidence.proof.leaf)
    require(commitment(details.salt, details.values) == leaf.commitment, "the log's entry commits to other details")
    for name in ("request_digest", "provider_jwt_digest"):
        require(details.values.get(name) == getattr(receipt, name), f"details and receipt state different {name}")
    return "the log's entry commits to these details: who asked, for what, and why it was decided so"


def _check_disclosures(case: _Case) -> str | None:
    """What is revealed was disclosed then; that it was signed, the steps of its signer have proved."""
    if not case.fields:
        return None
    names = sorted(case.fields)
    require(set(names) <= set(case.receipt.fields_disclosed), "a field is revealed that was not disclosed")
    return f"revealed and signed for: {', '.join(names)}"


def _check_request(case: _Case) -> str | None:
    """The request that the consumer kept is the one that was answered."""
    request = case.brought.request
    if request is None:
        return None
    require(digest_b64(request) == case.receipt.request_digest, "the receipt names another request")
    return "the receipt names exactly the request you brought"


def _check_record(case: _Case) -> str | None:
    """The record that the consumer kept is the one that was disclosed, with every field of it."""
    brought, part, receipt = case.brought.record, case.evidence.provider, case.receipt
    _disclosures(case.brought.checks, signed=case.evidence.checks)
    if brought is None:
        return None
    require(part is not None, "nothing was disclosed in this exchange")
    signed, *disclosures = brought.removesuffix("~").split("~")
    require(part is not None and signed == part.jwt, "the record you brought is of another exchange")
    record = _opened(case, signed, tuple(disclosures), keys=[part.jwk] if part is not None else [])
    require(set(record.fields) <= set(receipt.fields_disclosed), "the record discloses more than the receipt says")
    return f"the record you brought is that of this exchange, with {', '.join(record.fields) or 'no field'}"


CHECKS: tuple[tuple[int, str, Callable[[_Case], str | None]], ...] = (
    (6, "answer", _check_provider),
    (7, "checks", _check_checks),
    (8, "agreement", _check_agreement),
    (9, "policy", _check_policy),
    (10, "details", _check_details),
    (11, "disclosures", _check_disclosures),
    (12, "request", _check_request),
    (13, "record", _check_record),
)


def _opened(case: _Case, jwt: str, disclosures: Sequence[str], *, keys: Sequence[Jwk]) -> VerifiedRecord:
    receipt = case.receipt
    # The thumbprint covers what makes the key; its name is the one in the signed header.
    named = [{**key, "kid": unverified_header(jwt).get("kid")} for key in keys]
    record = verify_sd_jwt(
        "~".join((jwt, *disclosures, "")),
        keys=named,
        typ=RECORD_TYP,
        algorithms=SIGNING_ALGORITHMS,
        issuer=receipt.provider or "",
        audience=receipt.consumer,
        now=_issued(receipt),
        leeway_seconds=_ANY_TIME,
    )
    _require_ours(record, receipt)
    return record


def _require_ours(record: VerifiedRecord, receipt: Receipt) -> None:
    stated = (record.claims.get("jti"), record.claims.get("sub"))
    require(stated == (receipt.exchange, receipt.handle), "it was signed for another exchange")


def _require_named(case: _Case, digest: str | None, what: str) -> None:
    """Refuse a file without a part that the receipt names; receipts of gateways that kept less name no client's key."""
    require(digest is None or not case.since_texts_are_kept, f"the receipt names {what}, which is missing")


def _issued(receipt: Receipt) -> datetime:
    try:
        return parse_rfc3339(receipt.issued_at)
    except (ValueError, OverflowError) as error:
        raise MalformedInput("the receipt's time is not one") from error

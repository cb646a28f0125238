"""The gateway's signed statement of one outcome, disclosure or refusal alike: it holds no value that was disclosed.

A receipt is a JWS (`typ` `gateway-receipt+jwt`) over RFC 8785 canonical JSON. Signed shapes only grow: a reader
tolerates members it does not know, and never gives an old member a new meaning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from gateway.wire.canonical import canonical_json
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import InvalidReceipt, MalformedInput
from gateway.wire.jws import issue_jws, verify_jws
from gateway.wire.keys import SIGNING_ALGORITHMS, Jwk
from gateway.wire.signer import Signer

RECEIPT_TYP = "gateway-receipt+jwt"

Decision = Literal["permit", "deny"]
Outcome = Literal["disclosed", "refused", "failed", "abandoned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRule:
    """One rule that stood against the exchange: a stable code, a title for people, and the policy's own rule id."""

    code: str
    title: str
    rule: str


# Field order is the order of the design; members are only ever added, at the end, with a default.
@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What happened to one exchange.

    `issued_at` is RFC 3339 UTC with `Z`; `issuer` the gateway's issuer URL; `consumer` and `provider` are member codes;
    digests are base64url SHA-256, as made by `canonical.digest_b64`; `subject` is `{"sub": …}` (the consumer's own
    pseudonym), `{"matched": true, "level": …}` or None; `handle` is the one-time name the
    provider's record uses for the person; `log_entry` is the leaf hash in standard base64; `provider_key` and
    `client_key` are RFC 7638 thumbprints of the keys that signed the provider's record and the consumer's request;
    `checks_digest` is that of the JWT in which the gateway states checks that it computed; `agreement_digest` is
    that of the agreement's text with the members' signatures and keys, as `evidence.texts_digest` makes it.
    """

    exchange: str
    issued_at: str
    issuer: str
    consumer: str
    provider: str | None
    client: str
    service: str
    agreement: str | None
    agreement_version: int | None
    policy_digest: str | None
    purpose: str
    legal_gateway: str | None
    decision: Decision
    outcome: Outcome
    rules: tuple[FailedRule, ...]
    subject: Mapping[str, Any] | None
    handle: str | None
    request_digest: str
    provider_jwt_digest: str | None
    fields_disclosed: tuple[str, ...]
    fields_withheld: tuple[str, ...]
    log_entry: str
    provider_key: str | None = None
    client_key: str | None = None
    checks_digest: str | None = None
    agreement_digest: str | None = None


def issue_receipt(receipt: Receipt, *, signer: Signer) -> str:
    """Return the receipt as a compact JWS; raises `InvalidReceipt` for one that no reader would accept."""
    members = asdict(receipt)
    _receipt_from(members)
    return issue_jws(canonical_json(members), typ=RECEIPT_TYP, signer=signer)


def verify_receipt(unverified: str, *, keys: Sequence[Jwk]) -> Receipt:
    """Check a receipt's signature and shape.

    Raises `InvalidJws` or `InvalidSignature` for the signature, `InvalidReceipt` for the shape.
    """
    verified = verify_jws(unverified, keys=keys, typ=RECEIPT_TYP, algorithms=SIGNING_ALGORITHMS)
    try:
        members = parse_json_object(verified.payload)
        canonical = canonical_json(members) == verified.payload
    except MalformedInput as error:
        raise InvalidReceipt("the receipt is not a JSON object") from error
    # One receipt, one spelling: two readers can never read the same signed bytes differently.
    if not canonical:
        raise InvalidReceipt("the receipt is not canonical JSON (RFC 8785)")
    return _receipt_from(members)


_TEXT = (
    "exchange",
    "issued_at",
    "issuer",
    "consumer",
    "client",
    "service",
    "purpose",
    "request_digest",
    "log_entry",
)
# Members that older receipts do not have.
_SINCE = ("provider_key", "client_key", "checks_digest", "agreement_digest")
_TEXT_OR_NONE = (
    "provider",
    "agreement",
    "policy_digest",
    "legal_gateway",
    "handle",
    "provider_jwt_digest",
    *_SINCE,
)


def _receipt_from(members: Mapping[str, Any]) -> Receipt:
    names = [field.name for field in fields(Receipt)]
    members = {**dict.fromkeys(_SINCE), **members}
    missing = [name for name in names if name not in members]
    if missing:
        raise InvalidReceipt(f"{missing[0]} is missing")
    for name in _TEXT:
        _require(isinstance(members[name], str), name)
    for name in _TEXT_OR_NONE:
        _require(members[name] is None or isinstance(members[name], str), name)
    version = members["agreement_version"]
    _require(version is None or (isinstance(version, int) and not isinstance(version, bool)), "agreement_version")
    _require(members["decision"] in get_args(Decision), "decision")
    _require(members["outcome"] in get_args(Outcome), "outcome")
    # Nothing is disclosed without a permit, and a refusal discloses nothing.
    _require(members["outcome"] != "disclosed" or members["decision"] == "permit", "outcome")
    _require(members["subject"] is None or isinstance(members["subject"], dict), "subject")
    lists = {name: _texts(members[name], name) for name in ("fields_disclosed", "fields_withheld")}
    _require(members["outcome"] == "disclosed" or not lists["fields_disclosed"], "fields_disclosed")
    known = {name: members[name] for name in names}
    return Receipt(**{**known, **lists, "rules": _rules(members["rules"])})


def _texts(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise InvalidReceipt(f"{name} is not what a receipt holds")
    return tuple(value)


def _rules(value: object) -> tuple[FailedRule, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidReceipt("rules is not what a receipt holds")
    rules = []
    for item in value:
        texts = [item.get(name) for name in ("code", "title", "rule")] if isinstance(item, dict) else []
        code, title, rule = _texts(texts or [None], "rules")
        rules.append(FailedRule(code=code, title=title, rule=rule))
    return tuple(rules)


def _require(holds: bool, name: str) -> None:  # noqa: FBT001 - the condition is the argument
    if not holds:
        raise InvalidReceipt(f"{name} is not what a receipt holds")

"""Evidence of one exchange made from nothing but keys: small, complete, and true in every part."""

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from gateway.sdk.evidence import Brought
from gateway.wire import merkle, tiles
from gateway.wire.agreement_texts import MemberSignature, agreement_texts, texts_digest
from gateway.wire.canonical import canonical_json, digest_b64
from gateway.wire.contracts import AGREEMENT_TYP, CHECK_TYP, RECORD_TYP
from gateway.wire.encoding import b64_encode
from gateway.wire.evidence import Details, Evidence, ProviderPart
from gateway.wire.jws import issue_detached_jws
from gateway.wire.keys import public_members, thumbprint
from gateway.wire.leaves import commitment
from gateway.wire.notes import verifier_key_of
from gateway.wire.proofs import Proof, PublicKeys
from gateway.wire.receipts import issue_receipt
from gateway.wire.sd_jwt import issue_sd_jwt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.statements import EXCHANGE, ISSUER, NOW, ORIGIN, MemoryLog, a_leaf, a_receipt

CONSUMER, PROVIDER = "E06000008", "dwp"
REQUEST = b'{"service":"dwp/free-school-meals/v1","salt":"c3ludGhldGlj"}'
FIELDS = {"eligible": True, "tier": "targeted"}
RESULTS = {"qualifies": False}
DETAILS = {"officer": "a synthetic officer", "request_digest": digest_b64(REQUEST), "rules": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """An exchange with the keys of everybody in it, and what each of them kept."""

    gateway: PrivateKeySigner = field(default_factory=lambda: PrivateKeySigner.generate("ES256"))
    log: PrivateKeySigner = field(default_factory=lambda: PrivateKeySigner.generate("Ed25519"))
    provider: PrivateKeySigner = field(default_factory=lambda: PrivateKeySigner.generate("ES256"))
    members: dict[str, PrivateKeySigner] = field(
        default_factory=lambda: {code: PrivateKeySigner.generate("ES256") for code in (CONSUMER, PROVIDER)}
    )

    @property
    def public_keys(self) -> PublicKeys:
        return PublicKeys(
            issuer=ISSUER, log_vkey=verifier_key_of(self.log, ORIGIN).encode(), keys=(self.gateway.public_jwk(),)
        )

    def signed(self, fields: dict[str, Any], *, by: PrivateKeySigner, issuer: str, typ: str) -> str:
        seconds = int(NOW.timestamp())
        claims: dict[str, object] = {"iss": issuer, "aud": CONSUMER, "sub": "one-time-handle", "jti": EXCHANGE}
        times = {"iat": seconds, "exp": seconds + int(timedelta(minutes=5).total_seconds())}
        return issue_sd_jwt(claims | times, fields, signer=by, typ=typ)

    def agreement(self, **changes: Any) -> dict[str, Any]:
        terms = {"reference": "DSA-003", "version": 1, "service": "dwp/free-school-meals/v1", "title": "A sample"}
        document = canonical_json(terms | changes)
        return agreement_texts(
            document,
            {
                code: MemberSignature(
                    jws=issue_detached_jws(document, typ=AGREEMENT_TYP, signer=signer),
                    key=public_members(signer.public_jwk()),
                )
                for code, signer in self.members.items()
            },
        )

    def evidence(self, *, details: bool = True, **changes: Any) -> tuple[Evidence, Brought]:
        """Return the evidence, and what the consumer kept; `changes` replace members of the receipt."""
        record = self.signed(FIELDS, by=self.provider, issuer=PROVIDER, typ=RECORD_TYP)
        checks = self.signed(RESULTS, by=self.gateway, issuer=ISSUER, typ=CHECK_TYP)
        jwt, checks_jwt = record.partition("~")[0], checks.partition("~")[0]
        policy = {"schema": "entity A;", "rules": "permit(principal, action, resource);"}
        told = DETAILS | {"provider_jwt_digest": digest_b64(jwt.encode())}
        salt = b"0123456789abcdef"
        leaf = a_leaf(commitment=commitment(salt, told)).encode()
        receipt = a_receipt(
            agreement="DSA-003",
            agreement_version=1,
            policy_digest=texts_digest(policy),
            request_digest=digest_b64(REQUEST),
            provider_jwt_digest=digest_b64(jwt.encode()),
            fields_disclosed=(*FIELDS, *RESULTS),
            log_entry=b64_encode(merkle.leaf_hash(leaf)),
            provider_key=thumbprint(self.provider.public_jwk()),
            client_key="c" * 43,
            checks_digest=digest_b64(checks_jwt.encode()),
        )
        agreement = self.agreement()
        receipt = replace(receipt, **{"agreement_digest": texts_digest(agreement), **changes})
        log = MemoryLog(self.log)
        log.append(b"another entry", b"and another")
        index = log.append(leaf)
        log.append(b"a later entry")
        proof = Proof(
            exchange=EXCHANGE,
            leaf=leaf,
            leaf_index=index,
            inclusion_proof=tuple(tiles.prove_inclusion(index, len(log.entries), log.read_tile)),
            checkpoint=log.checkpoint(),
            receipt=issue_receipt(receipt, signer=self.gateway),
        )
        evidence = Evidence(
            proof=proof,
            provider=ProviderPart(jwt=jwt, jwk=self.provider.public_jwk()),
            checks=checks_jwt,
            agreement=agreement,
            policy=policy,
            details=Details(salt=salt, values=told) if details else None,
        )
        return evidence, Brought(request=REQUEST, record=record, checks=checks)


def kept_file(kept: Brought) -> bytes:
    """What the consumer kept, as one file."""
    request = kept.request.decode() if kept.request is not None else None
    return json.dumps({"request": request, "record": kept.record, "checks": kept.checks}).encode()

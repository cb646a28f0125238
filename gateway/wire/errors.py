"""What can be wrong with bytes from outside. `public` texts name the rule that failed and never quote the input."""

from gateway.errors import GatewayError, Kind


class MalformedInput(GatewayError):
    """Base64, JSON or text that does not have the shape its specification gives it."""

    kind = Kind.MALFORMED
    code = "malformed"
    title = "This is not well formed"


class UnusableKey(GatewayError):
    """A key that is missing, broken, or not made for what is asked of it."""

    kind = Kind.INVALID
    code = "unusable_key"
    title = "This key cannot be used here"


class InvalidSignature(GatewayError):
    """A signature that does not verify over the bytes it claims to cover."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_signature"
    title = "The signature does not verify"


class InvalidJws(GatewayError):
    """A JWS that breaks RFC 7515 or our profile of it."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_jws"
    title = "The signed statement is not valid"


class InvalidClaims(GatewayError):
    """A JWT whose signature holds but whose claims do not permit its use here."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_claims"
    title = "The token's claims are not valid here"


class InvalidMessageSignature(GatewayError):
    """An HTTP message whose signature is missing, ambiguous, incomplete or wrong (RFC 9421)."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_message_signature"
    title = "The message signature is not valid"


class StaleMessageSignature(InvalidMessageSignature):
    """A message signature made too long ago, or in the future."""

    code = "stale_message_signature"
    title = "The message signature is too old or in the future"


class DigestMismatch(InvalidMessageSignature):
    """A body that is not the one its Content-Digest describes (RFC 9530)."""

    code = "digest_mismatch"
    title = "The body does not match its Content-Digest"


class InvalidRecord(GatewayError):
    """An SD-JWT that breaks RFC 9901 or our profile of it."""

    kind = Kind.INVALID
    code = "invalid_record"
    title = "The record is not a valid SD-JWT"


class InvalidReceipt(GatewayError):
    """A receipt whose signature holds but whose content is not a receipt."""

    kind = Kind.INVALID
    code = "invalid_receipt"
    title = "The receipt is not valid"


class InvalidExpression(GatewayError):
    """An expression that CEL cannot read, or that is not about what it may be about."""

    kind = Kind.INVALID
    code = "invalid_expression"
    title = "The expression is not valid"


class ExpressionFailed(GatewayError):
    """An expression that gives nothing for these values, or something it may not give."""

    kind = Kind.UPSTREAM
    code = "expression_failed"
    title = "The expression cannot be computed"


class InvalidEncryption(GatewayError):
    """A JWE that breaks RFC 7516 or our profile of it, or that is not for this key."""

    kind = Kind.INVALID
    code = "invalid_encryption"
    title = "The encrypted part is not valid"


class InvalidNote(GatewayError):
    """A signed note or checkpoint that breaks its specification, or that no known key signed."""

    kind = Kind.INVALID
    code = "invalid_note"
    title = "The signed note is not valid"


class InvalidTree(GatewayError):
    """A Merkle proof, tile or leaf that does not fit the tree it claims to belong to."""

    kind = Kind.INVALID
    code = "invalid_tree"
    title = "The Merkle tree does not hold"


class ProofFailed(GatewayError):
    """A proof file fails at one named step; `step` is its number and name."""

    kind = Kind.INVALID
    code = "proof_failed"
    title = "The proof does not hold"

    def __init__(self, step: str, reason: str, *, detail: str | None = None) -> None:
        super().__init__(f"{step}: {reason}", detail=detail)
        self.step = step
        self.reason = reason

"""Why a request is turned away before it becomes an exchange, or why an exchange cannot be answered now."""

from gateway.errors import GatewayError, Kind


class RequestSignatureInvalid(GatewayError):
    """The HTTP message signature does not prove that the token's client sent exactly this request."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_request_signature"
    title = "The request's signature is not valid"


class NonceReplayed(GatewayError):
    """This key has used this nonce before: whoever sends it again may not be who sent it first."""

    kind = Kind.UNAUTHENTICATED
    code = "nonce_replayed"
    title = "This request was sent before; sign each attempt anew"


class BodyUnreadable(GatewayError):
    """The body is not the JSON object it should be."""

    kind = Kind.MALFORMED
    code = "malformed_request"
    title = "The request body cannot be read"


class RequestInvalid(GatewayError):
    """The body is JSON, but not a request for a record."""

    kind = Kind.INVALID
    code = "invalid_request"
    title = "The request does not have the form of a request for a record"


class BodyTooLarge(GatewayError):
    """The body is over the stated limit and was not read."""

    kind = Kind.TOO_LARGE
    code = "request_too_large"
    title = "The request body is too large"


class WrongMediaType(GatewayError):
    """Only `application/json` is read here."""

    kind = Kind.WRONG_MEDIA_TYPE
    code = "wrong_media_type"
    title = "The request body must be application/json"


class IdempotencyKeyInvalid(GatewayError):
    """The Idempotency-Key is absent or not a UUID."""

    kind = Kind.MALFORMED
    code = "idempotency_key_invalid"
    title = "The Idempotency-Key must be a UUID"


class IdempotencyKeyReused(GatewayError):
    """The same key came before with another body."""

    kind = Kind.INVALID
    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used for a different request"


class StillRunning(GatewayError):
    """The first attempt with this key has not ended."""

    kind = Kind.CONFLICT
    code = "still_running"
    title = "The first attempt of this request is still running"


class AnswerExpired(GatewayError):
    """The outcome is known, but its body is no longer kept; the receipt is."""

    kind = Kind.CONFLICT
    code = "answer_expired"
    title = "The answer is no longer kept; ask again with a new Idempotency-Key"


class AnswerWithdrawn(GatewayError):
    """The outcome is known, but the key that signed the record is no longer the provider's; the receipt is kept."""

    kind = Kind.CONFLICT
    code = "answer_withdrawn"
    title = "The provider has withdrawn the key that signed the answer; ask again with a new Idempotency-Key"


class ExchangeAbandoned(GatewayError):
    """The first attempt did not end in time and was closed; nothing was disclosed."""

    kind = Kind.CONFLICT
    code = "exchange_abandoned"
    title = "The first attempt was abandoned and nothing was disclosed; ask again with a new Idempotency-Key"


class ExchangeNotFound(GatewayError):
    """There is no exchange with this id."""

    kind = Kind.NOT_FOUND
    code = "exchange_not_found"
    title = "There is no such exchange"


class AttachmentNotFound(GatewayError):
    """The caller has no such document to fetch: no such exchange of its own, or no such number in it."""

    kind = Kind.NOT_FOUND
    code = "attachment_not_found"
    title = "There is no such attachment"


class AttachmentExpired(GatewayError):
    """The exchange disclosed it, and its time to be fetched is over."""

    kind = Kind.CONFLICT
    code = "attachment_expired"
    title = "The attachment is no longer kept; ask again with a new Idempotency-Key"


class AttachmentAlreadyFetched(GatewayError):
    """Another Idempotency-Key has fetched it: it is given once."""

    kind = Kind.CONFLICT
    code = "attachment_already_fetched"
    title = "The attachment was fetched with another Idempotency-Key; ask for the record again to get it anew"


class AttachmentLost(GatewayError):
    """Its file is gone or damaged; nothing of it was sent."""

    kind = Kind.CONFLICT
    code = "attachment_lost"
    title = "The attachment cannot be read any more; ask again with a new Idempotency-Key"

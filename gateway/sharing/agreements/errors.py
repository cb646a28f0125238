"""Why an agreement cannot be read, recorded, signed or put in force. Nothing is changed when one of these is raised."""

from gateway.errors import GatewayError, Kind


class AgreementInvalid(GatewayError):
    """An agreement's document breaks its form, contradicts itself, or refers to what does not exist."""

    kind = Kind.INVALID
    code = "agreement_invalid"
    title = "The agreement is not valid"


class AgreementNotFound(GatewayError):
    """There is no such version of such an agreement."""

    kind = Kind.NOT_FOUND
    code = "agreement_not_found"
    title = "There is no such agreement"


class AgreementChanged(GatewayError):
    """The same reference and version exist with other content: a change needs a new version, and new signatures."""

    kind = Kind.CONFLICT
    code = "agreement_changed"
    title = "This version of the agreement is recorded with other content"


class AgreementStatusConflict(GatewayError):
    """The agreement is not in a state from which this can be done."""

    kind = Kind.CONFLICT
    code = "agreement_status_conflict"
    title = "The agreement's present state does not allow this"


class SignatureRefused(GatewayError):
    """A signature over an agreement is not one that its member made over this content."""

    kind = Kind.REFUSED
    code = "agreement_signature_refused"
    title = "The signature on the agreement is not valid"


class AgreementUnreadable(GatewayError):
    """A recorded agreement is not what was once recorded: somebody edited the database, or it is damaged."""

    kind = Kind.BROKEN
    code = "agreement_unreadable"
    title = "A recorded agreement cannot be read"

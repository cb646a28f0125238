"""What can go wrong in the log. Faults of the gateway itself are `BROKEN`: callers see nothing of their detail."""

from gateway.errors import GatewayError, Kind


class UnknownEvent(GatewayError):
    """An event, outcome or detail that the registry does not hold. Nothing was written."""

    kind = Kind.BROKEN
    code = "unknown_event"
    title = "This event is not in the registry"


class EventRefused(GatewayError):
    """An event whose public part would not be plain, or that cannot be encoded. Nothing was written."""

    kind = Kind.BROKEN
    code = "event_refused"
    title = "This event cannot be recorded"


class EntryTooLarge(EventRefused):
    """An entry over 65,535 bytes, which C2SP tlog-tiles cannot hold, or details beyond their limit."""

    code = "entry_too_large"
    title = "This event is too large to be recorded"


class EventNotFound(GatewayError):
    """No event has this id or reference."""

    kind = Kind.NOT_FOUND
    code = "event_not_found"
    title = "The log has no such event"


class DetailsErased(GatewayError):
    """The key of the person these details are about was destroyed: they cannot be read by anyone, ever."""

    kind = Kind.NOT_FOUND
    code = "details_erased"
    title = "The details of this event were erased"


class DetailsExpired(GatewayError):
    """These details were kept for as long as their class says, and then forgotten."""

    kind = Kind.NOT_FOUND
    code = "details_expired"
    title = "The details of this event were kept for their time and then forgotten"


class DetailsLost(GatewayError):
    """The row was made again from the published log after a restore: its details went with the lost database."""

    kind = Kind.NOT_FOUND
    code = "details_lost"
    title = "The details of this event were lost with an earlier database"


class NothingToErase(GatewayError):
    """There is no key under this reference: nothing was recorded about such a person, or all of it is erased."""

    kind = Kind.NOT_FOUND
    code = "nothing_to_erase"
    title = "Nothing is recorded under this reference that could be erased, or it is erased already"


class NothingToArchive(GatewayError):
    """No whole bundle of entries is old enough and not archived yet."""

    kind = Kind.INVALID
    code = "nothing_to_archive"
    title = "There is nothing to archive"


class DetailsStillKept(GatewayError):
    """Rows whose details are to be kept cannot be deleted. Nothing was done."""

    kind = Kind.CONFLICT
    code = "details_still_kept"
    title = "Some of these entries have details that are still to be kept"


class DetailsAltered(GatewayError):
    """Stored details that do not decrypt, or do not open the commitment in the log."""

    kind = Kind.BROKEN
    code = "details_altered"
    title = "The details of this event were altered"


class LogForked(GatewayError):
    """The database and the published log disagree: signing would state two histories. Nothing was signed."""

    kind = Kind.BROKEN
    code = "log_forked"
    title = "The log's database and its published files disagree; nothing is signed until they agree"

    def __init__(self, public: str, *, index: int | None = None, detail: str | None = None) -> None:
        """Take the first entry that is known to disagree, where one is: `index`."""
        super().__init__(public, detail=detail)
        self.index = index


class QuorumMissed(GatewayError):
    """Fewer witnesses have cosigned than the policy asks for: nothing new is published, and it is tried again."""

    kind = Kind.UNAVAILABLE
    code = "witness_quorum_missed"
    title = "Too few witnesses have cosigned the log"


class LogNotVerified(GatewayError):
    """The published log does not hold together; the text names the first place that disagrees."""

    kind = Kind.INVALID
    code = "log_not_verified"
    title = "The log does not verify"


class HistoryContradicted(LogNotVerified):
    """The log does not continue what was verified of it before; `note` is the signed checkpoint that contradicts it."""

    code = "history_contradicted"
    title = "The log contradicts its own past"
    note: bytes | None = None


class LogUnreadable(GatewayError):
    """A source of the log did not answer, or answered with something that cannot be the log's file."""

    kind = Kind.UPSTREAM
    code = "log_unreadable"
    title = "The log cannot be read"


class NoSuchEntry(GatewayError):
    """An index or a size that the published log has not reached."""

    kind = Kind.NOT_FOUND
    code = "no_such_entry"
    title = "The published log has no such entry"


class UnusableTrust(GatewayError):
    """A verifier key, public keys file or trust policy with which nothing can be checked."""

    kind = Kind.MALFORMED
    code = "unusable_trust"
    title = "These keys or this policy cannot be used"


class ReceiptUnusable(GatewayError):
    """A file that a monitor was given as a receipt, and that the gateway it watches has not signed as one."""

    kind = Kind.INVALID
    code = "receipt_unusable"
    title = "This is not a receipt of the gateway"


class StateUnusable(GatewayError):
    """A checker's own memory of a log that cannot be read, written or believed."""

    kind = Kind.BROKEN
    code = "state_unusable"
    title = "What was remembered of the log cannot be used"


class NotYetPublished(GatewayError):
    """The event is recorded, but no published checkpoint covers it yet."""

    kind = Kind.CONFLICT
    code = "not_yet_published"
    title = "This event is not under a published checkpoint yet; try again in a few seconds"


class NoSuchLogFile(GatewayError):
    """An address below the log that names no published tile, bundle or checkpoint."""

    kind = Kind.NOT_FOUND
    code = "no_such_log_file"
    title = "The log has no such file"

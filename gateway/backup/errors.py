"""What can go wrong when copying and restoring. Each is found before anything is changed, unless it says otherwise."""

from gateway.errors import GatewayError, Kind


class BackupRefused(GatewayError):
    """A backup cannot be made here or now. Nothing that was there was changed."""

    kind = Kind.CONFLICT
    code = "backup_refused"
    title = "The backup cannot be made"


class BackupDamaged(GatewayError):
    """A folder that is not a whole backup: unfinished, cut short, or with a byte changed. Nothing was restored."""

    kind = Kind.INVALID
    code = "backup_damaged"
    title = "This is not a whole backup"


class RestoreRefused(GatewayError):
    """Restoring here would lose something, or could not work. Nothing was changed."""

    kind = Kind.CONFLICT
    code = "restore_refused"
    title = "The backup cannot be restored here"


class RestoreUnfinished(GatewayError):
    """The database is back, and what must follow failed: the text says why, and how to finish."""

    kind = Kind.CONFLICT
    code = "restore_unfinished"
    title = "The restore is not finished"


class DatabaseProgramFailed(GatewayError):
    """PostgreSQL's own program is missing or ended with an error, which the text repeats."""

    kind = Kind.UNAVAILABLE
    code = "database_program_failed"
    title = "PostgreSQL's program did not do its work"

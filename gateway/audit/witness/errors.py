"""Why a witness does not cosign. Each is one answer of C2SP tlog-witness, or a fault of the witness itself."""

from gateway.errors import GatewayError, Kind, Unavailable


class UnknownLog(GatewayError):
    """The checkpoint is of a log that this witness was not told to watch."""

    kind = Kind.NOT_FOUND
    code = "unknown_log"
    title = "This witness does not know this log"


class NotSignedByLog(GatewayError):
    """No key that the witness trusts for this log has signed the checkpoint."""

    kind = Kind.REFUSED
    code = "not_signed_by_log"
    title = "No known key of this log has signed the checkpoint"


class ProofRefused(GatewayError):
    """The proof does not lead from the last cosigned checkpoint to this one."""

    kind = Kind.INVALID
    code = "proof_refused"
    title = "The consistency proof does not verify"


class OtherCheckpointKnown(GatewayError):
    """The last checkpoint cosigned is another one than the log says; `size` is its size."""

    kind = Kind.CONFLICT
    code = "other_checkpoint_known"
    title = "This witness cosigned another checkpoint last"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


class WitnessStateDamaged(GatewayError):
    """What the witness remembers is missing or altered. It cosigns nothing: from zero it could cosign a fork."""

    kind = Kind.UNAVAILABLE
    code = "witness_state_damaged"
    title = "This witness cannot say what it cosigned before, and cosigns nothing"


class WitnessBusy(Unavailable):
    """No turn came, or the state could not be written. Nothing was cosigned."""

    code = "witness_busy"
    title = "This witness cannot cosign now"


class WitnessNotUsable(GatewayError):
    """The witness's folder or its list of logs is not what a witness needs; it does not start."""

    code = "witness_not_usable"
    title = "This witness cannot be used"

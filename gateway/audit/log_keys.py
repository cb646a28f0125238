"""The keys under which a log is signed, and those under which it was: while a key is rotated, several sign.

Whoever knows one of the signing keys verifies each checkpoint. The oldest signs first, so that a reader who looks at
one line alone finds the key that has been known the longest.
"""

from dataclasses import dataclass

from gateway.wire.notes import Checkpoint, VerifierKey, sign_note, verifier_key_of
from gateway.wire.signer import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKeys:
    """The keys of the log `origin`: `signers` sign, oldest first and never none; `retired` only open what they signed.

    Raises `UnusableKey` for a signer that is not Ed25519, `InvalidNote` for an origin that can name no key.
    """

    origin: str
    signers: tuple[Signer, ...]
    retired: tuple[VerifierKey, ...] = ()

    def __post_init__(self) -> None:
        if not self.signing:
            raise ValueError("a log needs a key that signs")

    @property
    def signing(self) -> tuple[VerifierKey, ...]:
        """The public keys whose signatures every new checkpoint bears, oldest first."""
        return tuple(verifier_key_of(signer, self.origin) for signer in self.signers)

    @property
    def known(self) -> tuple[VerifierKey, ...]:
        """Every public key that opens a checkpoint of this log, the retired ones first."""
        return (*self.retired, *self.signing)

    @property
    def newest(self) -> VerifierKey:
        """The public key that outsiders should learn today."""
        return self.signing[-1]

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """Return the checkpoint as a note with the signature of every key that signs."""
        oldest, *others = self.signers
        return sign_note(checkpoint.encode(), oldest, self.origin, also_by=others)

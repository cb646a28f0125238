"""Open what was encrypted to us alone, and refuse in the clear what has to be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError
from gateway.sdk.answers import AnswerNotBelievable
from gateway.wire.sd_jwt import VerifiedRecord, with_disclosures
from gateway.wire.sealed_disclosures import DecryptionKey, open_disclosures, read_sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """With which keys an answer is opened; one that was `demanded` encrypted is not believed in the clear."""

    keys: tuple[DecryptionKey, ...] = ()
    demanded: bool = False

    def opened(
        self, body: Mapping[str, Any], record: VerifiedRecord, *, verify: Callable[[str], VerifiedRecord]
    ) -> tuple[str, VerifiedRecord]:
        """Return the record with its disclosures, verified, and as it is kept; raises `AnswerNotBelievable`.

        `record` is the one in the body, already verified; `verify` verifies another of the same issuer.
        """
        unverified = body.get("encrypted")
        if unverified is None:
            if self.demanded:
                raise AnswerNotBelievable("The values should have been encrypted, and were not.")
            return str(body["record"]), record
        if record.fields:
            raise AnswerNotBelievable("Some values are encrypted, and others are not.")
        try:
            parts = open_disclosures(read_sealed(unverified), digests=record.digests, keys=self.keys)
        except GatewayError as error:
            raise AnswerNotBelievable("The encrypted values cannot be believed.", detail=error.public) from error
        whole = with_disclosures(str(body["record"]), parts)
        return whole, verify(whole)


def decryption_keys(keys: Sequence[DecryptionKey | Path | str]) -> tuple[DecryptionKey, ...]:
    """Return keys as they are, or those in PEM files; raises `OSError` or `UnusableKey`."""
    return tuple(
        key if isinstance(key, DecryptionKey) else DecryptionKey.from_pem(Path(key).read_bytes()) for key in keys
    )

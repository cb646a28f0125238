"""Members' private keys: PEM files that nobody else may read, or whatever signs in their place."""

from pathlib import Path

from gateway.wire.signer import PrivateKeySigner, Signer


def signer_from(key: Signer | Path | str) -> Signer:
    """Return a signer as it is, or the one over the private key in a PEM file.

    Raises `OSError` when the file cannot be read, `UnusableKey` when it holds no key of an accepted kind.
    """
    if isinstance(key, Path | str):
        return PrivateKeySigner.from_pem(Path(key).read_bytes())
    return key

"""What can be wrong with the gateway's own keys."""

from gateway.errors import GatewayError, Kind, Unavailable


class SigningKeyMissing(GatewayError):
    """There is no key for a purpose: the gateway was not initialised here."""

    code = "signing_key_missing"
    title = "A signing key is missing; run `gateway init`"


class KeyFileDamaged(GatewayError):
    """A key file holds something else than one whole key of its purpose. It is named, and not used."""

    code = "key_file_damaged"
    title = "A key file is damaged"


class SecretDamaged(GatewayError):
    """A file that should hold a 256-bit secret holds something else."""

    code = "secret_damaged"
    title = "A secret of the gateway is damaged"


class KeysEncrypted(GatewayError):
    """The keys are encrypted, and no passphrase, or another one, was given."""

    code = "keys_encrypted"
    title = "The gateway's keys are encrypted, and the passphrase is missing or wrong"


class KeyNotMade(GatewayError):
    """No key was made."""

    kind = Kind.CONFLICT
    code = "key_not_made"
    title = "The key was not made"


class KeyNotRetired(GatewayError):
    """A key that is not there, or without which nothing could be signed. Nothing was changed."""

    kind = Kind.INVALID
    code = "key_not_retired"
    title = "This key cannot be retired"


class HsmUnavailable(Unavailable):
    """The hardware module does not answer, or lacks a key of ours: nothing was signed."""

    code = "hsm_unavailable"
    title = "The gateway cannot sign now"

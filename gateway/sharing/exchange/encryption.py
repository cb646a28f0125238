"""To which key a provider encrypts, where the agreement asks for it: one that both members signed and the asker has."""

from gateway.directory.members import Client, Jwk
from gateway.errors import GatewayError
from gateway.sharing.agreements.terms import EndToEnd
from gateway.sharing.exchange.asking import Fetched
from gateway.sharing.exchange.minimise import MinimisedRecord
from gateway.sharing.exchange.provider_call import failed
from gateway.wire.sealed_disclosures import check_encryption_key


def key_to_encrypt_to(client: Client | None, agreed: EndToEnd) -> Jwk | None:
    """Return the client's own registered key that comes first in the agreement, or None where it has none of them."""
    registered: dict[str, Jwk] = {}
    for key in client.encryption_keys if client is not None else ():
        try:
            registered[check_encryption_key(key)] = key
        except GatewayError:
            continue  # whatever it is, nothing is encrypted to it
    return next((registered[thumbprint] for thumbprint in agreed.keys if thumbprint in registered), None)


def still_readable(client: Client | None, fetched: Fetched, *, encrypted_to: Jwk | None) -> Fetched:
    """Return what was fetched, unless the key it is encrypted to was taken away from the client since."""
    if not isinstance(fetched, MinimisedRecord) or encrypted_to is None:
        return fetched
    if client is None or encrypted_to not in client.encryption_keys:
        return failed("encryption_key_missing", "before the release")
    return fetched

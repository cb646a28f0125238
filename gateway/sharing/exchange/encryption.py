"""To which key a provider encrypts, where the agreement asks for it: one that both members signed and the asker has."""

import json

from sqlalchemy.orm import Session

from gateway.directory.members import Client, Jwk, find_client
from gateway.errors import GatewayError
from gateway.sharing.agreements.terms import EndToEnd
from gateway.sharing.exchange.asking import Fetched
from gateway.sharing.exchange.minimise import MinimisedRecord
from gateway.sharing.exchange.provider_call import failed
from gateway.wire.sealed_disclosures import check_encryption_key, check_labels, read_sealed


def key_to_encrypt_to(client: Client | None, agreed: EndToEnd) -> Jwk | None:
    """Return the client's own registered key that comes first in the agreement, or None where it has none of them."""
    registered: dict[str, Jwk] = {}
    for key in client.encryption_keys if client is not None else ():
        try:
            registered[check_encryption_key(key)] = key
        except GatewayError:
            continue  # whatever it is, nothing is encrypted to it
    return next((registered[thumbprint] for thumbprint in agreed.keys if thumbprint in registered), None)


def is_readable_again(client: Client | None, kept: bytes) -> bool:
    """Tell whether the client still has the key to which a kept answer is encrypted, if it is."""
    parts = read_sealed(json.loads(kept).get("encrypted", []))
    digests = frozenset(part.digest for part in parts)
    for key in client.encryption_keys if client is not None else ():
        try:
            check_labels(parts, digests=digests, to=check_encryption_key(key))
        except GatewayError:
            continue  # to another key
        return True
    return not parts


def still_readable(session: Session, client_id: str, fetched: Fetched, *, encrypted_to: Jwk | None) -> Fetched:
    """Return what was fetched, unless the key it is encrypted to was taken away from the client since."""
    if not isinstance(fetched, MinimisedRecord) or encrypted_to is None:
        return fetched
    client = find_client(session, client_id)
    if client is None or encrypted_to not in client.encryption_keys:
        return failed("encryption_key_missing", "before the release")
    return fetched

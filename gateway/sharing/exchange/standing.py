"""Whether all that a release rests on still stands, and that it stays so until the release is committed."""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from gateway.directory.members import Client, Jwk, client_name, find_client, member_name
from gateway.identity.accounts import account_name
from gateway.release_lock import keep_as_they_are
from gateway.sharing.agreements.agreements import Agreement, lock_agreement
from gateway.sharing.catalogue.services import find_service, service_name
from gateway.sharing.exchange.asking import Fetched, Told
from gateway.sharing.exchange.first_decision import FirstDecision
from gateway.sharing.exchange.models import ExchangeRow
from gateway.sharing.exchange.people.restrictions import subject_name
from gateway.sharing.exchange.provider_call import ProviderFailed, failed
from gateway.wire.keys import public_members


def locked(
    session: Session, row: ExchangeRow, *, provider_client: str | None = None, in_doubt: Iterable[str] = ()
) -> Agreement | None:
    """Return the agreement, and keep as it is all that a release rests on until this transaction ends.

    `in_doubt` are references beside those of the first decision under which the person may be restricted.
    Whoever suspends or withdraws any of it does so before the decision that follows, or after the release.
    """
    held = [
        client_name(row.client_id),
        member_name(row.consumer),
        service_name(row.service),
        *FirstDecision.of(row).rests_on,
        *map(subject_name, in_doubt),
        *([member_name(row.provider)] if row.provider else []),
        *([client_name(provider_client)] if provider_client else []),
        *([account_name(row.officer_account)] if row.officer_account else []),
    ]
    if row.agreement is None or row.agreement_version is None:
        keep_as_they_are(session, held)
        return None
    return lock_agreement(session, row.agreement, row.agreement_version, also=held)


def still_believed(session: Session, asked: Client, told: Told) -> Fetched:
    """Return what the provider told, if it is still who may tell it: its keys may have been withdrawn since."""
    if isinstance(told.fetched, ProviderFailed):
        return told.fetched
    provider = find_client(session, asked.client_id)
    if provider is None:
        return failed("provider_unreachable", "the provider's client is no longer active")
    if not are_registered(told.keys, among=provider.keys):
        return failed("provider_answer_unsigned", "the key that signed the answer was withdrawn since")
    return told.fetched


def is_withdrawn(session: Session, row: ExchangeRow) -> bool:
    """Tell whether the key under which a kept record was signed is no longer the provider's."""
    if row.provider_jwk is None:
        return False
    service = find_service(session, row.service)
    provider = find_client(session, service.provider_client) if service else None
    return provider is None or not are_registered((row.provider_jwk,), among=provider.keys)


def are_registered(keys: Iterable[Jwk], *, among: Iterable[Jwk]) -> bool:
    """Tell whether all these keys are among those that are registered."""
    registered = [public_members(key) for key in among]
    return all(public_members(key) in registered for key in keys)

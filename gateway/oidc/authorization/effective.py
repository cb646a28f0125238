"""What a request asks in effect: its own parameters, or those it brings in a signed object, or pushed beforehand."""

from dataclasses import dataclass
from datetime import datetime

from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import find_client
from gateway.oidc.authorization.pushed import PREFIX, find_pushed, parse_reference
from gateway.oidc.authorization.request_objects import verify_request_object
from gateway.oidc.clients.key_sets import KeySets
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.errors import AuthorizationRefused, SignInRequestUnusable
from gateway.oidc.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """The parameters that count, and those that were sent; the two differ only where a request is brought along."""

    parameters: Parameters
    sent: Parameters
    """What waits in a ticket during a sign-in: a reference stays a reference, and an address short."""
    signed: bool = False
    """Whether the client had signed it (RFC 9101)."""
    pushed: bytes | None = None
    """The hash of the reference under which it was pushed (RFC 9126); its code uses that up."""
    problem: AuthorizationRefused | None = None
    """Why what was brought does not count. What came beside it then says no more than where to tell so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Reads what requests bring along, for one gateway."""

    database: Database
    key_sets: KeySets
    endpoints: Endpoints
    clock: Clock

    def resolve(self, sent: Parameters, *, arrived_at: datetime) -> Effective:
        """Return what a request asks in effect. `arrived_at` is when it first came, before anybody signed in.

        Raises `SignInRequestUnusable` for a reference that does not hold: who asks, and where to answer, is in what it
        should have led to. Call it outside any transaction: a client's keys may have to be fetched.
        """
        objects, references = sent.all("request"), sent.all("request_uri")
        # RFC 9101 §5: one or the other, and once.
        if len(objects) + len(references) > 1:
            problem = AuthorizationRefused("invalid_request", "Send one request, or one request_uri")
            return Effective(parameters=sent, sent=sent, problem=problem)
        if references:
            return self._pushed(references[0], sent, arrived_at=arrived_at)
        if objects:
            return self._signed(objects[0], sent, arrived_at=arrived_at)
        return Effective(parameters=sent, sent=sent)

    def _pushed(self, request_uri: str, sent: Parameters, *, arrived_at: datetime) -> Effective:
        if not request_uri.startswith(PREFIX):
            # RFC 9101 §5.2.2: nothing is fetched because a browser says so; a request is pushed instead.
            problem = AuthorizationRefused("request_uri_not_supported", "Only a request_uri from /par is accepted")
            return Effective(parameters=sent, sent=sent, problem=problem)
        reference, client_id = parse_reference(request_uri), sent.one("client_id")
        if reference is not None and client_id is not None:
            with self.database.read() as session:
                found = find_pushed(session, reference, client_id=client_id, arrived_at=arrived_at)
            if found is not None:
                # RFC 9126 §4, RFC 9101 §6.3: whatever else is in the address does not count.
                kept = Parameters(pairs=(("client_id", client_id), ("request_uri", request_uri)))
                return Effective(parameters=found.parameters, sent=kept, signed=found.signed, pushed=reference.hash)
        raise SignInRequestUnusable(
            "The request_uri is not known here: it was used, is too old, or is another client's"
        )

    def _signed(self, request_object: str, sent: Parameters, *, arrived_at: datetime) -> Effective:
        client_id = sent.one("client_id")
        with self.database.read() as session:
            client = find_client(session, client_id) if client_id is not None else None
        if client_id is None or client is None:
            # `find_asker` says so.
            return Effective(parameters=sent, sent=sent)
        try:
            parameters = verify_request_object(
                request_object,
                client=client,
                key_sets=self.key_sets,
                endpoints=self.endpoints,
                now=self.clock.now(),
                arrived_at=arrived_at,
            )
        except AuthorizationRefused as problem:
            return Effective(parameters=sent, sent=sent, problem=problem)
        kept = Parameters(pairs=(("client_id", client_id), ("request", request_object)))
        return Effective(parameters=parameters, sent=kept, signed=True)

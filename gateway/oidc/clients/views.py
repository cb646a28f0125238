"""The doors of dynamic registration: parse, call, answer (RFC 7591 §3, RFC 7592 §2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from gateway.errors import GatewayError
from gateway.oidc.clients.registration import Answer, Ended, NotAllowed, Refused, Registered, TooOften
from gateway.oidc.clients.submission import RegistrationRefused
from gateway.oidc.doors import json_response, source
from gateway.oidc.oauth_errors import NO_STORE, OAuthAnswer, fault_answer
from gateway.oidc.provider import OpenIDProvider
from gateway.wire.encoding import parse_json_object

LARGEST_BODY = 64 * 1024
LONGEST_ID = 200


def add_doors(blueprint: Blueprint, provider: OpenIDProvider) -> None:
    """Add `/register`, and each registration's own address under it."""
    doors = _Doors(provider=provider)
    blueprint.add_url_rule("/register", "register", doors.register, methods=["POST"])
    blueprint.add_url_rule(
        "/register/<client_id>", "registration", doors.registration, methods=["GET", "PUT", "DELETE"]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doors:
    provider: OpenIDProvider

    def register(self) -> Response:
        provider = self.provider
        return self._answered(
            lambda token: provider.registrations.register(
                _metadata(), token, source=source(), now=provider.clock.now()
            ),
            created=True,
        )

    def registration(self, client_id: str) -> Response:
        registrations, now = self.provider.registrations, self.provider.clock.now()
        # What no client can be called is nobody's address, and no question for a database.
        named = client_id if client_id.isprintable() and len(client_id) <= LONGEST_ID else ""
        if request.method == "PUT":
            return self._answered(
                lambda token: registrations.change(named, _metadata(), token, source=source(), now=now), client_id=named
            )
        if request.method == "DELETE":
            return self._answered(lambda token: registrations.end(named, token, now=now))
        return self._answered(lambda token: registrations.read(named, token, now=now))

    def _answered(
        self, ask: Callable[[str], Answer], *, client_id: str | None = None, created: bool = False
    ) -> Response:
        token = _bearer()
        if token is None:
            return self._not_allowed(presented=False)
        try:
            return self._told(ask(token), created=created)
        except RegistrationRefused as error:
            refused = self.provider.registrations.refuse_body(
                error, token, client_id=client_id, source=source(), now=self.provider.clock.now()
            )
            return self._told(refused, created=False)
        except GatewayError as error:
            return json_response(fault_answer(error))

    def _told(self, answer: Answer, *, created: bool) -> Response:
        match answer:
            case Registered():
                members = answer.members(self.provider.endpoints.registration)
                return json_response(OAuthAnswer(status=201 if created else 200, members=members, headers=NO_STORE))
            case Ended():
                return Response(status=204, headers=NO_STORE)
            case Refused():
                return _refused(answer.error)
            case TooOften():
                # Counted and not recorded one by one: that is what the limit is for.
                self.provider.count_stranger(source=source(), code="oidc.registration_too_often")
                members = {"error": "temporarily_unavailable", "error_description": "Too many requests with this token"}
                headers = {**NO_STORE, "Retry-After": str(answer.seconds)}
                return json_response(OAuthAnswer(status=429, members=members, headers=headers))
            case NotAllowed():
                return self._not_allowed(presented=True)

    def _not_allowed(self, *, presented: bool) -> Response:
        """RFC 6750 §3: the same for every token that allows nothing here, and for clients that are not there."""
        self.provider.count_stranger(source=source(), code="oidc.registration_token")
        error = ', error="invalid_token"' if presented else ""
        members = {"error": "invalid_token", "error_description": "A token that allows this registration is needed"}
        headers = {**NO_STORE, "WWW-Authenticate": f'Bearer realm="gateway"{error}'}
        return json_response(OAuthAnswer(status=401, members=members, headers=headers))


def _bearer() -> str | None:
    headers = request.headers.getlist("Authorization")
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _metadata() -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise RegistrationRefused("The body has to be JSON, sent as application/json")
    if (request.content_length or 0) > LARGEST_BODY:
        raise RegistrationRefused(f"The body is larger than {LARGEST_BODY} bytes")
    try:
        return parse_json_object(request.get_data())
    except GatewayError as error:
        raise RegistrationRefused("The body has to be one JSON object, with no member repeated") from error


def _refused(error: RegistrationRefused) -> Response:
    members = {"error": error.code, "error_description": error.public}
    return json_response(OAuthAnswer(status=400, members=members, headers=NO_STORE))

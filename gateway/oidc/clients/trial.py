"""Try a registration before anybody has to sign in with it: every rule, with what to change where one fails."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.directory.members import Client
from gateway.errors import GatewayError
from gateway.identity.caller import Presented
from gateway.oidc.clients.addresses import origin_of
from gateway.oidc.clients.assertion import ASSERTION_TYPE
from gateway.oidc.clients.authentication import ClientAuthentication
from gateway.oidc.clients.key_sets import fetch_keys
from gateway.oidc.clients.limits import Limits
from gateway.oidc.clients.metadata_names import metadata_of, unknown_names
from gateway.oidc.clients.metadata_rules import CHECKS, ClientRule, problems_of
from gateway.oidc.clients.rejection import ClientRejected
from gateway.oidc.clients.submission import REFRESH, Submission, Surroundings, submission_of
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.parameters import Parameters
from gateway.oidc.sandbox import RejectedProof, explain_rejection
from gateway.outgoing.http_client import HttpClient

REACH_SECONDS = 5.0
LARGEST_PAGE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried. `ok` None: worth knowing, and no failure."""

    rule: str
    ok: bool | None
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Tries registrations against one gateway; writes nothing."""

    surroundings: Surroundings
    client_rules: tuple[ClientRule, ...]
    http: HttpClient
    endpoints: Endpoints
    authentication: ClientAuthentication = field(repr=False)

    def metadata(self, metadata: dict[str, Any], limits: Limits) -> Iterator[Finding]:
        """Apply every rule of registration, and say which names mean nothing here."""
        for name, meant in unknown_names(metadata).items():
            hint = f"; did you mean {meant}?" if meant else ""
            yield Finding(rule="names", ok=None, told=f"{name} means nothing here and is passed over{hint}")
        submission = submission_of(metadata, limits, self.surroundings)
        problems = problems_of(submission, client_rules=self.client_rules)
        yield from (Finding(rule=problem.rule, ok=False, told=problem.public) for problem in problems)
        failed = {problem.rule for problem in problems}
        if not failed:
            yield Finding(rule="metadata", ok=True, told=f"all {len(CHECKS)} rules of registration hold")
        if "types" not in failed:
            yield from _surprises(submission)
        uri = submission.text("jwks_uri")
        if uri is not None and not failed & {"types", "keys"}:
            yield self._fetched(uri)

    def client(self, client: Client, limits: Limits) -> Iterator[Finding]:
        """Try what is registered, as if it were registered now."""
        if not client.active:
            yield Finding(rule="active", ok=False, told="the client is disabled: `gateway clients enable` it")
        yield from self.metadata(metadata_of(client), limits)

    def reach(self, client: Client) -> Iterator[Finding]:
        """Try whether its servers answer, with a certificate that holds. From here: browsers may see it otherwise."""
        addresses = [*client.redirect_uris, *filter(None, [client.oauth.backchannel_logout_uri])]
        for origin in dict.fromkeys(origin_of(address) for address in addresses):
            try:
                self.http.request(
                    "GET", f"{origin}/", headers={}, timeout_seconds=REACH_SECONDS, max_bytes=LARGEST_PAGE
                )
            except GatewayError as error:
                yield Finding(rule="reach", ok=None, told=f"{origin}: {error.public}: {error.detail or error.code}")
            else:
                yield Finding(rule="reach", ok=True, told=f"{origin} answers")

    def assertion(self, client: Client, assertion: str, *, now: datetime) -> Finding:
        """Verify a client assertion as the token endpoint would; it is not used up."""
        form = Parameters(pairs=(("client_assertion", assertion), ("client_assertion_type", ASSERTION_TYPE)))
        shown = Presented(method="POST", endpoint=self.endpoints.token)
        answer = self.authentication.verify(form, shown, now=now)
        if not isinstance(answer, ClientRejected):
            told = f"holds: the token endpoint would take it as {answer.client.client_id}, key {answer.key_id}"
            if answer.client.client_id != client.client_id:
                told = f"is one of {answer.client.client_id} (claim sub), and proves nothing about {client.client_id}"
                return Finding(rule="assertion", ok=False, told=told)
            return Finding(rule="assertion", ok=True, told=told)
        keys = self.authentication.keys_of(client, kid=None, now=now)
        proof = RejectedProof(rejected=answer, form=form, keys=keys, endpoints=self.endpoints, now=now)
        return Finding(rule=f"assertion ({answer.reason})", ok=False, told=explain_rejection(proof))

    def _fetched(self, uri: str) -> Finding:
        try:
            fetched = fetch_keys(self.http, uri)
        except GatewayError as error:
            reason = f" ({error.detail})" if error.detail else ""
            return Finding(rule="jwks_uri", ok=False, told=f"{error.public}{reason}")
        named = ", ".join(str(key["kid"]) for key in fetched.keys)
        told = f"{len(fetched.keys)} usable keys ({named}), kept for {int(fetched.fresh_for.total_seconds())} s"
        return Finding(rule="jwks_uri", ok=True, told=told)


def _surprises(submission: Submission) -> Iterator[Finding]:
    """Say what is allowed, and does something else than a developer may expect."""
    refreshes, offline = REFRESH in submission.grant_types, "offline_access" in submission.scopes
    if refreshes != offline:
        one, other = ("grant_types", "scope") if refreshes else ("scope", "grant_types")
        told = f"{one} asks for refresh tokens and {other} does not: it takes refresh_token and offline_access, both"
        yield Finding(rule=one, ok=None, told=told)
    jwks = submission.metadata.get("jwks")
    for key in jwks.get("keys", ()) if isinstance(jwks, dict) and isinstance(jwks.get("keys"), list) else ():
        if isinstance(key, dict) and key.get("kty") == "RSA" and "alg" not in key:
            told = f"the RSA key {key.get('kid')} has no alg, so it is for PS256; RS256 is taken where alg says RS256"
            yield Finding(rule="jwks", ok=None, told=told)

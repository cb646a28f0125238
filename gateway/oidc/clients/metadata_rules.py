"""The rules of client metadata, the same for the command line, for dynamic registration and for a developer's check.

An ordered tuple, `CHECKS`: one subject and one section each, which yields every fault it finds. Everything that is
granted here is asked for in the metadata and allowed by the `Limits`; whatever fails, nothing is registered. Names that
mean nothing here are passed over, as RFC 7591 §2 asks; `unknown_names` tells a developer which.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from ipaddress import ip_address

from gateway.directory.members import Client, ClientKind
from gateway.errors import GatewayError
from gateway.identity.assurance import LEVELS
from gateway.oidc.clients.addresses import host_of, origin_of, problem_with, problem_with_redirect
from gateway.oidc.clients.certificates import SubjectUnreadable, parse_subject
from gateway.oidc.clients.key_rules import KeysUnusable, registered_keys
from gateway.oidc.clients.metadata_names import (
    ALGORITHM_NAMES,
    ENCRYPTION,
    FLAGS,
    LISTS,
    PAGE_ADDRESSES,
    TEXTS,
    TLS_NAMES,
    settings_from,
)
from gateway.oidc.clients.submission import CODE, OWN, REFRESH, RegistrationRefused, Submission
from gateway.wire.keys import SIGNING_ALGORITHMS

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
GRANT_TYPES = (CODE, REFRESH, OWN, EXCHANGE)
KEY_METHODS = ("private_key_jwt", "self_signed_tls_client_auth")
SECRET_METHODS = ("client_secret_basic", "client_secret_post")
RESPONSE_ALGORITHMS = ("ES256", "PS256", "RS256")
REQUEST_ALGORITHMS = (*SIGNING_ALGORITHMS, "EdDSA", "RS256")
MOST_ITEMS = 20
LONGEST_TEXT = 2000
LONGEST_NAME = 200
LONGEST_CONTACT = 254
LONGEST_SHOWN, MOST_TOLD = 120, 20
LONGEST_MAX_AGE = 365 * 24 * 3600

ClientRule = Callable[[Client], tuple[str, ...]]
"""Says what is wrong with a whole client, such as a profile it claims to keep."""


def checked_client(submission: Submission, *, client_id: str, client_rules: tuple[ClientRule, ...] = ()) -> Client:
    """Apply every rule and return the client that was asked for; raises `RegistrationRefused` with all that fails.

    The error has the code and the rule of what failed first. Call it outside any transaction: the rule of sectors may
    fetch.
    """
    problems = problems_of(submission, client_rules=client_rules)
    if problems:
        told = [problem.public for problem in problems[:MOST_TOLD]]
        if more := len(problems) - len(told):
            told.append(f"and {more} more")
        raise RegistrationRefused("; ".join(told), code=problems[0].code, rule=problems[0].rule)
    return _client(submission, client_id)


def problems_of(
    submission: Submission, *, client_rules: tuple[ClientRule, ...] = ()
) -> tuple[RegistrationRefused, ...]:
    """Return everything that is wrong, in order."""
    problems: list[RegistrationRefused] = []
    for check in CHECKS:
        for problem in check(submission):
            problem.rule = check.__name__.removeprefix("check_")
            problems.append(problem)
        # What is of the wrong type cannot be judged further.
        if problems and check is check_types:
            return tuple(problems)
    client = _client(_what_holds(submission), "not-registered-yet")
    broken = [told for rule in client_rules for told in rule(client)]
    return (*problems, *(RegistrationRefused(told, rule="fapi2") for told in broken))


def check_types(submission: Submission) -> Iterator[RegistrationRefused]:
    """RFC 7591 §2: each member has the JSON type of its definition, and an end."""
    metadata = submission.metadata
    for name in metadata:
        if name in FLAGS and not isinstance(metadata[name], bool):
            yield RegistrationRefused(f"{name} has to be true or false")
        if name in TEXTS and not _is_text(metadata[name]):
            yield RegistrationRefused(f"{name} has to be a text of at most {LONGEST_TEXT} printable characters")
        if name in LISTS and not _is_list(metadata[name]):
            yield RegistrationRefused(f"{name} has to be a list of at most {MOST_ITEMS} texts", code=_code_for(name))
    age = metadata.get("default_max_age", 0)
    if isinstance(age, bool) or not isinstance(age, int) or not 0 <= age <= LONGEST_MAX_AGE:
        yield RegistrationRefused("default_max_age has to be a whole number of seconds, at most a year")


def check_name(submission: Submission) -> Iterator[RegistrationRefused]:
    """RFC 7591 §2 and §5: people are shown this name when they sign in, so it is short and cannot mislead."""
    name = submission.text("client_name")
    if name is None:
        yield RegistrationRefused("client_name is missing: people are shown it when they sign in")
    elif not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        yield RegistrationRefused(f"client_name has to be 1 to {LONGEST_NAME} printable characters")


def check_kinds(submission: Submission) -> Iterator[RegistrationRefused]:
    """design: what a client does here is allowed to it by name."""
    known = [kind.value for kind in ClientKind]
    yield from _only(submission.kinds, known, "kinds")
    allowed = [kind.value for kind in submission.limits.kinds]
    yield from _only([kind for kind in submission.kinds if kind in known], allowed, "kinds", why=_NOT_ALLOWED)
    if not submission.kinds:
        yield RegistrationRefused(f"kinds is missing: one or more of {', '.join(known)}")


def check_grant_types(submission: Submission) -> Iterator[RegistrationRefused]:
    """RFC 7591 §2.1: grant types and response types belong together. RFC 9700 §2.1.2: the code flow alone."""
    grants = submission.grant_types
    yield from _only(grants, GRANT_TYPES, "grant_types")
    expected = ("code",) if CODE in grants else ()
    if "response_types" in submission.metadata and submission.items("response_types") != expected:
        yield RegistrationRefused(
            'response_types has to be ["code"] for a client with the grant authorization_code, and [] without it'
        )
    if REFRESH in grants and CODE not in grants:
        yield RegistrationRefused("grant_types has refresh_token without authorization_code, which it goes with")
    if CODE in grants and ClientKind.RELYING_PARTY not in submission.kinds:
        yield RegistrationRefused('The grant authorization_code is for kinds that hold "relying_party"')


def check_application_type(submission: Submission) -> Iterator[RegistrationRefused]:
    """OIDC Registration §2, RFC 8252 §8.4: an app on somebody's device keeps no key; every client here has one."""
    if submission.text("application_type") not in {None, "web"}:
        yield RegistrationRefused(
            'application_type has to be "web": apps sign in through a server of theirs, with keys'
        )


def check_redirect_uris(submission: Submission) -> Iterator[RegistrationRefused]:
    """RFC 6749 §3.1.2, RFC 9700 §2.1 and §4.1: whole addresses that everybody reads alike."""
    addresses = submission.items("redirect_uris")
    if CODE in submission.grant_types and not addresses:
        yield RegistrationRefused("redirect_uris is missing: where people come back to", code="invalid_redirect_uri")
    for address in addresses:
        problem = problem_with_redirect(address, submission.surroundings.addresses)
        if problem is not None:
            yield RegistrationRefused(f"redirect_uris: {_shown(address)} {problem}", code="invalid_redirect_uri")


def check_post_logout_redirect_uris(submission: Submission) -> Iterator[RegistrationRefused]:
    """OIDC RP-Initiated Logout §3.1: as for redirect URIs; people are sent there too."""
    for address in submission.items("post_logout_redirect_uris"):
        problem = problem_with_redirect(address, submission.surroundings.addresses)
        if problem is not None:
            yield RegistrationRefused(f"post_logout_redirect_uris: {_shown(address)} {problem}")


def _check_tls_name(submission: Submission) -> Iterator[RegistrationRefused]:
    # A name that no certificate could have would be found out only when the client comes with its certificate.
    subject, address = submission.text("tls_client_auth_subject_dn"), submission.text("tls_client_auth_san_ip")
    if subject is not None:
        try:
            parse_subject(subject)
        except SubjectUnreadable as error:
            yield RegistrationRefused(f"tls_client_auth_subject_dn: {error.public}")
    if address is not None:
        try:
            ip_address(address)
        except ValueError:
            yield RegistrationRefused("tls_client_auth_san_ip must be an IPv4 or IPv6 address")


def check_auth_method(submission: Submission) -> Iterator[RegistrationRefused]:
    """RFC 7591 §2, RFC 8705 §2.1.2 and §2.2.2: every client proves who it is, with a secret only as an exception."""
    method = submission.auth_method
    yield from _only((method,), submission.surroundings.auth_methods, "token_endpoint_auth_method")
    if method in SECRET_METHODS and not submission.limits.secrets:
        yield RegistrationRefused(
            f"token_endpoint_auth_method: {method} is an exception that was not made for this client; "
            "use private_key_jwt"
        )
    named = [name for name in TLS_NAMES if submission.text(name) is not None]
    if method == "tls_client_auth" and len(named) != 1:
        yield RegistrationRefused(f"tls_client_auth needs exactly one of {', '.join(TLS_NAMES)}")
    if method != "tls_client_auth" and named:
        yield RegistrationRefused(f"{named[0]} goes with token_endpoint_auth_method tls_client_auth alone")
    yield from _check_tls_name(submission)
    exempt = submission.metadata.get("pkce_exempt", False)
    granted = exempt or submission.items("may_act_through") or submission.items("serves_resources")
    if granted and not submission.limits.by_operator:
        yield RegistrationRefused(
            "pkce_exempt, may_act_through and serves_resources are granted by an operator of the gateway alone"
        )


def check_keys(submission: Submission) -> Iterator[RegistrationRefused]:
    """RFC 7591 §2: keys by value or by address, never both; public, named and of an accepted kind."""
    by_value, uri = "jwks" in submission.metadata, submission.text("jwks_uri")
    if by_value and uri is not None:
        yield RegistrationRefused("jwks and jwks_uri exclude each other: send one of them")
    if by_value:
        try:
            registered_keys(submission.metadata["jwks"])
        except KeysUnusable as error:
            yield RegistrationRefused(f"jwks: {error.public}")
    if uri is not None:
        problem = problem_with(uri, submission.surroundings.addresses)
        if problem is not None:
            yield RegistrationRefused(f"jwks_uri: {_shown(uri)} {problem}")
    signs = submission.text("request_object_signing_alg") or submission.metadata.get("require_signed_request_object")
    if (submission.auth_method in KEY_METHODS or signs) and not by_value and uri is None:
        yield RegistrationRefused(
            f"jwks or jwks_uri is missing: {submission.auth_method} needs the client's public key "
            "(gateway clients add --new-key FILE makes one)"
        )
    # design: the message signatures of sharing verify with keys that an operator has seen.
    if uri is not None and {ClientKind.CONSUMER, ClientKind.PROVIDER} & set(submission.kinds):
        yield RegistrationRefused("jwks_uri is for relying parties alone: consumers and providers send jwks")


def check_algorithms(submission: Submission) -> Iterator[RegistrationRefused]:
    """OIDC Core §15.1, RFC 8725 §3.1: algorithms we sign with, or verify; nothing is encrypted here."""
    for name in ENCRYPTION:
        if name in submission.metadata:
            yield RegistrationRefused(f"{name}: nothing is encrypted here beyond TLS; leave it out")
    for name in ALGORITHM_NAMES:
        given = submission.text(name)
        theirs = name in {"token_endpoint_auth_signing_alg", "request_object_signing_alg"}
        if given is not None:
            yield from _only((given,), REQUEST_ALGORITHMS if theirs else RESPONSE_ALGORITHMS, name)


def check_scopes(submission: Submission) -> Iterator[RegistrationRefused]:
    """RFC 7591 §2: scopes, resources and kinds of account are among those allowed to this client."""
    limits = submission.limits
    yield from _only(submission.scopes, limits.scopes, "scope", why=_NOT_ALLOWED)
    yield from _only(submission.items("resources"), limits.resources, "resources", why=_NOT_ALLOWED)
    yield from _only(submission.items("account_kinds"), limits.account_kinds, "account_kinds", why=_NOT_ALLOWED)
    if CODE not in submission.grant_types:
        return
    if "openid" not in submission.scopes:
        yield RegistrationRefused('scope has to hold "openid" for a client with the grant authorization_code')
    if not submission.allowed("account_kinds", limits.account_kinds):
        yield RegistrationRefused("account_kinds is missing: who may sign in, citizen or officer or both")


def check_acr_values(submission: Submission) -> Iterator[RegistrationRefused]:
    """OIDC Registration §2: levels that a sign-in here can reach."""
    yield from _only(
        submission.items("default_acr_values"),
        [acr for levels in LEVELS.values() for acr in levels],
        "default_acr_values",
    )


def check_subject_type(submission: Submission) -> Iterator[RegistrationRefused]:
    """OIDC Core §8, design: each member knows a person under a name of its own, and no other."""
    if submission.text("subject_type") not in {None, "pairwise"}:
        yield RegistrationRefused('subject_type has to be "pairwise": there are no public subs here')


def check_logout_addresses(submission: Submission) -> Iterator[RegistrationRefused]:
    """Back-Channel Logout §2.2 and Front-Channel Logout §2."""
    for name in ("backchannel_logout_uri", "frontchannel_logout_uri"):
        address = submission.text(name)
        problem = problem_with(address, submission.surroundings.addresses) if address is not None else None
        if problem is not None:
            yield RegistrationRefused(f"{name}: {_shown(str(address))} {problem}")
        if address is None and submission.metadata.get(name.replace("_uri", "_session_required")):
            yield RegistrationRefused(f"{name} is missing, which the client wants to be told sessions at")
    front, rules = submission.text("frontchannel_logout_uri"), submission.surroundings.addresses
    # An address that cannot be read has no origin to compare; it was told above.
    if front is None or problem_with(front, rules) is not None:
        return
    origins = {origin_of(uri) for uri in submission.items("redirect_uris") if problem_with(uri, rules) is None}
    if origin_of(front) not in origins:
        yield RegistrationRefused(
            "frontchannel_logout_uri: its scheme, host and port have to be those of one of the redirect_uris"
        )


def check_pages(submission: Submission) -> Iterator[RegistrationRefused]:
    """RFC 7591 §2 and §5: pages about the client are web pages; contacts are addresses of mail."""
    for name in PAGE_ADDRESSES:
        address = submission.text(name)
        problem = problem_with(address, submission.surroundings.addresses) if address is not None else None
        if problem is not None:
            yield RegistrationRefused(f"{name}: {_shown(str(address))} {problem}")
    for contact in submission.items("contacts"):
        if len(contact) > LONGEST_CONTACT or not 0 < contact.find("@") < len(contact) - 1:
            yield RegistrationRefused("contacts: each has to be an e-mail address")


def check_sector(submission: Submission) -> Iterator[RegistrationRefused]:
    """OIDC Registration §5: who shares a sector says so at its address. The last rule, for it asks the network."""
    uri = submission.text("sector_identifier_uri")
    if uri is None:
        return
    problem = problem_with(uri, submission.surroundings.addresses)
    if problem is not None:
        yield RegistrationRefused(f"sector_identifier_uri: {_shown(uri)} {problem}")
        return
    try:
        listed = submission.surroundings.fetch_sector(uri)
    except GatewayError as error:
        yield RegistrationRefused(f"sector_identifier_uri: {error.public}")
        return
    if not isinstance(listed, list):
        yield RegistrationRefused("sector_identifier_uri: it has to answer with a JSON list of redirect URIs")
        return
    for address in submission.items("redirect_uris"):
        if address not in listed:
            yield RegistrationRefused(f"sector_identifier_uri: its list does not hold {_shown(address)}")


CHECKS: tuple[Callable[[Submission], Iterator[RegistrationRefused]], ...] = (
    check_types,
    check_name,
    check_kinds,
    check_grant_types,
    check_application_type,
    check_redirect_uris,
    check_post_logout_redirect_uris,
    check_auth_method,
    check_keys,
    check_algorithms,
    check_scopes,
    check_acr_values,
    check_subject_type,
    check_logout_addresses,
    check_pages,
    check_sector,
)

_NOT_ALLOWED = "is not allowed to this client"


def _what_holds(submission: Submission) -> Submission:
    """Leave out what no client can be made of, which has been told, so that the rest is judged as a whole."""
    metadata = dict(submission.metadata)
    for name, accepted in (("kinds", tuple(kind.value for kind in ClientKind)), ("grant_types", GRANT_TYPES)):
        if name in metadata:
            metadata[name] = [item for item in submission.items(name) if item in accepted]
    rules = submission.surroundings.addresses
    addresses = submission.items("redirect_uris")
    metadata["redirect_uris"] = [uri for uri in addresses if problem_with_redirect(uri, rules) is None]
    metadata.pop("sector_identifier_uri", None)
    try:
        registered_keys(metadata.get("jwks"))
    except KeysUnusable:
        metadata.pop("jwks", None)
    return replace(submission, metadata=metadata)


def _client(submission: Submission, client_id: str) -> Client:
    limits, metadata = submission.limits, dict(submission.metadata)
    keys = registered_keys(metadata["jwks"]) if "jwks" in metadata else None
    sector_uri = submission.text("sector_identifier_uri")
    return Client(
        client_id=client_id,
        member_code=limits.member_code,
        name=submission.text("client_name") or client_id,
        kinds=tuple(ClientKind(kind) for kind in submission.kinds),
        keys=keys.signing if keys else (),
        encryption_keys=keys.encryption if keys else (),
        redirect_uris=submission.items("redirect_uris"),
        post_logout_redirect_uris=submission.items("post_logout_redirect_uris"),
        grant_types=submission.grant_types,
        scopes=submission.scopes,
        resources=submission.allowed("resources", limits.resources),
        account_kinds=submission.allowed("account_kinds", limits.account_kinds),
        # A sector never spans members, whatever they declare: no two of them may learn the same name of a person.
        sector=limits.member_code if sector_uri is None else f"{limits.member_code} {host_of(sector_uri)}",
        oauth=settings_from(metadata),
    )


def _only(
    given: Collection[str], accepted: Collection[str], name: str, *, why: str = "is not one of those here"
) -> Iterator[RegistrationRefused]:
    for item in given:
        if item not in accepted:
            known = f" ({', '.join(accepted)})" if accepted else ""
            yield RegistrationRefused(f"{name}: {_shown(item)} {why}{known}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and value.isprintable()


def _is_list(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MOST_ITEMS and all(_is_text(item) for item in value)


def _code_for(name: str) -> str:
    return "invalid_redirect_uri" if name == "redirect_uris" else "invalid_client_metadata"


def _shown(text: str) -> str:
    # RFC 6749 §5.2: descriptions hold neither quotes nor backslashes, nor anything beyond ASCII.
    plain = "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in text)
    return plain if len(plain) <= LONGEST_SHOWN else plain[: LONGEST_SHOWN - 3] + "..."

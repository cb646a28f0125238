"""How an answer travels back to the relying party: in the query, in the fragment, or in a form that posts itself.

OAuth 2.0 Multiple Response Type Encoding Practices §2.1; OAuth 2.0 Form Post Response Mode; each of them signed, JARM
§2.3. Errors go the way that codes go. Framework-free: the door makes a redirect or a page of what is returned.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from gateway.oidc.authorization.request import Asked

Members = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerByRedirect:
    """The browser is sent to this address, which holds the answer."""

    address: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerByForm:
    """The browser posts these members to the redirect URI."""

    redirect_uri: str
    members: Members = field(repr=False)

    @property
    def origin(self) -> str:
        """Where the form leads, as browsers compare it with `form-action`."""
        parts = urlsplit(self.redirect_uri)
        return f"{parts.scheme}://{parts.netloc}"


Answer = AnswerByRedirect | AnswerByForm


def by_query(redirect_uri: str, members: Members) -> Answer:
    """RFC 6749 §4.1.2. A registered redirect URI may have a query of its own, which stays (§3.1.2)."""
    separator = "&" if "?" in redirect_uri else "?"
    return AnswerByRedirect(address=f"{redirect_uri}{separator}{urlencode(members)}")


def by_fragment(redirect_uri: str, members: Members) -> Answer:
    """Multiple Response Types §2.1. A registered redirect URI has no fragment (RFC 6749 §3.1.2)."""
    return AnswerByRedirect(address=f"{redirect_uri}#{urlencode(members)}")


def by_form(redirect_uri: str, members: Members) -> Answer:
    """Form Post Response Mode §2."""
    return AnswerByForm(redirect_uri=redirect_uri, members=members)


MODES: Mapping[str, Callable[[str, Members], Answer]] = {
    "query": by_query,
    "fragment": by_fragment,
    "form_post": by_form,
}


SIGNED = ".jwt"
# JARM §2.3: `jwt` alone is the default way of the response type, signed.
SIGNED_MODES = ("jwt", *(mode + SIGNED for mode in MODES))


def answer(asked: Asked, members: Members, *, sign: Callable[[Asked, Members], str]) -> Answer:
    """Return a code or an error, with the state as it was sent and who answers (RFC 9207 §2), by the mode asked for.

    `sign` makes a JWT of the members where such a mode was asked for; who answers is in it (JARM §2.1).
    """
    state = {"state": asked.state} if asked.state is not None else {}
    mode, whole = mode_of(asked), {**members, **state}
    if mode.endswith(SIGNED):
        return MODES[mode.removesuffix(SIGNED)](asked.redirect_uri, {"response": sign(asked, whole)})
    return MODES[mode](asked.redirect_uri, {**whole, "iss": asked.endpoints.issuer})


def mode_of(asked: Asked) -> str:
    """Return the mode by which to answer; one that is unknown or repeated is an error, told by the default mode."""
    mode = asked.parameters.one("response_mode")
    if mode == "jwt":
        return _default_mode(asked) + SIGNED
    return mode if mode is not None and mode in {*MODES, *SIGNED_MODES} else _default_mode(asked)


def _default_mode(asked: Asked) -> str:
    # Multiple Response Types §2.1, §5: the fragment is the default of every type that would have brought a token.
    types = (asked.parameters.one("response_type") or "").split()
    return "fragment" if {"token", "id_token"} & set(types) else "query"

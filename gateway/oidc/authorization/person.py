"""What a request demands of whoever is at the browser, and what they still have to do before it can be answered."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from gateway.identity.accounts import AccountKind
from gateway.identity.assurance import SECURITY_CODE, level_of, reaches
from gateway.identity.sessions import SignedIn
from gateway.identity.step_up import may_step_up
from gateway.oidc.authorization.request import AuthorizationRequest
from gateway.oidc.errors import AuthorizationRefused

JUST_SIGNED_IN = timedelta(minutes=2)
# Whoever was asked a question on a page of ours may read it at leisure without having to sign in once more.
ANSWERING = timedelta(minutes=10)
SHARING_LEVEL = "AAL2"


class Step(StrEnum):
    """What a person still has to do, in the order in which it is asked."""

    SIGN_IN = "sign_in"
    SECURITY_CODE = "security_code"
    CHOOSE_ACCOUNT = "choose_account"
    CONSENT = "consent"


# OIDC Core §3.1.2.6: what a client hears that allowed no page (`prompt=none`).
WITHOUT_A_PAGE = {
    Step.SIGN_IN: AuthorizationRefused("login_required", "Nobody is signed in here as this request needs"),
    Step.SECURITY_CODE: AuthorizationRefused("login_required", "This request needs a stronger sign-in"),
    Step.CHOOSE_ACCOUNT: AuthorizationRefused("account_selection_required", "An account has to be chosen"),
    Step.CONSENT: AuthorizationRefused("consent_required", "Consent has to be asked for"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a request has come at one browser."""

    started_at: datetime
    """When it first arrived: a sign-in since then satisfies `prompt=login` and any `max_age`."""
    another_since: datetime | None = None
    """When somebody chose to use another account than the one that was signed in."""
    account: UUID | None = None
    """Whom the person chose to go on as, or was asked to consent as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whose answer it may be: those whom `id_token_hint` or a `sub` asked for by value name; anybody's when None."""

    accounts: frozenset[UUID] | None = None

    def admits(self, signed_in: SignedIn) -> bool:
        """Whether this person is one of them."""
        return self.accounts is None or signed_in.account.account_id in self.accounts


def step_before_answer(
    request: AuthorizationRequest,
    signed_in: SignedIn | None,
    *,
    wanted: Wanted,
    progress: Progress,
    consented: bool = False,
    now: datetime,
) -> Step | None:
    """Return the next step; None when nothing is left to do.

    The address to come back to can be kept, and must not be a way round a sign-in: it counts as just done only for as
    long as it takes to come back from it, or to answer the question that was asked next.
    """
    if signed_in is None or signed_in.account.kind not in request.kinds:
        return Step.SIGN_IN
    just_signed_in = signed_in.auth_time >= (progress.another_since or progress.started_at) and (
        now - signed_in.auth_time <= (ANSWERING if consented else JUST_SIGNED_IN)
    )
    if not just_signed_in and (
        progress.another_since is not None
        or _needs_fresh_sign_in(request, signed_in, now=now)
        or not wanted.admits(signed_in)
    ):
        return Step.SIGN_IN
    if _can_be_stronger(request, signed_in):
        return Step.SECURITY_CODE if may_step_up(signed_in, now=now) else Step.SIGN_IN
    # OIDC Core §3.1.2.1: who has just typed whose account it is has chosen it.
    if "select_account" in request.prompts and not just_signed_in and not _is_about(progress, signed_in):
        return Step.CHOOSE_ACCOUNT
    # OIDC Core §3.1.2.1: the last question, asked of whom the answer would be about.
    if "consent" in request.prompts and not (consented and _is_about(progress, signed_in)):
        return Step.CONSENT
    return None


def check_person(request: AuthorizationRequest, signed_in: SignedIn, *, wanted: Wanted) -> None:
    """Apply every check of the person to the request; raises `AuthorizationRefused`."""
    # OIDC Core §3.1.2.1 and §5.5.1: nobody but the person named; a sign-in as somebody else is answered by an error.
    if not wanted.admits(signed_in):
        raise AuthorizationRefused("login_required", "Somebody else signed in than this request is about")
    for check in PERSON_CHECKS:
        check(request, signed_in)


def check_kind(request: AuthorizationRequest, signed_in: SignedIn) -> None:
    """design: a client takes only the kinds of account it is registered for."""
    if signed_in.account.kind not in request.kinds:
        raise AuthorizationRefused("access_denied", "This client does not take this kind of account")


def check_sharing_is_for_officers(request: AuthorizationRequest, signed_in: SignedIn) -> None:
    """The sharing API is asked by officers or by systems, never in a citizen's name."""
    if _asks_to_share(request) and signed_in.account.kind is not AccountKind.OFFICER:
        raise AuthorizationRefused("access_denied", "Only officers may have a token for this resource")


def check_sharing_strength(request: AuthorizationRequest, signed_in: SignedIn) -> None:
    """An officer asks about people only after signing in with two factors (AAL2)."""
    if _asks_to_share(request) and not reaches(signed_in.account.kind, signed_in.acr, minimum=SHARING_LEVEL):
        raise AuthorizationRefused("unmet_authentication_requirements", "This resource needs a sign-in at AAL2")


def check_essential_acr(request: AuthorizationRequest, signed_in: SignedIn) -> None:
    """OIDC Core §5.5.1.1: an essential `acr` is one of those asked for, or the sign-in failed."""
    if _essential_levels(request) and not _level_asked_for(request, signed_in):
        raise AuthorizationRefused("unmet_authentication_requirements", "No acr that was asked for was reached")


PERSON_CHECKS = (check_kind, check_sharing_is_for_officers, check_sharing_strength, check_essential_acr)


def acr_to_tell(request: AuthorizationRequest, signed_in: SignedIn) -> str:
    """Return the level that the sign-in reached; of an essential `acr`, the one asked for that it satisfies.

    OIDC Core §2: an `acr` is a class that the authentication *satisfied*; one with two factors satisfies AAL1 as well.
    """
    return _level_asked_for(request, signed_in) or signed_in.acr


def _level_asked_for(request: AuthorizationRequest, signed_in: SignedIn) -> str | None:
    asked = _essential_levels(request)
    if signed_in.acr in asked:
        return signed_in.acr
    kind = signed_in.account.kind
    return next((level for level in asked if reaches(kind, signed_in.acr, minimum=level)), None)


def _needs_fresh_sign_in(request: AuthorizationRequest, signed_in: SignedIn, *, now: datetime) -> bool:
    # OIDC Core §3.1.2.1: login asks again whoever is signed in; max_age asks again whoever signed in too long ago.
    too_old = request.max_age is not None and now - signed_in.auth_time > request.max_age
    return "login" in request.prompts or too_old


def _can_be_stronger(request: AuthorizationRequest, signed_in: SignedIn) -> bool:
    """Tell whether a security code would reach what is asked for and not reached without."""
    kind, acr = signed_in.account.kind, signed_in.acr
    if not signed_in.account.has_security_code or SECURITY_CODE in signed_in.methods:
        return False
    with_code = level_of(kind, (*signed_in.methods, SECURITY_CODE))
    if _asks_to_share(request) and not reaches(kind, acr, minimum=SHARING_LEVEL):
        return reaches(kind, with_code, minimum=SHARING_LEVEL)
    # Best first: the first level asked for that could be had decides.
    for level in (*_essential_levels(request), *_voluntary_levels(request)):
        if reaches(kind, with_code, minimum=level):
            return not reaches(kind, acr, minimum=level)
    return False


def _essential_levels(request: AuthorizationRequest) -> tuple[str, ...]:
    asked = request.claims.id_token.get("acr")
    return tuple(str(value) for value in asked.values) if asked is not None and asked.essential else ()


def _voluntary_levels(request: AuthorizationRequest) -> tuple[str, ...]:
    asked = request.claims.id_token.get("acr")
    named = tuple(str(value) for value in asked.values) if asked is not None and not asked.essential else ()
    return named + request.acr_values


def _is_about(progress: Progress, signed_in: SignedIn) -> bool:
    return progress.account == signed_in.account.account_id


def _asks_to_share(request: AuthorizationRequest) -> bool:
    return request.asked.endpoints.sharing in request.resources

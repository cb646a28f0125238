"""What this room writes into the log. Names and fields are those of `gateway.audit.events`."""

from gateway.audit.append import Event
from gateway.audit.events import DONE, REFUSED
from gateway.identity.accounts import Account
from gateway.identity.sessions import SignedIn
from gateway.identity.subjects import SubjectReferences


class IdentityEvents:
    """Builds events about people; each is encrypted under the key of the person it is about."""

    def __init__(self, references: SubjectReferences) -> None:
        self._references = references

    def signed_in(self, signed_in: SignedIn, *, source: str) -> Event:
        """Somebody proved who they are."""
        return self._event(
            f"identity.{signed_in.account.kind}.signed_in", DONE, signed_in.account, **_of(signed_in), source=source
        )

    def sign_in_failed(self, account: Account | None, *, source: str, reason: str) -> Event:
        """Somebody tried to be this person, or nobody we know, and failed; `reason` is one of our own words.

        The log is public: what it shows is the same for both, so that nobody learns there who has an account.
        """
        about = _about(account) if account is not None else {}
        return Event(
            name="identity.sign_in.failed",
            outcome=REFUSED,
            members=(),
            details={**about, "source": source, "reason": reason},
            subject=self._references.reference_of_account(account.account_id) if account is not None else None,
        )

    def session_ended(self, signed_in: SignedIn, **facts: str) -> Event:
        """A session ended; `facts` are its reason, and who or what ended it, from where."""
        return self._event("identity.session.ended", DONE, signed_in.account, **_of(signed_in), **facts)

    def account_registered(self, account: Account, *, by: str) -> Event:
        """An account was made."""
        return self._event("identity.account.registered", DONE, account, roles=list(account.roles), by=by)

    def account_suspended(self, account: Account, *, by: str, reason: str) -> Event:
        """An account was suspended."""
        return self._event("identity.account.suspended", DONE, account, by=by, reason=reason)

    def account_reinstated(self, account: Account, *, by: str) -> Event:
        """A suspended account may sign in again."""
        return self._event("identity.account.reinstated", DONE, account, by=by)

    def _event(self, name: str, outcome: str, account: Account, **details: object) -> Event:
        return Event(
            name=name,
            outcome=outcome,
            members=(account.member_code,) if account.member_code else (),
            details=_about(account) | details,
            subject=self._references.reference_of_account(account.account_id),
        )


def _about(account: Account) -> dict[str, object]:
    return {
        "account": str(account.account_id),
        "account_kind": str(account.kind),
        "member": account.member_code,
    }


def _of(signed_in: SignedIn) -> dict[str, object]:
    return {
        "roles": list(signed_in.account.roles),
        "session": str(signed_in.session_id),
        "acr": signed_in.acr,
        "amr": list(signed_in.methods),
    }

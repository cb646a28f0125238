"""Pairwise subjects (OIDC Core §8.1): each sector knows a person by a `sub` of its own.

HMAC-SHA-256 under a versioned secret, never a bare hash; kept, so that the gateway can translate between sectors. A
newer key makes the subs of new pairs only: a sub that was once told never changes.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.identity.models import PairwiseRow
from gateway.wire.encoding import b64url_encode

# Made once: every token asks this.
_KNOWN = select(PairwiseRow.sub).where(
    PairwiseRow.account_id == bindparam("account_id"), PairwiseRow.sector == bindparam("sector")
)


class Pairwise:
    """Translates between accounts and the subs of sectors."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """Take secret keys by version; the highest version makes new subs."""
        self._version = max(keys)
        self._key = keys[self._version]

    def known_sub(self, session: Session, account_id: UUID, sector: str) -> str | None:
        """Return the account's sub in this sector, if it was ever asked for."""
        sub: str | None = session.connection().scalar(_KNOWN, {"account_id": account_id, "sector": sector})
        return sub

    def sub_for(self, session: Session, account_id: UUID, sector: str, *, at: datetime) -> str:
        """Return the account's sub in this sector, made and kept on first use; needs a write transaction."""
        sub = self.known_sub(session, account_id, sector)
        if sub is not None:
            return sub
        insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        made = insert(PairwiseRow).values(
            account_id=account_id,
            sector=sector,
            sub=self._make(account_id, sector),
            key_version=self._version,
            created_at=at,
        )
        # Another transaction may have made it meanwhile, perhaps under an older key: whoever came first was right.
        session.execute(made.on_conflict_do_nothing(index_elements=[PairwiseRow.account_id, PairwiseRow.sector]))
        return session.connection().scalars(_KNOWN, {"account_id": account_id, "sector": sector}).one()

    def find_account(self, session: Session, sub: str, sector: str) -> UUID | None:
        """Return the account that this sector knows by `sub`."""
        return session.scalar(
            select(PairwiseRow.account_id).where(PairwiseRow.sector == sector, PairwiseRow.sub == sub)
        )

    def _make(self, account_id: UUID, sector: str) -> str:
        return b64url_encode(hmac.digest(self._key, f"{sector}\x00{account_id}".encode(), "sha256"))

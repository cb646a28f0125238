"""Six-digit codes from an authenticator app (TOTP, RFC 6238): SHA-1, 30 seconds, one step of drift either way."""

from datetime import datetime

import pyotp
from pyotp.exceptions import OTPVerificationError
from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from gateway.identity.accounts import Account, code_place
from gateway.identity.models import AccountRow
from gateway.identity.sealing import Sealing

STEPS_OF_DRIFT = 1


def generate_code_secret() -> str:
    """Return a new 160-bit secret, base32 (RFC 4226 §4 R6)."""
    return pyotp.random_base32()


def provisioning_uri(secret: str, *, account: Account, issuer_name: str) -> str:
    """Return the `otpauth:` address that an authenticator app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account.email, issuer_name=issuer_name)


def code_at(secret: str, moment: datetime) -> str:
    """Return the code an authenticator app shows at `moment`."""
    return pyotp.TOTP(secret).at(moment)


def accept_code(session: Session, account: Account, code: str, *, sealing: Sealing, now: datetime) -> bool:
    """Tell whether `code` is right now and newer than every code accepted before; if so, it is used up.

    RFC 6238 §5.2: a code is accepted once. The claim is one statement, so of two concurrent uses one is refused.
    """
    row = session.get(AccountRow, account.account_id)
    if row is None or row.sealed_code_secret is None:
        return False
    secret = sealing.unseal(row.sealed_code_secret, place=code_place(account.account_id)).decode()
    try:
        timecode = pyotp.TOTP(secret).verify_and_get_timecode(code, for_time=now, valid_window=STEPS_OF_DRIFT)
    except OTPVerificationError:
        return False
    newer = or_(AccountRow.last_timecode.is_(None), AccountRow.last_timecode < timecode)
    claim = update(AccountRow).where(AccountRow.account_id == account.account_id, newer).values(last_timecode=timecode)
    return session.execute(claim.returning(AccountRow.account_id)).first() is not None

"""Passwords: which may be chosen, how they are kept, how they are checked.

NIST SP 800-63B §3.1.1: at least eight characters, long ones welcome, any character, common ones refused, nothing else
demanded and no forced change. Kept with Argon2id (RFC 9106) at 19 MiB, two passes, one lane.
"""

import secrets
import unicodedata

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from gateway.identity.errors import PasswordRefused

SHORTEST = 8
# Far above any passphrase; a bound only so that hashing cannot be used to keep the gateway busy.
LONGEST = 1024
NO_PASSWORD = ""
"""Kept in place of a hash where there is no password: no password is right."""
COMMON = frozenset(FREQUENCY_LISTS["passwords"])


def check_new_password(password: str, *, email: str) -> None:
    """Refuse a password that must not be chosen; raises `PasswordRefused` saying why."""
    if len(password) < SHORTEST:
        raise PasswordRefused(f"Password must be {SHORTEST} characters or more")
    if len(password) > LONGEST:
        raise PasswordRefused(f"Password must be {LONGEST:,} characters or fewer")
    folded = _prepared(password).casefold()
    if folded in COMMON or len(set(folded)) == 1:
        raise PasswordRefused("Choose a password that is harder to guess: this one is among the most used")
    if folded in {email.casefold(), email.casefold().partition("@")[0]}:
        raise PasswordRefused("Password must not be your e-mail address")


def generate_password() -> str:
    """Return a random password of 96 bits, in four groups that can be read out."""
    return "-".join(secrets.token_hex(3) for _ in range(4))


class Passwords:
    """Hashes and checks passwords. One instance is shared: it holds no state but its parameters and a decoy."""

    def __init__(self, *, memory_kib: int = 19 * 1024, passes: int = 2, lanes: int = 1) -> None:
        self._hasher = PasswordHasher(
            memory_cost=memory_kib, time_cost=passes, parallelism=lanes, hash_len=32, salt_len=16, type=Type.ID
        )
        self._decoy = self._hasher.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        """Return the password's hash in PHC string format, with its parameters and a new salt."""
        return self._hasher.hash(_prepared(password).encode("utf-8", "surrogatepass"))

    def matches(self, stored: str | None, password: str) -> bool:
        """Tell whether `password` is the one whose hash is `stored`.

        Without a stored hash (None, or `NO_PASSWORD`) the same work is done against a decoy, so that somebody unknown,
        or who has no password, takes as long.
        """
        try:
            self._hasher.verify(stored or self._decoy, _prepared(password).encode("utf-8", "surrogatepass"))
        except (VerifyMismatchError, InvalidHashError):
            return False
        return bool(stored)

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether `stored` was made with other parameters than are used now."""
        return self._hasher.check_needs_rehash(stored)


def _prepared(password: str) -> str:
    # The same characters typed on different keyboards must be the same bytes (NIST SP 800-63B §3.1.1.2).
    return unicodedata.normalize("NFKC", password)

"""Keys come and go: made, set aside, revoked. Each step is one file that is there or not: a crash is no third state.

A key of the tokens that is over leaves its public half in `retired/`, or in `revoked/` when it was taken out of use.
From that file's appearance on its number no longer counts, whatever else lies there; its private half is destroyed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.clock import parse_rfc3339, rfc3339
from gateway.signing.encryption import check_lock_current
from gateway.signing.errors import KeyFileDamaged, KeyNotMade, KeyNotRetired
from gateway.signing.hsm import HsmSigner
from gateway.signing.key_files import (
    IN_THE_CLEAR,
    RETIRED,
    Keeping,
    Key,
    hsm_key_file,
    key_file,
    key_files,
    read_key,
)
from gateway.signing.private_files import make_names_durable, write_private_file
from gateway.signing.purposes import ALGORITHMS, PUBLISHED_AHEAD, Purpose
from gateway.signing.states import State, signing_key, state_of
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.signer import PrivateKeySigner

REVOKED = "revoked"
_MOST_KEYS = 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class PastKey:
    """What remains of a key of the tokens: its number, its public half, when and how it went."""

    number: str
    jwk: dict[str, str]
    at: datetime
    revoked: bool

    @property
    def key_id(self) -> str:
        """Its `kid`."""
        return self.jwk["kid"]


def load_keys(keys_dir: Path, purpose: Purpose, keeping: Keeping = IN_THE_CLEAR) -> tuple[Key, ...]:
    """Read every key of a purpose that counts, lowest number first; raises as `read_key`."""
    gone = past_numbers(keys_dir, purpose)
    return tuple(read_key(path, purpose, keeping) for path in key_files(keys_dir, purpose) if path.stem not in gone)


def past_numbers(keys_dir: Path, purpose: Purpose) -> frozenset[str]:
    """Return the numbers of the tokens' keys that were set aside: their files no longer count."""
    if purpose is not Purpose.TOKENS:
        return frozenset()
    return frozenset(path.stem for path in _past_files(keys_dir))


def past_keys(keys_dir: Path) -> tuple[PastKey, ...]:
    """Return the tokens' keys that were retired or revoked, lowest number first; raises `KeyFileDamaged`."""
    return tuple(_read_past(path) for path in sorted(_past_files(keys_dir), key=lambda path: path.stem))


def make_missing_keys(
    keys_dir: Path, keeping: Keeping = IN_THE_CLEAR, *, now: datetime | None = None
) -> tuple[Purpose, ...]:
    """Make a first key for each purpose and algorithm that has none; returns the purposes for which one was made.

    It signs at once, since nothing else could. `now` is written down as the time of its making.
    """
    made = []
    for purpose, algorithms in ALGORITHMS.items():
        number = next_number(keys_dir, purpose)
        held = {key.algorithm for key in load_keys(keys_dir, purpose, keeping)}
        for offset, algorithm in enumerate(each for each in algorithms if each not in held):
            number_of_this = f"{int(number) + offset:04d}"
            _make(keys_dir, purpose, algorithm, keeping, number=number_of_this, made_at=now, signs_from=None)
            made.append(purpose)
    return tuple(dict.fromkeys(made))


def add_key(
    keys_dir: Path,
    purpose: Purpose,
    algorithm: str,
    keeping: Keeping = IN_THE_CLEAR,
    *,
    now: datetime,
    at_once: bool = False,
) -> Key:
    """Make the next key of an algorithm, which signs after it was published long enough, or `at_once`.

    Raises `KeyNotMade` while an earlier one waits to sign, and when another process was first.
    """
    check_lock_current(keys_dir, keeping.lock)
    # The number before the question: whoever makes a key between the two has taken it.
    number = next_number(keys_dir, purpose)
    keys = [key for key in load_keys(keys_dir, purpose, keeping) if key.algorithm == algorithm]
    waiting = [key for key in keys if state_of(key, keys, purpose, now=now) is State.NEXT]
    if waiting and not at_once:
        raise KeyNotMade(f"Key {waiting[-1].number} for {algorithm} is published already, and signs soon.")
    signs_from = None
    if purpose is not Purpose.LOG:
        # To the millisecond, as it is written: an instant later than `now` would not have come yet.
        signs_from = parse_rfc3339(rfc3339(now if at_once else now + PUBLISHED_AHEAD))
    return _make(keys_dir, purpose, algorithm, keeping, number=number, made_at=now, signs_from=signs_from)


def next_number(keys_dir: Path, purpose: Purpose) -> str:
    """Return the lowest number above all that were ever used."""
    used = [int(file.stem) for retired in (False, True) for file in key_files(keys_dir, purpose, retired=retired)]
    used += [int(number) for number in past_numbers(keys_dir, purpose)]
    number = max(used, default=0) + 1
    if number > _MOST_KEYS:
        raise KeyNotMade("There is no number left for another key.")
    return f"{number:04d}"


def retire_over(keys_dir: Path, keeping: Keeping = IN_THE_CLEAR, *, now: datetime) -> tuple[PastKey, ...]:
    """Set aside every key of the tokens that is over; returns what remains of each."""
    keys = load_keys(keys_dir, Purpose.TOKENS, keeping)
    over = [key for key in keys if state_of(key, keys, Purpose.TOKENS, now=now) is State.OVER]
    return tuple(retire_key(keys_dir, key, keeping, now=now) for key in over)


def retire_key(keys_dir: Path, key: Key, keeping: Keeping = IN_THE_CLEAR, *, now: datetime) -> PastKey:
    """Set a key of the tokens aside that is over: its public half stays, for old ID tokens given as hints."""
    return _set_aside(keys_dir, key, keeping, folder=RETIRED, now=now)


def revoke_key(keys_dir: Path, key: Key, keeping: Keeping = IN_THE_CLEAR, *, now: datetime) -> PastKey:
    """Take a key of the tokens out of use at once: nothing it signed is accepted any longer.

    Raises `KeyNotRetired` for the only key of its algorithm that signs.
    """
    others = [each for each in load_keys(keys_dir, Purpose.TOKENS, keeping) if each.number != key.number]
    successor = signing_key(others, key.algorithm, now=now)
    if successor is None:
        raise KeyNotRetired(f"Key {key.number} is the only one for {key.algorithm}; make another one first.")
    return _set_aside(keys_dir, key, keeping, folder=REVOKED, now=now)


def find_past_key(keys_dir: Path, number: str) -> PastKey | None:
    """Return what remains of the key of this number, or None when it still counts or never was."""
    found = [key for key in past_keys(keys_dir) if key.number == number]
    return next((key for key in found if key.revoked), found[0] if found else None)


def revoke_past_key(keys_dir: Path, past: PastKey, *, now: datetime) -> PastKey:
    """Revoke a key that was retired: it opens no old ID token any longer."""
    if past.revoked:
        return past
    path = _write_past(keys_dir, past.number, past.jwk, folder=REVOKED, now=now)
    (keys_dir / Purpose.TOKENS / RETIRED / path.name).unlink(missing_ok=True)
    return _read_past(path)


def finish_setting_aside(keys_dir: Path, keeping: Keeping = IN_THE_CLEAR) -> None:
    """Destroy what a process that was killed left of keys that no longer count; raises `HsmUnavailable`."""
    gone = past_numbers(keys_dir, Purpose.TOKENS)
    for path in key_files(keys_dir, Purpose.TOKENS):
        if path.stem in gone:
            _destroy(path, keeping)


def retire_log_key(keys_dir: Path, number: str) -> Path:
    """Let a key of the log sign no more from the next start on: it is moved to `retired/`; returns its file there.

    It still opens what it signed. Raises `KeyNotRetired` for one that is not there, for the only one left, and where
    another key of this number was retired before.
    """
    files = key_files(keys_dir, Purpose.LOG)
    leaving = next((file for file in files if file.stem == number), None)
    if leaving is None:
        raise KeyNotRetired(f"There is no key {number} of the log; there are {', '.join(file.stem for file in files)}.")
    if len(files) == 1:
        raise KeyNotRetired("This is the log's only key; make another one first.")
    retired = keys_dir / Purpose.LOG / RETIRED / leaving.name
    # What is there already is never replaced: a second key of one number would be lost with all that it has signed.
    if not write_private_file(retired, leaving.read_bytes()) and retired.read_bytes() != leaving.read_bytes():
        raise KeyNotRetired(f"Another key {number} of the log was retired before; give this one a number of its own.")
    leaving.unlink()
    return retired


def new_signer(algorithm: str) -> PrivateKeySigner:
    """Make a key pair in memory."""
    return PrivateKeySigner.generate(algorithm)


def _make(
    keys_dir: Path,
    purpose: Purpose,
    algorithm: str,
    keeping: Keeping,
    *,
    number: str,
    made_at: datetime | None,
    signs_from: datetime | None,
) -> Key:
    check_lock_current(keys_dir, keeping.lock)
    path = keys_dir / purpose / f"{number}.pem"
    object_id = None
    if keeping.hsm is not None:
        object_id, public_key = keeping.hsm.generate(algorithm, label=f"gateway {purpose} {number} {algorithm}")
        content = hsm_key_file(
            public_key, object_id=object_id, algorithm=algorithm, made_at=made_at, signs_from=signs_from
        )
    else:
        signer = new_signer(algorithm)
        content = key_file(signer, lock=keeping.lock, made_at=made_at, signs_from=signs_from)
    # Written: from here the key exists, with the time from which it signs, for every process of every node.
    if not write_private_file(path, content):
        if keeping.hsm is not None and object_id is not None:
            keeping.hsm.destroy(object_id)
        raise KeyNotMade(f"Another key {path.name} was made at the same time; look at it before making one more.")
    return read_key(path, purpose, keeping)


def _set_aside(keys_dir: Path, key: Key, keeping: Keeping, *, folder: str, now: datetime) -> PastKey:
    path = _write_past(keys_dir, key.number, key.signer.public_jwk(), folder=folder, now=now)
    # Written: from here its number no longer counts. What is left is tidying, which `gateway work` would do as well.
    _destroy(key.path, keeping)
    return _read_past(path)


def _write_past(keys_dir: Path, number: str, jwk: dict[str, str], *, folder: str, now: datetime) -> Path:
    path = keys_dir / Purpose.TOKENS / folder / f"{number}.json"
    write_private_file(path, (json.dumps({"at": rfc3339(now), "jwk": jwk}, indent=2) + "\n").encode())
    return path


def _destroy(path: Path, keeping: Keeping) -> None:
    try:
        signer = read_key(path, Purpose.TOKENS, keeping).signer
    except KeyFileDamaged:
        signer = None  # nothing of it can be used, here or elsewhere
    except FileNotFoundError:
        return
    if isinstance(signer, HsmSigner) and keeping.hsm is not None:
        keeping.hsm.destroy(signer.object_id)
    path.unlink(missing_ok=True)
    make_names_durable(path.parent)


def _past_files(keys_dir: Path) -> Sequence[Path]:
    return [
        path
        for folder in (RETIRED, REVOKED)
        for path in (keys_dir / Purpose.TOKENS / folder).glob("[0-9][0-9][0-9][0-9].json")
    ]


def _read_past(path: Path) -> PastKey:
    try:
        document = parse_json_object(path.read_bytes())
        jwk = {str(name): str(value) for name, value in dict(document["jwk"]).items()}
        return PastKey(
            number=path.stem, jwk=jwk, at=parse_rfc3339(str(document["at"])), revoked=path.parent.name == REVOKED
        )
    except (MalformedInput, KeyError, TypeError, ValueError) as error:
        raise KeyFileDamaged(f"{path} does not hold what remains of a key.") from error

"""The keys the gateway signs with, as they are at an instant: which signs, which are published.

A key of the tokens is *next* (published, signs nothing yet), then it *signs*, then it is *kept* (published still, for
what it signed), then it is *over*. All of it follows from the times in the key files and the clock, so every process of
every node says the same without being told. Files that come and go are noticed within seconds, without a restart. Keys
of the exchange go the same way and are kept for ever: receipts are evidence. Keys of the log are read once.
"""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from gateway.audit.log_keys import LogKeys
from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError
from gateway.signing.errors import SecretDamaged, SigningKeyMissing
from gateway.signing.key_files import IN_THE_CLEAR, RETIRED, Keeping, Key, key_files, read_key
from gateway.signing.private_files import write_private_file
from gateway.signing.purposes import ALGORITHMS, KEPT_AFTER, Purpose
from gateway.signing.rotation import REVOKED, load_keys, make_missing_keys, past_keys, past_numbers
from gateway.signing.secret_files import load_or_make_secret
from gateway.signing.states import State, signing_key, state_of, superseded_at
from gateway.wire.notes import verifier_key_of
from gateway.wire.signer import Signer

__all__ = (
    "Purpose",
    "SecretDamaged",
    "SigningKeyMissing",
    "SigningKeys",
    "load_or_make_secret",
    "make_missing_keys",
    "write_private_file",
)

log = structlog.get_logger("gateway.signing")

LOOK_EVERY = 2.0
"""Seconds between looks at the folder: within them every process knows a key that was made or revoked."""
_WATCHED = (Purpose.TOKENS, Purpose.EXCHANGE)
_ALWAYS = timedelta(days=36_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What was read from the folder, and how the folder looked then."""

    looks: frozenset[tuple[object, ...]]
    keys: Mapping[Purpose, tuple[Key, ...]]
    retired: tuple[dict[str, str], ...]
    """Public halves of tokens' keys that were retired in the ordinary way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What holds of the keys from one instant until another, at which one of them begins or is over."""

    held: _Held
    since: datetime
    until: datetime
    signing: Mapping[tuple[Purpose, str], Key]
    published: Mapping[Purpose, tuple[dict[str, str], ...]]


class SigningKeys:
    """The gateway's keys under one folder."""

    def __init__(self, keys_dir: Path, keeping: Keeping, *, clock: Clock) -> None:
        """Read every key; raises as `load`."""
        self._keys_dir = keys_dir
        self._keeping = keeping
        self._clock = clock
        self._looking = threading.Lock()
        self._look_at = time.monotonic() + LOOK_EVERY
        self._log = load_keys(keys_dir, Purpose.LOG, keeping)
        self._log_retired = tuple(
            read_key(path, Purpose.LOG, keeping) for path in key_files(keys_dir, Purpose.LOG, retired=True)
        )
        looks = _looks(keys_dir)
        read = {purpose: load_keys(keys_dir, purpose, keeping) for purpose in _WATCHED}
        for purpose, keys in {**read, Purpose.LOG: self._log}.items():
            if ALGORITHMS[purpose][0] not in {key.algorithm for key in keys}:
                raise SigningKeyMissing(detail=f"no key for {ALGORITHMS[purpose][0]} in {keys_dir / purpose}")
        self._held = _Held(looks=looks, keys=read, retired=_retired_jwks(keys_dir))
        self._view = _view_of(self._held, clock.now())

    @classmethod
    def load(cls, keys_dir: Path, keeping: Keeping = IN_THE_CLEAR, *, clock: Clock | None = None) -> "SigningKeys":
        """Read every key; raises `SigningKeyMissing` when a purpose has none, `KeyFileDamaged`, `KeysEncrypted`."""
        return cls(keys_dir, keeping, clock=clock or SystemClock())

    def current(self, purpose: Purpose, algorithm: str | None = None) -> Signer:
        """Return the key that signs now, by the purpose's first algorithm unless another is named.

        Ask anew for each signature, and keep it for the whole of one: header and signature must be of one key. Raises
        `SigningKeyMissing` for an algorithm without a key.
        """
        algorithm = algorithm or ALGORITHMS[purpose][0]
        key = self._log[-1] if purpose is Purpose.LOG else self._now().signing.get((purpose, algorithm))
        if key is None or key.algorithm != algorithm:
            raise SigningKeyMissing(detail=f"no key of the {purpose} for {algorithm}")
        return key.signer

    def algorithms(self, purpose: Purpose) -> tuple[str, ...]:
        """Return the algorithms for which there is a key, the default one first."""
        keys = self._log if purpose is Purpose.LOG else self._now().held.keys[purpose]
        held = {key.algorithm for key in keys}
        return tuple(algorithm for algorithm in ALGORITHMS[purpose] if algorithm in held)

    def public_jwks(self, purpose: Purpose) -> tuple[dict[str, str], ...]:
        """Return every public key to be published now, as JWKs, newest first: next, signing and kept ones."""
        if purpose is Purpose.LOG:
            return tuple(key.signer.public_jwk() for key in reversed(self._log))
        return self._now().published[purpose]

    def dated_jwks(self, purpose: Purpose) -> tuple[dict[str, Any], ...]:
        """Return what `public_jwks` does, each with the times between which it signs, where they are known.

        `nbf` and `exp` are NumericDate, as OpenID Federation 1.0 dates the keys that a server had before.
        """
        keys = self._log if purpose is Purpose.LOG else self._now().held.keys[purpose]
        times = {key.key_id: {"nbf": key.signs_from or key.made_at, "exp": superseded_at(key, keys)} for key in keys}
        return tuple(
            {
                **jwk,
                **{name: int(at.timestamp()) for name, at in times.get(jwk["kid"], {}).items() if at is not None},
            }
            for jwk in self.public_jwks(purpose)
        )

    def past_jwks(self) -> tuple[dict[str, str], ...]:
        """Return the public keys of the tokens that are published no longer, for ID tokens that come back as hints.

        A hint may be older than its key (OIDC RP-Initiated Logout 1.0 §2). Those that were revoked are not among them.
        """
        return self._now().held.retired

    def log_keys(self, origin: str) -> LogKeys:
        """Return the keys of the log `origin`: all that are not retired sign its checkpoints."""
        return LogKeys(
            origin=origin,
            signers=tuple(key.signer for key in self._log),
            retired=tuple(verifier_key_of(key.signer, origin) for key in self._log_retired),
        )

    def look(self) -> None:
        """Read what was added to the folder and forget what is gone.

        A file that cannot be read is named in the log and not used; what was known of it goes on.
        """
        looks = _looks(self._keys_dir)
        before = self._held
        if looks == before.looks:
            return
        keys = {purpose: self._read_again(purpose, before) for purpose in _WATCHED}
        try:
            retired = _retired_jwks(self._keys_dir)
        except GatewayError as error:
            log.error("key file refused", reason=error.public)  # noqa: TRY400 - the reason says it all
            retired = before.retired
        self._held = _Held(looks=looks, keys=keys, retired=retired)

    def _now(self) -> _View:
        if time.monotonic() >= self._look_at and self._looking.acquire(blocking=False):
            try:
                self._look_at = time.monotonic() + LOOK_EVERY
                self.look()
            except OSError as error:
                # A folder that cannot be read for a moment takes no key away.
                log.error("keys folder unreadable", reason=error.strerror)  # noqa: TRY400 - as above
            finally:
                self._looking.release()
        view, held, now = self._view, self._held, self._clock.now()
        if view.held is not held or not view.since <= now < view.until:
            view = self._view = _view_of(held, now)
        return view

    def _read_again(self, purpose: Purpose, before: _Held) -> tuple[Key, ...]:
        known = {key.path: key for key in before.keys[purpose]}
        unchanged = {entry[0] for entry in _looks(self._keys_dir) & before.looks}
        gone = past_numbers(self._keys_dir, purpose)
        found: list[Key] = []
        for path in key_files(self._keys_dir, purpose):
            if path.stem in gone:
                continue
            if path in known and str(path) in unchanged:
                found.append(known[path])
                continue
            try:
                found.append(read_key(path, purpose, self._keeping))
            except FileNotFoundError:
                continue
            except GatewayError as error:
                log.error("key file refused", reason=error.public)  # noqa: TRY400 - as above
                found += [known[path]] if path in known else []
        if ALGORITHMS[purpose][0] not in {key.algorithm for key in found}:
            log.error("keys are gone, and go on signing until the next start", purpose=purpose)
            return before.keys[purpose]
        return tuple(found)


def _view_of(held: _Held, now: datetime) -> _View:
    """Say what signs and what is published now, and until when that holds."""
    signing, published, turns = {}, {}, [now + _ALWAYS]
    for purpose, keys in held.keys.items():
        for algorithm in ALGORITHMS[purpose]:
            if (key := signing_key(keys, algorithm, now=now)) is not None:
                signing[purpose, algorithm] = key
        shown = [key for key in keys if state_of(key, keys, purpose, now=now) is not State.OVER]
        published[purpose] = tuple(key.signer.public_jwk() for key in reversed(shown))
        starts = [key.signs_from for key in keys if key.signs_from is not None]
        turns += [turn for start in starts for turn in (start, start + KEPT_AFTER) if turn > now]
    return _View(held=held, since=now, until=min(turns), signing=signing, published=published)


def _retired_jwks(keys_dir: Path) -> tuple[dict[str, str], ...]:
    past = past_keys(keys_dir)
    revoked = {key.key_id for key in past if key.revoked}
    return tuple(key.jwk for key in reversed(past) if key.key_id not in revoked)


def _looks(keys_dir: Path) -> frozenset[tuple[object, ...]]:
    """Return name, inode, length and time of every file that counts: what changes, changes one of them."""
    folders = [keys_dir / purpose for purpose in _WATCHED]
    folders += [keys_dir / Purpose.TOKENS / folder for folder in (RETIRED, REVOKED)]
    seen: set[tuple[object, ...]] = set()
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith((".pem", ".json")) and not entry.name.startswith("."):
                        facts = entry.stat()
                        seen.add((entry.path, facts.st_ino, facts.st_size, facts.st_mtime_ns))
        except FileNotFoundError:
            continue
    return frozenset(seen)

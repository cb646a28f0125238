"""Which logs are trusted, which witnesses, and how many of them must have cosigned: a C2SP tlog-policy file.

The file is octets: names are compared byte for byte, and bytes above 0x7F mean nothing here (they are kept in texts by
`surrogateescape`). An empty set of cosignatures satisfies a policy only where it says `quorum none`.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gateway.wire.cosignatures import Cosignature, CosignatureKey, cosignatures_of, parse_cosignature_key
from gateway.wire.errors import InvalidNote, MalformedInput
from gateway.wire.notes import Checkpoint, VerifierKey, open_checkpoint, parse_verifier_key

MAX_POLICY_BYTES = 256_000

_NO_QUORUM = "none"
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")
_SPACES = re.compile(rb"[ \t]+")
_FORBIDDEN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLog:
    """A log that the policy trusts; its key's name is the origin of its checkpoints. `url` is as the file has it."""

    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyWitness:
    """A witness that the policy knows: its name within the file, its key, and its submission prefix where given."""

    name: str
    key: CosignatureKey
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyGroup:
    """A group of witnesses or groups, which counts when at least `threshold` of its members do."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """A policy as read. `groups` stand in the order of the file, so each knows only earlier ones.

    `quorum` names a witness or a group; None means that no cosignature is asked for.
    """

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    groups: tuple[PolicyGroup, ...]
    quorum: str | None

    def satisfied_by(self, cosigned_by: Collection[CosignatureKey]) -> bool:
        """Return whether cosignatures by these keys make the quorum; keys unknown to the policy count nothing."""
        if self.quorum is None:
            return True
        counting = {witness.name for witness in self.witnesses if witness.key in cosigned_by}
        for group in self.groups:
            if sum(member in counting for member in group.members) >= group.threshold:
                counting.add(group.name)
        return self.quorum in counting


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedCheckpoint:
    """A checkpoint that satisfies a policy, and every cosignature by a witness that the policy knows."""

    checkpoint: Checkpoint
    cosignatures: tuple[Cosignature, ...]


def open_checkpoint_under(
    policy: TrustPolicy, note: bytes, *, log_keys: Sequence[VerifierKey] | None = None
) -> TrustedCheckpoint:
    """Open a checkpoint signed by one of the policy's logs and cosigned as its quorum says; raises `InvalidNote`.

    `log_keys`, where given, stand in for the policy's logs: for a policy without any, or to ask for one log alone.
    """
    keys = [log.key for log in policy.logs] if log_keys is None else log_keys
    checkpoint = open_checkpoint(note, keys)
    cosignatures = cosignatures_of(note, [witness.key for witness in policy.witnesses])
    if not policy.satisfied_by({cosignature.key for cosignature in cosignatures}):
        raise InvalidNote(f"too few witnesses have cosigned: the quorum {policy.quorum} is not met")
    return TrustedCheckpoint(checkpoint=checkpoint, cosignatures=cosignatures)


def parse_policy(data: bytes) -> TrustPolicy:
    """Read a policy file; raises `MalformedInput` naming the line that breaks the format."""
    if len(data) > MAX_POLICY_BYTES:
        raise MalformedInput("a policy file is at most 256,000 bytes long")
    if _FORBIDDEN.search(data):
        raise MalformedInput("a policy file holds no control characters but tab and newline")
    *lines, rest = data.split(b"\n")
    if rest:
        # A file cut short could name a smaller quorum: `quorum all-of-them` begins with `quorum all`.
        raise MalformedInput("the last line of a policy file ends in a newline, too")
    reader = _Reader()
    for number, line in enumerate(lines, start=1):
        words = [word.decode("utf-8", "surrogateescape") for word in _SPACES.split(line.strip(b" \t"))]
        if words == [""] or words[0].startswith("#"):
            continue
        try:
            reader.take(words)
        except (InvalidNote, MalformedInput) as error:
            raise MalformedInput(f"line {number} of the policy: {error.public}") from error
    return reader.policy()


class _Reader:
    """A policy file half read."""

    def __init__(self) -> None:
        self._logs: list[PolicyLog] = []
        self._witnesses: list[PolicyWitness] = []
        self._groups: list[PolicyGroup] = []
        self._names: set[str] = set()
        self._grouped: set[str] = set()
        self._quorum: str | None = None

    def take(self, words: Sequence[str]) -> None:
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                self._log(vkey, *url)
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self._witness(name, vkey, *url)
            case ["group", name, threshold, *members] if members:
                self._group(name, threshold, members)
            case ["quorum", name]:
                self._set_quorum(name)
            case _:
                raise MalformedInput("a line is `log`, `witness`, `group` or `quorum` with what belongs to it")

    def policy(self) -> TrustPolicy:
        if self._quorum is None:
            raise MalformedInput("a policy has a quorum line, `quorum none` where nobody need have cosigned")
        return TrustPolicy(
            logs=tuple(self._logs),
            witnesses=tuple(self._witnesses),
            groups=tuple(self._groups),
            quorum=None if self._quorum == _NO_QUORUM else self._quorum,
        )

    def _log(self, vkey: str, url: str | None = None) -> None:
        key = parse_verifier_key(vkey)
        if any(log.key.public_key == key.public_key for log in self._logs):
            raise MalformedInput("two logs have the same public key")
        self._logs.append(PolicyLog(key=key, url=url))

    def _witness(self, name: str, vkey: str, url: str | None = None) -> None:
        key = parse_cosignature_key(vkey)
        if any(witness.key.public_key == key.public_key for witness in self._witnesses):
            raise MalformedInput("two witnesses have the same public key")
        self._define(name)
        self._witnesses.append(PolicyWitness(name=name, key=key, url=url))

    def _group(self, name: str, threshold: str, members: Sequence[str]) -> None:
        for member in members:
            self._check_defined(member)
            # Otherwise one witness could count twice.
            if member in self._grouped:
                raise MalformedInput("a name is a member of one group, once")
            self._grouped.add(member)
        needed = {"any": 1, "all": len(members)}.get(threshold)
        if needed is None:
            needed = int(threshold) if _NUMBER.fullmatch(threshold) else 0
        if not 1 <= needed <= len(members):
            raise MalformedInput("a group needs any, all, or a number of its members, at least 1")
        self._define(name)
        self._groups.append(PolicyGroup(name=name, threshold=needed, members=tuple(members)))

    def _set_quorum(self, name: str) -> None:
        if self._quorum is not None:
            raise MalformedInput("a policy has exactly one quorum line")
        if name != _NO_QUORUM:
            self._check_defined(name)
        self._quorum = name

    def _define(self, name: str) -> None:
        if name in self._names or name == _NO_QUORUM:
            raise MalformedInput("a name is defined once, and `none` is not defined by a policy")
        self._names.add(name)

    def _check_defined(self, name: str) -> None:
        if name not in self._names:
            raise MalformedInput("a group or quorum names what an earlier line has defined")

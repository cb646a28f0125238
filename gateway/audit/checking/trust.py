"""Whom a check believes: the log's keys, and where a policy is given, its quorum of witnesses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.checking.sources import LogSource
from gateway.audit.errors import LogNotVerified, LogUnreadable, UnusableTrust
from gateway.audit.tile_files import CHECKPOINT
from gateway.wire.errors import InvalidNote, MalformedInput
from gateway.wire.keys import Jwk
from gateway.wire.notes import Checkpoint, VerifierKey, open_checkpoint, parse_verifier_key
from gateway.wire.proofs import parse_public_keys
from gateway.wire.trust_policy import TrustPolicy, open_checkpoint_under, parse_policy

_MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The keys of one log, of which any may have signed, and the policy that its checkpoints must satisfy, if any.

    Without keys of their own the policy's logs are believed. `issuer` and `receipt_keys` are those of public keys
    files, with which the gateway's receipts are checked.
    """

    keys: tuple[VerifierKey, ...] = ()
    policy: TrustPolicy | None = None
    issuer: str | None = None
    receipt_keys: tuple[Jwk, ...] = ()

    def open(self, note: bytes) -> Checkpoint:
        """Open a signed checkpoint; lines by anybody else are ignored. Raises `LogNotVerified`."""
        if self.policy is None:
            return self.open_remembered(note)
        try:
            return open_checkpoint_under(self.policy, note, log_keys=self.keys or None).checkpoint
        except InvalidNote as error:
            raise LogNotVerified(f"the checkpoint: {error.public}", detail=error.detail) from error

    def open_remembered(self, note: bytes) -> Checkpoint:
        """Open a checkpoint that was accepted before; raises `LogNotVerified`.

        No quorum is asked for: what the log has signed binds it, and the policy may have grown since.
        """
        keys = self.keys or tuple(log.key for log in (self.policy.logs if self.policy is not None else ()))
        try:
            return open_checkpoint(note, keys)
        except InvalidNote as error:
            raise LogNotVerified(f"the checkpoint: {error.public}", detail=error.detail) from error


def trust_in(vkeys: Sequence[str], *, policy: TrustPolicy | None = None) -> Trust:
    """Return the trust in verifier keys given as text; raises `UnusableTrust`."""
    try:
        return Trust(keys=tuple(parse_verifier_key(vkey) for vkey in vkeys), policy=policy)
    except InvalidNote as error:
        raise UnusableTrust(f"the verifier key: {error.public}") from error


def load_trust(given: Sequence[str], *, policy_file: Path | None = None) -> Trust:
    """Read what people write on a command line: verifier keys, files of them (one a line), public keys files, a policy.

    Raises `UnusableTrust` naming what cannot be used, or when nobody at all would be trusted.
    """
    vkeys: list[str] = []
    issuers: set[str] = set()
    receipt_keys: list[Jwk] = []
    for key in given:
        if "+" in key and not Path(key).exists():
            vkeys.append(key)
            continue
        data = _content(Path(key))
        if not data.lstrip().startswith(b"{"):
            vkeys += [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
            continue
        try:
            public = parse_public_keys(data)
        except MalformedInput as error:
            raise UnusableTrust(f"{key}: {error.public}") from error
        vkeys += public.log_vkeys
        issuers.add(public.issuer)
        receipt_keys += public.keys
    policy = load_policy(policy_file) if policy_file is not None else None
    if not vkeys and (policy is None or not policy.logs):
        raise UnusableTrust("no key of the log is given, and no policy that names one")
    if len(issuers) > 1:
        raise UnusableTrust("the public keys files are of several gateways")
    trust = trust_in(vkeys, policy=policy)
    return Trust(keys=trust.keys, policy=policy, issuer=next(iter(issuers), None), receipt_keys=tuple(receipt_keys))


def load_policy(path: Path) -> TrustPolicy:
    """Read a trust policy file (C2SP tlog-policy); raises `UnusableTrust`."""
    try:
        return parse_policy(_content(path))
    except MalformedInput as error:
        raise UnusableTrust(f"{path.name}: {error.public}") from error


def read_checkpoint(source: LogSource, trust: Trust) -> tuple[Checkpoint, bytes]:
    """Return the log's checkpoint and the note that states it; raises `LogNotVerified`, `LogUnreadable`."""
    note = source.read(CHECKPOINT)
    if note is None:
        raise LogUnreadable("there is no checkpoint: nothing is published yet, or no log is there")
    return trust.open(note), note


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UnusableTrust(f"{path} is neither a verifier key nor a file that can be read") from error
    if len(data) > _MAX_FILE_BYTES:
        raise UnusableTrust(f"{path} is too large")
    return data

"""A monitor's memory: the last checkpoint it verified, when the log last grew, and where each receipt's entry stands.

The file is JSON `{format, checkpoint, grown_at, receipts: {file: {stamp, searched, index, wrong}}}`, replaced whole.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.audit.checking.remembered import read_whole, remember
from gateway.audit.checking.trust import Trust
from gateway.audit.errors import LogNotVerified, StateUnusable
from gateway.clock import parse_rfc3339, rfc3339
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.notes import Checkpoint

STATE_FORMAT = "gateway-monitor/1"

_MAX_BYTES = 200_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One receipt's file: what it looked like, how far its entry was looked for, where it is, what it contradicts."""

    stamp: str
    searched: int = 0
    index: int | None = None
    wrong: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorState:
    """What is remembered; `checkpoint` and its `note` are None before anything was verified."""

    checkpoint: Checkpoint | None = None
    note: bytes | None = None
    grown_at: datetime | None = None
    receipts: Mapping[str, Watched] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many entries are verified."""
        return self.checkpoint.size if self.checkpoint is not None else 0


def load_state(path: Path, trust: Trust) -> MonitorState:
    """Read the memory, empty where there is no file yet; raises `StateUnusable`.

    The checkpoint in it must be one that the trusted keys have signed: a damaged memory is not taken for a fork.
    """
    data = read_whole(path, limit=_MAX_BYTES)
    if data is None:
        return MonitorState()
    try:
        members = parse_json_object(data)
        if members.get("format") != STATE_FORMAT:
            raise StateUnusable(f"{path} is not a monitor's memory")
        note = members["checkpoint"].encode() if members["checkpoint"] is not None else None
        grown_at = parse_rfc3339(members["grown_at"]) if members["grown_at"] is not None else None
        receipts = {name: _watched(item) for name, item in members["receipts"].items()}
        checkpoint = trust.open_remembered(note) if note is not None else None
    except (MalformedInput, LogNotVerified) as error:
        raise StateUnusable(f"{path}: {error.public}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StateUnusable(f"{path} is not a monitor's memory") from error
    return MonitorState(checkpoint=checkpoint, note=note, grown_at=grown_at, receipts=receipts)


def save_state(path: Path, state: MonitorState) -> None:
    """Write the memory durably, whole or not at all; raises `StateUnusable`."""
    members = {
        "format": STATE_FORMAT,
        "checkpoint": state.note.decode() if state.note is not None else None,
        "grown_at": rfc3339(state.grown_at) if state.grown_at is not None else None,
        "receipts": {name: asdict(item) for name, item in state.receipts.items()},
    }
    # In ASCII: a file's name is octets, and need not be a text that UTF-8 can hold.
    remember(path, (json.dumps(members, indent=1) + "\n").encode())


def _watched(item: Mapping[str, Any]) -> Watched:
    index, wrong = item["index"], item["wrong"]
    return Watched(
        stamp=str(item["stamp"]),
        searched=int(item["searched"]),
        index=int(index) if index is not None else None,
        wrong=str(wrong) if wrong is not None else None,
    )

"""Processes of our own: started out of the terminal's reach, ended in good order, never left behind.

A Ctrl-C at a terminal reaches every process of its group at once; ours get groups of their own, so that their parent
hears it alone and ends them one after the other.
"""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def start_child(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, output: IO[Any] | None = None
) -> subprocess.Popen[bytes]:
    """Start `command`; both its streams go to `output`, or to ours.

    On Linux the kernel asks it to end (SIGTERM) should we be killed before we could.
    """
    return subprocess.Popen(  # noqa: S603 - commands are made of our own settings, without a shell
        command,
        env=dict(environment) if environment is not None else None,
        stdout=output,
        stderr=output,
        start_new_session=True,
        # What starts children has one thread, so running this between fork and exec is safe.
        preexec_fn=_end_with_parent if _LIBC is not None else None,  # noqa: PLW1509
    )


def end_child(process: subprocess.Popen[bytes], *, within_seconds: float) -> bool:
    """Ask a child to end, and insist after `within_seconds`; tells whether it ended by itself."""
    if process.poll() is not None:
        return True
    process.terminate()
    try:
        process.wait(within_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def _end_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

"""Read by every Python process whose clock is faked (see tests/kit/faketime.py): lets it sleep.

libfaketime 0.9.10 answers EINVAL to an absolute `clock_nanosleep`, which is how Python sleeps.
"""

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex, /) -> None:
    if float(seconds) < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], float(seconds))


time.sleep = _sleep

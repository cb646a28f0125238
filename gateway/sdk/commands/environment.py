"""The environment of whoever runs a command: the one place here that reads it."""

import os
from collections.abc import Mapping


def environment() -> Mapping[str, str]:
    """Return the process's environment."""
    return os.environ

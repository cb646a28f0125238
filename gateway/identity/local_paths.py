"""Where a browser may be sent after signing in: to a path of our own, never to another site (open redirects)."""

import re

LONGEST = 8000
# A path begins with one slash and no second one; browsers read a backslash as a slash, and drop tabs and line breaks.
LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*\Z")


def local_path(offered: str | None) -> str | None:
    """Return `offered` if it is a path on this very site, else None."""
    if offered is None or len(offered) > LONGEST:
        return None
    return offered if LOCAL_PATH.match(offered) else None

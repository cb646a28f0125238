"""What the commands print: plain lines, of which nobody else can make two or steer a terminal."""

import sys


def say(text: str) -> None:
    """Print one line."""
    print(in_one_line(text))


def complain(text: str) -> None:
    """Print one line to standard error."""
    print(in_one_line(text), file=sys.stderr)


def in_one_line(text: str) -> str:
    """Return a text as one line of printable characters."""
    # What a gateway has signed may be meant to deceive whoever checks it: it writes no lines and steers no terminal.
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)

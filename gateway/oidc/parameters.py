"""The parameters of one OAuth request, as sent: a repeated one is seen, and none holds what text cannot."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.oidc.errors import ParametersMalformed

MOST = 50
LONGEST = 8000
# RFC 6749 appendix A: parameters are printable text. NUL, line breaks and lone surrogates have no business here, and
# some databases reject them.
NOT_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
REPEATABLE = frozenset({"resource"})  # RFC 8707 §2


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Names and values in the order sent. A parameter without a value counts as not sent (RFC 6749 §3.1)."""

    pairs: tuple[tuple[str, str], ...]

    def one(self, name: str) -> str | None:
        """Return the value of a parameter that was sent once; None when it was not sent, or repeated."""
        values = self.all(name)
        return values[0] if len(values) == 1 else None

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a parameter."""
        return tuple(value for key, value in self.pairs if key == name)

    @property
    def repeated(self) -> tuple[str, ...]:
        """The names that were sent more than once and may not be."""
        names = [key for key, _ in self.pairs if key not in REPEATABLE]
        return tuple(sorted({name for name in names if names.count(name) > 1}))


def parse_parameters(pairs: Iterable[tuple[str, str]]) -> Parameters:
    """Take the parameters as the framework decoded them; raises `ParametersMalformed`."""
    given = tuple((name, value) for name, value in pairs if value)
    if len(given) > MOST:
        raise ParametersMalformed("The request has too many parameters")
    if any(NOT_TEXT.search(name) or NOT_TEXT.search(value) for name, value in given):
        raise ParametersMalformed("A parameter holds characters that are not text")
    if any(len(name) > LONGEST or len(value) > LONGEST for name, value in given):
        raise ParametersMalformed("A parameter is too long")
    return Parameters(pairs=given)

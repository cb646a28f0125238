"""Which of a department's own people is asked about: the ladder of electoral registration, as one function.

Names are standardised; then, rung by rung from the top: is the National Insurance number equal (or its last four
digits)? Is the date of birth equal? Which name matches best? The first rung on which anybody stands decides:

| level | what must hold |
|---|---|
| `exact` | NINO, date of birth and every name given are equal |
| `strong` | NINO and date of birth are equal, the names are alike |
| `fair` | the NINO's last four digits, date of birth and family name are equal; a given name is alike |
| `weak` | no number is asked with; family name, given name, date of birth and postcode are equal |

A date of birth is needed on every rung, and an attribute that both sides know and that differs is never made good by
others; nor is a number in the question that the department does not have. The outcome is one person, or
nobody: two who fit equally well are `ambiguous`, and no candidates are ever told.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Generic, TypeVar

from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler

from gateway.sdk.questions import MatchLevel, NoRecord

Key = TypeVar("Key")

ALIKE = 0.85
"""From this similarity on (0 to 1) two names are alike: `Smyth` and `Smith` are, `Marsh` and `March` too."""
CLEARLY_BETTER = 0.05
"""Of two on the same rung, the one whose names are more alike by this much is the one asked about."""

# Letters that Unicode does not take apart into a letter and an accent.
_LETTERS = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})
# Written apart by some and together by others; they belong to the name that follows.
_PARTICLES = frozenset(
    "al ap de dela del della den der di du el fitz la le mac o saint ter van vander von vonder".split()  # noqa: SIM905 - a list of words
)
_SPELLINGS = {"mc": "mac", "st": "saint", "ste": "saint"}
_MC = re.compile(r"\Amc(?=[a-z]{3})")
_APOSTROPHES = re.compile("['\u2018\u2019\u02bc`\u00b4]")
_NINO = re.compile(r"[A-Z]{2}[0-9]{6}[A-D]?\Z")
_NINO_WITHOUT_SUFFIX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """Whom a question describes, standardised. `birthdate` is ISO 8601; what was not given is None."""

    family_name: str = field(repr=False)
    birthdate: str = field(repr=False)
    given_name: str | None = field(default=None, repr=False)
    nino: str | None = field(default=None, repr=False)
    nino_fragment: str | None = field(default=None, repr=False)
    postcode: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person(Generic[Key]):
    """Somebody in the department's own records, as they are kept there: `key` is the department's name for them.

    Several `family_names` are a present one and former ones.
    """

    key: Key
    family_names: tuple[str, ...] = field(repr=False)
    birthdate: date | str | None = field(repr=False)
    given_names: tuple[str, ...] = field(default=(), repr=False)
    nino: str | None = field(default=None, repr=False)
    postcode: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched(Generic[Key]):
    """The one person who fits best, and how surely."""

    key: Key
    level: MatchLevel


def attributes_of(match: Mapping[str, Any]) -> Attributes | None:
    """Return the attributes of a question's `match`, standardised; None without a family name and a date of birth."""
    family_name, birthdate = standard_name(match.get("family_name")), standard_date(match.get("birthdate"))
    if not family_name or birthdate is None:
        return None
    fragment = match.get("nino_fragment")
    return Attributes(
        family_name=family_name,
        birthdate=birthdate,
        given_name=standard_name(match.get("given_name")) or None,
        nino=standard_nino(match.get("nino")),
        nino_fragment=str(fragment).strip() if fragment else None,
        postcode=standard_postcode(match.get("postcode")),
    )


def find_match(asked: Attributes, people: Iterable[Person[Key]]) -> Matched[Key] | NoRecord:
    """Return the one of these people who is asked about, or that it is nobody or not certain."""
    # Compared one by one and forgotten: only the best of each rung is kept, and the one next to it.
    standing: dict[MatchLevel, list[tuple[float, Key]]] = {}
    for person in people:
        held = _Held.of(person)
        level = _level(asked, held)
        if level is not None:
            best = [*standing.get(level, ()), (_likeness(asked, held), person.key)]
            standing[level] = sorted(best, key=lambda each: each[0], reverse=True)[:2]
    for level, _holds in RUNGS:
        if level not in standing:
            continue
        first, *others = standing[level]
        if others and first[0] - others[0][0] < CLEARLY_BETTER:
            return NoRecord(reason="ambiguous")
        return Matched(key=first[1], level=level)
    return NoRecord(reason="unknown")


# --- Standardising


def standard_name(name: object) -> str:
    """Return a name without case, accents, punctuation and the many ways to write Mac, O', Saint, van der.

    Parts are separated by single spaces; empty for what is no text.
    """
    if not isinstance(name, str):
        return ""
    decomposed = unicodedata.normalize("NFKD", name.casefold().translate(_LETTERS))
    plain = "".join(each for each in decomposed if not unicodedata.combining(each))
    # An apostrophe joins (O'Brien is OBrien); whatever else is no letter separates (Smith-Jones is Smith Jones).
    parts = re.split(r"[^\w]+|[\d_]+", _APOSTROPHES.sub("", plain))
    joined, prefix = [], ""
    for part in filter(None, parts):
        spelled = _SPELLINGS.get(part, part)
        if spelled in _PARTICLES:
            prefix += spelled
        else:
            joined.append(prefix + _MC.sub("mac", spelled))
            prefix = ""
    # A particle with nothing behind it is the name itself: Le, De.
    return " ".join([*joined, prefix] if prefix else joined)


def standard_nino(nino: object) -> str | None:
    """Return a National Insurance number without spaces, upper case; None for what is none."""
    if not isinstance(nino, str):
        return None
    plain = re.sub(r"[\s-]", "", nino).upper()
    return plain if _NINO.match(plain) else None


def standard_date(day: object) -> str | None:
    """Return a date as ISO 8601 text (YYYY-MM-DD); None for what is none."""
    if isinstance(day, date):  # a datetime is a date, too
        return day.isoformat()[:10]
    try:
        return date.fromisoformat(str(day).strip()[:10]).isoformat() if day else None
    except ValueError:
        return None


def standard_postcode(postcode: object) -> str | None:
    """Return a postcode upper case without spaces; None for nothing."""
    return re.sub(r"\s", "", postcode).upper() or None if isinstance(postcode, str) else None


# --- The ladder


@dataclass(frozen=True, slots=True)
class _Held:
    """A person's attributes, standardised."""

    family_names: tuple[str, ...] = field(repr=False)
    given_names: tuple[str, ...] = field(repr=False)
    birthdate: str | None = field(repr=False)
    nino: str | None = field(repr=False)
    postcode: str | None = field(repr=False)

    @classmethod
    def of(cls, person: Person[Any]) -> "_Held":
        return cls(
            family_names=tuple(filter(None, map(standard_name, person.family_names))),
            given_names=tuple(filter(None, map(standard_name, person.given_names))),
            birthdate=standard_date(person.birthdate),
            nino=standard_nino(person.nino),
            postcode=standard_postcode(person.postcode),
        )


def is_exact(asked: Attributes, held: _Held) -> bool:
    """NINO, date of birth (held equal before) and every name given."""
    return _same_nino(asked, held) and _same_names(asked, held)


def is_strong(asked: Attributes, held: _Held) -> bool:
    """NINO and date of birth; the names alike."""
    return _same_nino(asked, held) and _likeness(asked, held) >= ALIKE


def is_fair(asked: Attributes, held: _Held) -> bool:
    """The NINO's last digits, date of birth, family name; a given name alike where both sides know one."""
    return (
        asked.nino_fragment is not None
        and held.nino is not None
        and asked.family_name in held.family_names
        and _likeness(asked, held) >= ALIKE
    )


def is_weak(asked: Attributes, held: _Held) -> bool:
    """Both names, date of birth and postcode, where the question has no number.

    One that is given is compared and equal, or nobody is found: else whoever invents one would be somebody else to
    all that tells people apart by it, and would still be given this person's record.
    """
    return (
        asked.nino is None
        and asked.nino_fragment is None
        and asked.given_name is not None
        and asked.postcode is not None
        and asked.postcode == held.postcode
        and _same_names(asked, held)
    )


RUNGS: tuple[tuple[MatchLevel, Callable[[Attributes, _Held], bool]], ...] = (
    ("exact", is_exact),
    ("strong", is_strong),
    ("fair", is_fair),
    ("weak", is_weak),
)


def _level(asked: Attributes, held: _Held) -> MatchLevel | None:
    if held.birthdate != asked.birthdate or _contradicts(asked, held):
        return None
    return next((level for level, holds in RUNGS if holds(asked, held)), None)


def _contradicts(asked: Attributes, held: _Held) -> bool:
    """A number that both know and that differs: somebody else, however alike."""
    if held.nino is None:
        return False
    other = asked.nino is not None and not _same_nino(asked, held)
    digits = held.nino[2:_NINO_WITHOUT_SUFFIX]
    return other or (asked.nino_fragment is not None and not digits.endswith(asked.nino_fragment))


def _same_nino(asked: Attributes, held: _Held) -> bool:
    if asked.nino is None or held.nino is None:
        return False
    # Many records lack the last letter, which tells nothing about the person.
    length = min(len(asked.nino), len(held.nino))
    return asked.nino[:length] == held.nino[:length]


def _same_names(asked: Attributes, held: _Held) -> bool:
    given = asked.given_name is None or asked.given_name in held.given_names
    return given and asked.family_name in held.family_names


def _likeness(asked: Attributes, held: _Held) -> float:
    """How alike the names are, 0 to 1: the less alike of family name and given name, each at its best."""
    family = max((_similarity(asked.family_name, name) for name in held.family_names), default=0.0)
    if asked.given_name is None or not held.given_names:
        return family
    given = max(_given_similarity(asked.given_name, name) for name in held.given_names)
    return min(family, given)


def _similarity(one: str, other: str) -> float:
    # The set of parts catches names of which one was dropped or turned round; Jaro and Winkler's catches slips.
    return max(JaroWinkler.similarity(one, other), fuzz.token_set_ratio(one, other) / 100)


def _given_similarity(one: str, other: str) -> float:
    # An initial agrees with every name that begins with it, though not as surely as the name itself.
    if min(len(one), len(other)) == 1 and one[:1] == other[:1]:
        return ALIKE
    return _similarity(one, other)

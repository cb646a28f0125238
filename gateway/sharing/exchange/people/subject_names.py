"""Under which names a person is looked for, so that another spelling or one attribute less makes nobody of them.

A question describes a person by what it chooses to say: with or without a number, a given name, a postcode. Whoever
restricted or counted only the exact description could be walked around by changing it. So a description becomes
several names, each of which a provider could find the person by; all of them are spelt as `sdk.matching` compares.

Whom an entry was made for with a number is told apart by it, wherever the question has one too: twins share a family
name and a date of birth. Where either side has none, the doubt is resolved for whoever objected.
"""

from collections.abc import Iterator, Mapping

from gateway.identity.accounts import Account
from gateway.sdk.matching import Attributes, attributes_of, standard_nino

Name = Mapping[str, str]
_NUMBER = slice(0, 8)
"""Of a National Insurance number: the last letter tells nothing about the person, and many records lack it."""
_FRAGMENT = slice(4, 8)


def names_kept(description: Mapping[str, str]) -> tuple[Name, ...]:
    """Return under which names a person is entered on a list; empty where the description names nobody."""
    nino = standard_nino(description.get("nino"))
    asked = attributes_of(description)
    names = [_number(nino)] if nino is not None else []
    if asked is not None:
        names.extend(_fragments(asked))
        names.append(_family(asked, numbered=asked.nino is not None or asked.nino_fragment is not None))
    return tuple(names)


def names_sought(description: Mapping[str, str]) -> tuple[Name, ...]:
    """Return the names of a question's description, any of which may be on a list."""
    asked = attributes_of(description)
    if asked is None:
        return ()
    names = list(_numbers(asked))
    names.append(_family(asked, numbered=False))
    if asked.nino is None and asked.nino_fragment is None:
        names.append(_family(asked, numbered=True))
    return tuple(names)


def names_counted(description: Mapping[str, str]) -> tuple[Name, ...]:
    """Return the names under which questions about this person are counted.

    Always by family name and date of birth too: a number can be invented, and each would have a budget of its own.
    So people of one name and day of birth share a budget.
    """
    asked = attributes_of(description)
    if asked is None:
        return ()
    return (*_numbers(asked), _family(asked, numbered=True))


def names_in_doubt(description: Mapping[str, str]) -> tuple[Name, ...]:
    """Return the further names of somebody who may have been found without the number that a question gave."""
    asked = attributes_of(description)
    if asked is None or not has_number(description):
        return ()
    return (_family(asked, numbered=True),)


def has_number(description: Mapping[str, str]) -> bool:
    """Tell whether a question describes a person by a number too, or a part of one."""
    return "nino" in description or "nino_fragment" in description


def description_of(account: Account) -> dict[str, str]:
    """Return what an account says of its person, as a question would describe them."""
    known = {"family_name": account.family_name, "given_name": account.given_name}
    return known | ({"birthdate": account.birthdate.isoformat()} if account.birthdate else {})


def _numbers(asked: Attributes) -> Iterator[Name]:
    if asked.nino is not None:
        yield _number(asked.nino)
    yield from _fragments(asked)


def _number(nino: str) -> Name:
    return {"by": "number", "nino": nino[_NUMBER]}


def _fragments(asked: Attributes) -> Iterator[Name]:
    fragment = asked.nino[_FRAGMENT] if asked.nino is not None else asked.nino_fragment
    if fragment is not None:
        yield {"by": "fragment", "fragment": fragment, "birthdate": asked.birthdate, "family_name": asked.family_name}


def _family(asked: Attributes, *, numbered: bool) -> Name:
    by = "family, with a number" if numbered else "family alone"
    return {"by": by, "birthdate": asked.birthdate, "family_name": asked.family_name}

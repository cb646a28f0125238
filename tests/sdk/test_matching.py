"""The ladder: whom a question describes, how surely, and that what is not certain is nobody."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from gateway.sdk.matching import (
    Attributes,
    Matched,
    Person,
    attributes_of,
    find_match,
    standard_date,
    standard_name,
    standard_nino,
    standard_postcode,
)
from gateway.sdk.questions import MatchLevel, NoRecord

ADA = Person(
    key=1,
    family_names=("Testcase", "Sample"),
    given_names=("Ada",),
    birthdate=date(1988, 1, 1),
    nino="QQ123456C",
    postcode="BB1 1AA",
)
BEN = replace(ADA, key=2, given_names=("Ben",), nino="QQ654321A", postcode="BB1 1AB")
ASKED = {"family_name": "Testcase", "given_name": "Ada", "birthdate": "1988-01-01", "nino": "QQ123456C"}
NUMBERLESS = {name: value for name, value in ASKED.items() if name != "nino"}
UNKNOWN, AMBIGUOUS = NoRecord(reason="unknown"), NoRecord(reason="ambiguous")


def asked(given: dict[str, Any] | None = None, **changes: Any) -> Attributes:
    attributes = attributes_of({**(ASKED if given is None else given), **changes})
    assert attributes is not None
    return attributes


@pytest.mark.parametrize(
    "written",
    [
        ("O'Brien", "O’BRIEN", "o brien", "OBrien"),
        ("McDonald", "Mac Donald", "MACDONALD", "Mc Donald", "mac-donald"),
        ("St John", "St. John", "Saint-John", "SAINT JOHN"),
        ("van der Berg", "Vanderberg", "VAN DER BERG", "van-der-Berg"),
        ("Smith-Jones", "smith  jones", " Smith Jones "),
        ("Müller", "MULLER", "Mu\u0308ller"),
        ("Łukasiewicz", "Lukasiewicz"),
        ("Strauß", "STRAUSS"),
        ("D'Arcy", "Darcy"),
        ("de la Cruz", "Dela Cruz", "De La Cruz"),
        ("Øyen", "OYEN"),
    ],
    ids=lambda names: names[0],
)
def test_a_name_is_itself_however_it_is_written(written: tuple[str, ...]) -> None:
    assert len({standard_name(name) for name in written}) == 1


@pytest.mark.parametrize(("one", "other"), [("Mack", "Macack"), ("Lee", "Li"), ("Dean", "De Ann Lee"), ("Le", "La")])
def test_different_names_stay_different(one: str, other: str) -> None:
    assert standard_name(one) != standard_name(other)
    assert standard_name(one)


@pytest.mark.parametrize("nothing", ["", "  ", "1234", "'-.", None, 7])
def test_what_is_no_name_is_empty(nothing: object) -> None:
    assert standard_name(nothing) == ""


def test_numbers_dates_and_postcodes_are_compared_as_what_they_mean() -> None:
    assert standard_nino(" qq 12 34 56 c") == "QQ123456C"
    assert standard_nino("QQ12345") is None
    assert standard_date(date(1988, 1, 1)) == standard_date("1988-01-01 00:00:00") == "1988-01-01"
    assert standard_date("01/01/1988") is None
    assert standard_postcode("bb1 1aa") == "BB11AA"


LADDER: dict[str, tuple[dict[str, Any], MatchLevel]] = {
    "all equal": (ASKED, "exact"),
    "written otherwise": ({**ASKED, "family_name": "TEST-CASE", "given_name": "ada"}, "strong"),
    "accents and case": ({**ASKED, "family_name": "TESTCASÉ", "nino": "qq 123456 c"}, "exact"),
    "a former name": ({**ASKED, "family_name": "Sample"}, "exact"),
    "no given name asked": ({name: value for name, value in ASKED.items() if name != "given_name"}, "exact"),
    "a slip in the family name": ({**ASKED, "family_name": "Testcaze"}, "strong"),
    "a slip in the given name": ({**ASKED, "given_name": "Adaa"}, "strong"),
    "an initial": ({**ASKED, "given_name": "A"}, "strong"),
    "one of two family names": ({**ASKED, "family_name": "Testcase-Specimen"}, "strong"),
    "without the last letter": ({**ASKED, "nino": "QQ123456"}, "exact"),
    "the last four digits": ({**NUMBERLESS, "nino_fragment": "3456"}, "fair"),
    "the last four digits, no given name": (
        {"family_name": "Testcase", "birthdate": "1988-01-01", "nino_fragment": "3456"},
        "fair",
    ),
    "names and postcode": ({**NUMBERLESS, "postcode": "bb11aa"}, "weak"),
}


@pytest.mark.parametrize(("given", "level"), LADDER.values(), ids=LADDER)
def test_how_surely_somebody_is_found(given: dict[str, Any], level: MatchLevel) -> None:
    assert find_match(asked(given), [BEN, ADA]) == Matched(key=1, level=level)


NOBODY = {
    "another number": {**ASKED, "nino": "QQ123457C"},
    "another number, though the postcode is right": {**ASKED, "nino": "QQ123457C", "postcode": "BB1 1AA"},
    "another date of birth": {**ASKED, "birthdate": "1988-01-02"},
    "another family name": {**ASKED, "family_name": "Specimen"},
    "another given name": {**ASKED, "given_name": "Zoe"},
    "other last digits": {**NUMBERLESS, "nino_fragment": "3457"},
    "other last digits, though the postcode is right": {
        **NUMBERLESS,
        "nino_fragment": "3457",
        "postcode": "BB1 1AA",
    },
    "digits of the middle": {**NUMBERLESS, "nino_fragment": "2345"},
    "last digits and a slip in the family name": {**NUMBERLESS, "family_name": "Testcaze", "nino_fragment": "3456"},
    "last digits and another given name": {**NUMBERLESS, "given_name": "Zoe", "nino_fragment": "3456"},
    "another postcode": {**NUMBERLESS, "postcode": "BB1 1AC"},
    "a postcode and no given name": {"family_name": "Testcase", "birthdate": "1988-01-01", "postcode": "BB1 1AA"},
    "a postcode and a slip": {**NUMBERLESS, "family_name": "Testcaze", "postcode": "BB1 1AA"},
    "names alone": NUMBERLESS,
}


@pytest.mark.parametrize("given", NOBODY.values(), ids=NOBODY)
def test_who_does_not_fit_is_nobody(given: dict[str, Any]) -> None:
    assert find_match(asked(given), [BEN, ADA]) == UNKNOWN


@pytest.mark.parametrize("invented", [{"nino": "AA000001A"}, {"nino_fragment": "0001"}])
def test_a_number_that_the_department_does_not_have_finds_nobody(invented: dict[str, str]) -> None:
    numberless = replace(ADA, nino=None)
    honest = {**NUMBERLESS, "postcode": "BB1 1AA"}
    assert find_match(asked(honest), [numberless]) == Matched(key=1, level="weak")
    assert find_match(asked({**honest, **invented}), [numberless]) == UNKNOWN


def test_without_a_family_name_and_a_date_of_birth_nobody_is_looked_for() -> None:
    for missing in ("family_name", "birthdate"):
        assert attributes_of({name: value for name, value in ASKED.items() if name != missing}) is None


def test_two_who_fit_equally_well_are_nobody_in_particular() -> None:
    twin = replace(ADA, key=2)
    assert find_match(asked(), [ADA, twin]) == AMBIGUOUS
    assert find_match(asked({**NUMBERLESS, "postcode": "BB1 1AA"}), [ADA, BEN, replace(twin, nino=None)]) == AMBIGUOUS
    numbered = {"family_name": "Testcase", "birthdate": "1988-01-01", "nino_fragment": "3456"}
    assert find_match(asked(numbered), [ADA, replace(BEN, nino="QQ003456A")]) == AMBIGUOUS


def test_the_best_name_decides_between_two_on_one_rung() -> None:
    numbered = {**NUMBERLESS, "nino_fragment": "3456"}
    alike = replace(BEN, nino="QQ003456A", given_names=("Adda",))
    assert find_match(asked(numbered), [alike, ADA]) == Matched(key=1, level="fair")


def test_a_higher_rung_decides_whoever_stands_below() -> None:
    weaker = replace(ADA, key=2, nino=None)
    given = asked(postcode="BB1 1AA")
    assert find_match(given, [weaker, ADA]) == Matched(key=1, level="exact")
    assert find_match(given, [weaker, replace(weaker, key=3), ADA]) == Matched(key=1, level="exact")


def test_a_person_of_whom_little_is_known_is_not_taken_for_anybody() -> None:
    blank = Person(key=3, family_names=("",), birthdate=None)
    assert find_match(asked(), [blank]) == UNKNOWN
    assert find_match(asked(), [replace(blank, birthdate=date(1988, 1, 1), nino="QQ123456C")]) == UNKNOWN
    assert find_match(asked(), []) == UNKNOWN


def test_nobodys_attributes_are_shown() -> None:
    shown = repr((asked(postcode="BB1 1AA", nino_fragment="3456"), ADA))
    assert not [value for value in ("testcase", "Testcase", "1988", "123456", "3456", "BB1") if value in shown]

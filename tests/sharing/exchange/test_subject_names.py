"""By which names a person is found on a list, and under which questions about them are counted."""

from collections.abc import Mapping

import pytest

from gateway.sharing.exchange.people.subject_names import names_counted, names_kept, names_sought

ADA = {"family_name": "Testcase", "birthdate": "1988-01-01"}
NUMBER = {"nino": "QQ123456C"}
FRAGMENT = {"nino_fragment": "3456"}
WHERE = {"given_name": "Ada", "postcode": "ZZ1 1AA"}


def found(kept: Mapping[str, str], sought: Mapping[str, str]) -> bool:
    return any(name in names_kept(kept) for name in names_sought(sought))


def counted_together(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return any(name in names_counted(one) for name in names_counted(other))


@pytest.mark.parametrize(
    "sought",
    [
        {**ADA, **NUMBER},
        {**ADA, **NUMBER, **WHERE},
        {**ADA, **NUMBER, "given_name": "Another", "postcode": "YY9 9YY"},
        {**ADA, "nino": "QQ123456A"},
        {**ADA, "nino": "QQ123456C", "family_name": "Testkase"},
        {**ADA, **FRAGMENT},
        {**ADA, **FRAGMENT, "family_name": "TESTCASE"},
        ADA,
        {**ADA, **WHERE},
        {**ADA, "given_name": "Another", "postcode": "YY9 9YY"},
        {**ADA, "family_name": "  tést case".replace(" c", "c")},
    ],
)
def test_whoever_is_entered_with_all_that_is_known_is_found_however_described(sought: Mapping[str, str]) -> None:
    assert found({**ADA, **NUMBER, **WHERE}, sought)


@pytest.mark.parametrize("kept", [{**ADA, **NUMBER}, {**ADA, **FRAGMENT}, ADA, {**ADA, **WHERE}])
@pytest.mark.parametrize("sought", [{**ADA, **NUMBER}, {**ADA, **FRAGMENT}, ADA, {**ADA, **WHERE}])
def test_less_on_either_side_finds_the_person_still(kept: Mapping[str, str], sought: Mapping[str, str]) -> None:
    assert found(kept, sought)


def test_a_number_alone_finds_whoever_is_described_with_it() -> None:
    assert found(NUMBER, {**ADA, **NUMBER})
    assert not found(NUMBER, ADA)


def test_a_twin_with_a_number_of_their_own_is_somebody_else() -> None:
    twin = {**ADA, "nino": "QQ654321B"}
    assert not found({**ADA, **NUMBER}, twin)
    assert not found({**ADA, **NUMBER}, {**ADA, "nino_fragment": "4321"})
    # Without a number on one side the doubt is resolved for whoever objected.
    assert found(ADA, twin)


@pytest.mark.parametrize("change", [{"birthdate": "1988-01-02"}, {"family_name": "Sample"}])
def test_somebody_else_is_not_found(change: Mapping[str, str]) -> None:
    for known in (FRAGMENT, {}, WHERE):
        assert not found({**ADA, **NUMBER}, {**ADA, **known, **change})


def test_neither_a_spelling_nor_an_invented_number_makes_a_budget_of_its_own() -> None:
    asked = [
        {**ADA, **NUMBER},
        {**ADA, **FRAGMENT},
        ADA,
        {**ADA, "given_name": "A", "postcode": "YY9 9YY"},
        {**ADA, **WHERE, "nino_fragment": "0001"},
        {**ADA, **WHERE, "nino": "AA000001A"},
    ]
    assert all(counted_together(one, other) for one in asked for other in asked)
    assert counted_together({**ADA, **NUMBER}, {**ADA, "nino": "QQ123456A", "family_name": "Testkase"})
    assert not counted_together(ADA, {**ADA, "birthdate": "1988-01-02"})


@pytest.mark.parametrize("nobody", [{}, {"family_name": "Testcase"}, {"birthdate": "1988-01-01"}, {"nino": "none"}])
def test_what_names_nobody_has_no_name(nobody: Mapping[str, str]) -> None:
    assert names_kept(nobody) == ()
    assert names_sought(nobody) == ()

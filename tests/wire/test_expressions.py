"""Expressions give what was agreed or nothing, within bounds, and their errors say nothing of values."""

from typing import Any

import pytest

from gateway.wire.errors import ExpressionFailed, InvalidExpression
from gateway.wire.expressions import check_expression, checked_result, compute, uses

LIMITS = {"moving_around": 8}
TIERS = ("enhanced", "standard", "none")
TIER = (
    "moving == null ? 'none' : moving >= thresholds.enhanced ? 'enhanced' : "
    "moving >= thresholds.standard ? 'standard' : 'none'"
)
TIER_LIMITS = {"enhanced": 12, "standard": 8}


@pytest.mark.parametrize(("points", "expected"), [(7, False), (8, True), (8.5, True), (9, True), (7.999, False)])
def test_a_threshold_is_compared_with_whole_and_other_numbers_alike(points: float, expected: object) -> None:
    assert compute("p >= thresholds.moving_around", values={"p": points}, thresholds=LIMITS, gives=()) is expected


@pytest.mark.parametrize(("moving", "tier"), [(None, "none"), (0, "none"), (8, "standard"), (12, "enhanced")])
def test_a_tier_is_given_also_where_there_is_no_value(moving: int | None, tier: str) -> None:
    assert compute(TIER, values={"moving": moving}, thresholds=TIER_LIMITS, gives=TIERS) == tier


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("p >= thresholds.moving_around", {"p": None}),
        ("p >= thresholds.moving_around", {"p": "54210"}),
        ("p >= thresholds.moving_around", {"p": True}),
        ("p >= thresholds.moving_around", {"p": 2**80}),
        ("p >= thresholds.moving_around", {}),
        ("p >= thresholds.other", {"p": 9}),
        ("p / 0 > 1", {"p": 54210}),
        ("p * p * p * p * p > 1", {"p": 54210}),
        ("p.amount > 1", {"p": {"award": 54210}}),
        ("p", {"p": 54210}),
        ("string(p)", {"p": 54210}),
        ("p == 54210 ? null : null", {"p": 54210}),
        ("p >", {"p": 54210}),
    ],
)
def test_what_cannot_be_computed_is_an_error_without_the_value(expression: str, values: dict[str, Any]) -> None:
    with pytest.raises((ExpressionFailed, InvalidExpression)) as raised:
        compute(expression, values=values, thresholds=LIMITS, gives=())
    assert "54210" not in f"{raised.value.public} {raised.value.detail} {raised.value}"
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(("result", "gives"), [("other", TIERS), (True, TIERS), ("enhanced", ()), (1, ()), (None, ())])
def test_a_result_that_was_not_agreed_is_none(result: object, gives: tuple[str, ...]) -> None:
    with pytest.raises(ExpressionFailed):
        checked_result(result, gives=gives)


def test_the_work_of_an_expression_is_bounded() -> None:
    many = list(range(5000))  # unbounded, this would take hours
    with pytest.raises(ExpressionFailed):
        compute("l.all(x, l.all(y, l.all(z, x + y + z >= 0)))", values={"l": many}, thresholds={}, gives=())


def test_a_pattern_that_backtracks_elsewhere_does_not_here() -> None:
    assert compute("t.matches('(a+)+$')", values={"t": "a" * 5000 + "b"}, thresholds={}, gives=()) is False


def test_a_sound_expression_is_accepted() -> None:
    check_expression("p >= thresholds.moving_around", fields={"p": "integer"}, thresholds=LIMITS, gives=())
    check_expression(TIER, fields={"moving": "any"}, thresholds=TIER_LIMITS, gives=TIERS)
    check_expression(
        "timestamp(born + 'T00:00:00Z') < timestamp(thresholds.day + 'T00:00:00Z')",
        fields={"born": "text"},
        thresholds={"day": "2008-11-23"},
        gives=(),
    )


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("p >= thresholds.unknown", "thresholds.unknown"),
        ("award_amount > 3", "award_amount"),
        ("p >=", "yntax"),
        ("p >= 'eight'", "overload"),
        ("p", "boolean"),
        ("string(p)", "boolean"),
        ("now() > p", "now"),
    ],
)
def test_an_expression_over_other_names_or_of_another_type_is_refused(expression: str, says: str) -> None:
    with pytest.raises(InvalidExpression, match=says):
        check_expression(expression, fields={"p": "integer"}, thresholds=LIMITS, gives=())


def test_a_field_given_as_it_is_is_no_tier() -> None:
    with pytest.raises(InvalidExpression):
        check_expression("p", fields={"p": "any"}, thresholds={}, gives=TIERS)


@pytest.mark.parametrize("name", ["thresholds", "a.b", "Upper", "a-b", "", "a" * 65])
def test_a_name_that_could_be_mistaken_cannot_be_used(name: str) -> None:
    with pytest.raises(InvalidExpression):
        check_expression("true", fields={name: "any"}, thresholds={}, gives=())


def test_whether_a_field_is_needed_can_be_told() -> None:
    assert uses("p > 1", "p", among=("p", "q"), thresholds=())
    assert not uses("p > 1", "q", among=("p", "q"), thresholds=())

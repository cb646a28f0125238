"""Expressions of agreements' checks: CEL (Common Expression Language), as gateway and providers alike compute them.

An expression sees the fields it names and `thresholds.<name>`, nothing else: no time, no network, no other person. Its
cost is bounded by the evaluator. Whatever goes wrong is an error, and no error says anything of a value.
"""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Literal

from cel_expr_python import cel

from gateway.wire.errors import ExpressionFailed, InvalidExpression

ValueKind = Literal["boolean", "integer", "text", "any"]
"""What an expression may take a name for; `any` is judged when it is evaluated."""

_KINDS: Mapping[ValueKind, cel.Type] = {
    "boolean": cel.Type.BOOL,
    "integer": cel.Type.INT,
    "text": cel.Type.STRING,
    "any": cel.Type.DYN,
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_THRESHOLDS = "thresholds"


def check_expression(
    expression: str, *, fields: Mapping[str, ValueKind], thresholds: Mapping[str, float | str], gives: Collection[str]
) -> None:
    """Refuse what cannot be computed from these names, or gives something else; raises `InvalidExpression`.

    `gives` are the texts that it can give; empty for a boolean.
    """
    for name in (*fields, *thresholds):
        # CEL's identifiers (language definition, "Syntax"), of which we take what fields are called here.
        if not _NAME.match(name) or name == _THRESHOLDS:
            raise InvalidExpression(f"{name} cannot be named in an expression")
    names = {**fields, **{f"{_THRESHOLDS}.{name}": _kind_of(value) for name, value in thresholds.items()}}
    compiled = _compiled(expression, tuple(sorted(names.items())))
    wanted = cel.Type.STRING if gives else cel.Type.BOOL
    if compiled.return_type() != wanted:
        raise InvalidExpression(f"the expression does not give a {'text' if gives else 'boolean'} whatever the values")


def uses(expression: str, name: str, *, among: Collection[str], thresholds: Collection[str]) -> bool:
    """Tell whether a sound expression over the fields `among` and these thresholds needs this one of the fields."""
    names = [*among, *(f"{_THRESHOLDS}.{threshold}" for threshold in thresholds)]
    try:
        _compiled(expression, tuple((other, "any") for other in sorted(names) if other != name))
    except InvalidExpression:
        return True
    return False


def compute(
    expression: str, *, values: Mapping[str, Any], thresholds: Mapping[str, float | str], gives: Collection[str]
) -> bool | str:
    """Return what the expression gives for these values (JSON), one of `gives` or a boolean where that is empty.

    Raises `ExpressionFailed` when it cannot be computed or gives something else, `InvalidExpression` when it is none.
    """
    data = {**values, **{f"{_THRESHOLDS}.{name}": value for name, value in thresholds.items()}}
    compiled = _compiled(expression, tuple((name, "any") for name in sorted(data)))
    try:
        # The library gives most errors as a value of a type of their own, and raises when the work becomes too much.
        found = compiled.eval(data=data)
        result = found.plain_value() if found.type() in (cel.Type.BOOL, cel.Type.STRING) else None
    except (RuntimeError, ValueError, TypeError, OverflowError):
        # Its own words quote values: they are neither passed on nor kept.
        raise ExpressionFailed from None
    return checked_result(result, gives=gives)


def checked_result(result: object, *, gives: Collection[str]) -> bool | str:
    """Return a result that a check can have; raises `ExpressionFailed` for any other."""
    if isinstance(result, bool) and not gives:
        return result
    if isinstance(result, str) and result in gives:
        return result
    raise ExpressionFailed


# Compiling takes a millisecond, evaluating some microseconds; agreements are few beside the questions asked under them.
@lru_cache(maxsize=1024)
def _compiled(expression: str, names: tuple[tuple[str, ValueKind], ...]) -> cel.Expression:
    try:
        return cel.NewEnv(variables={name: _KINDS[kind] for name, kind in names}).compile(expression)
    except (RuntimeError, ValueError) as error:
        raise InvalidExpression(_first_line(error)) from None


def _first_line(error: Exception) -> str:
    # The compiler quotes the expression, which both members sign, and has never seen a value.
    return str(error).partition("\n")[0].partition("<input>:")[2].partition(" (in container")[0] or "it cannot be read"


def _kind_of(threshold: float | str) -> ValueKind:
    if isinstance(threshold, str):
        return "text"
    # Compared with whole and other numbers alike: CEL does so when it evaluates, and refuses it in its types.
    return "integer" if isinstance(threshold, int) else "any"

"""Checks: what has to be asked for them, and what the gateway computes and states itself.

A check that the provider computes comes back as one more field of its record. For one that the gateway computes, the
provider discloses the fields it is computed from to the gateway, which drops them and states the result in an SD-JWT of
its own. Of fields and thresholds the consumer sees neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.sharing.agreements.terms import Check
from gateway.wire.contracts import CHECK_TYP
from gateway.wire.expressions import compute
from gateway.wire.sd_jwt import issue_sd_jwt
from gateway.wire.signer import Signer

# Longer than an answer is kept for an honest retry, which must still find the statement believable.
STATEMENT_LIFETIME = timedelta(minutes=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the names that were asked for come to."""

    asked: tuple[str, ...]
    """Fields and checks, in the order of the request."""
    fields: tuple[str, ...]
    """Fields that are disclosed as the provider signed them."""
    sources: tuple[str, ...] = ()
    """Fields that the gateway needs for its checks, and drops."""
    here: tuple[Check, ...] = ()
    """Checks that the gateway computes."""
    there: tuple[Check, ...] = ()
    """Checks that the provider computes."""

    @property
    def fetched(self) -> tuple[str, ...]:
        """The fields that the provider has to give the gateway."""
        return (*self.fields, *self.sources)

    @property
    def from_provider(self) -> tuple[str, ...]:
        """What of the provider's record the consumer is given."""
        return (*self.fields, *(check.name for check in self.there))


def plan_for(asked: Sequence[str], checks: Sequence[Check]) -> Plan:
    """Return what has to be asked of the provider for these permitted names; `checks` are the agreement's."""
    by_name = {check.name: check for check in checks}
    wanted = [by_name[name] for name in asked if name in by_name]
    fields = tuple(name for name in asked if name not in by_name)
    here = tuple(check for check in wanted if check.computed_by == "gateway")
    needed = [name for check in here for name in check.from_]
    return Plan(
        asked=tuple(asked),
        fields=fields,
        sources=tuple(name for name in dict.fromkeys(needed) if name not in fields),
        here=here,
        there=tuple(check for check in wanted if check.computed_by != "gateway"),
    )


def for_provider(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Return checks as a question states them: `gives` is `boolean`, or the list of texts."""
    return [
        {
            "name": check.name,
            "from": list(check.from_),
            "expression": check.expression,
            "gives": list(check.gives) or "boolean",
        }
        for check in checks
    ]


def compute_checks(
    plan: Plan, *, values: Mapping[str, Any], thresholds: Mapping[str, float | str]
) -> dict[str, bool | str]:
    """Return what the gateway's own checks give, by name; raises `ExpressionFailed` or `InvalidExpression`."""
    return {
        check.name: compute(
            check.expression,
            values={name: values[name] for name in check.from_},
            thresholds=thresholds,
            gives=check.gives,
        )
        for check in plan.here
    }


def state_checks(results: Mapping[str, bool | str], *, claims: Mapping[str, str], signer: Signer, now: datetime) -> str:
    """Return the gateway's SD-JWT over results, each a disclosure of its own.

    `claims` are `iss`, `aud`, `sub` (the handle), `jti` (the exchange), `basis` (the digest of what the provider
    signed, from which they were computed) and `agreement` (reference and version).
    """
    times = {"iat": int(now.timestamp()), "exp": int((now + STATEMENT_LIFETIME).timestamp())}
    return issue_sd_jwt({**claims, **times}, results, signer=signer, typ=CHECK_TYP)

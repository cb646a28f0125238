"""The sandbox: a twin of every service, answered about nobody, so that a council can test before a department is ready.

The family name asked about chooses what happens; everything else may be anything that is well formed. The same
question always has the same answer. docs/sandbox.md has the table for developers.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.demo.layout import SANDBOX
from gateway.sdk.matching import standard_name
from gateway.sdk.provider import AskedQuestion, Found, NoRecord
from gateway.sdk.questions import MatchLevel

SLOW_SECONDS = 1.0
LATE_SECONDS = 5.0
"""Longer than any service of the demonstration gives its provider."""
AWAY, AWAY_FROM_THERE = "E08000035", "E09000033"

VALUES: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dwp/free-school-meals/v1": (
        {"eligible": True, "tier": "targeted", "award_amount": 50_000},
        {"eligible": False, "tier": None, "award_amount": 0},
    ),
    "dwp/blue-badge/v1": (
        {
            "dla_mobility": "higher",
            "moving_around_points": 8,
            "planning_a_journey_points": 10,
            "award_ends": "2030-01-01",
            "daily_living_points": 8,
            "main_condition": "invented condition A",
            "weekly_amount": 7_500,
        },
        {
            "dla_mobility": "lower",
            "moving_around_points": 4,
            "planning_a_journey_points": 12,
            "award_ends": None,
            "daily_living_points": 0,
            "main_condition": None,
            "weekly_amount": 0,
        },
    ),
    "dwp/electoral-match/v1": ({}, {}),
    "hmrc/income/v1": (
        {
            "employer_name": "Sandbox Works",
            "employer_address": "1 Sandbox Street, ZZ1 1AA",
            "self_assessment_income": 12_000,
            "self_assessment_year": "2024-25",
            "pay_this_year": 1_000_000,
            "tax_code": "1257L",
        },
        {
            "employer_name": None,
            "employer_address": None,
            "self_assessment_income": None,
            "self_assessment_year": None,
            "pay_this_year": 0,
            "tax_code": None,
        },
    ),
    "hmrc/identity-attributes/v1": (
        {"family_name_agrees": True, "given_name_agrees": True, "postcode_agrees": True, "deceased": False},
        {"family_name_agrees": True, "given_name_agrees": False, "postcode_agrees": None, "deceased": False},
    ),
    "moj/lasting-power-of-attorney/v1": (
        {
            "kind": "property and finance",
            "standing": "registered",
            "attorneys": ["Attorney A Sandbox", "Attorney B Sandbox"],
            "how_attorneys_act": "jointly and severally",
            "instructions_present": False,
            "donor_address": "2 Sandbox Street, ZZ1 1AA",
        },
        {
            "kind": "health and welfare",
            "standing": "revoked",
            "attorneys": ["Attorney A Sandbox"],
            "how_attorneys_act": "solely",
            "instructions_present": True,
            "donor_address": "2 Sandbox Street, ZZ1 1AA",
        },
    ),
    "hmps/staff-transfer/v1": (
        {
            "staff_number": "P0000001",
            "name": "Sandbox Found",
            "grade": "EO",
            "working_time": 1,
            "continuous_service_from": "2010-01-01",
            "pension_scheme": "alpha",
            "pension_reference": "PCS00000001",
            "leave_days": 12.5,
            "clearance": "SC",
            "clearance_ends": "2030-01-01",
            "bank_account": "00-00-00 00000001",
            "absences": 0,
        },
        {
            "staff_number": "P0000002",
            "name": "Sandbox Otherwise",
            "grade": "AO",
            "working_time": 0.5,
            "continuous_service_from": None,
            "pension_scheme": "classic",
            "pension_reference": "PCS00000002",
            "leave_days": -1,
            "clearance": "BPSS",
            "clearance_ends": None,
            "bank_account": "00-00-00 00000002",
            "absences": 12,
        },
    ),
    "defra/supplier/v1": (
        {
            "supplier_number": "S0000001",
            "trading_name": "Sandbox Repairs",
            "bank_details_confirmed": True,
            "open_invoices": 2,
            "last_payment": "2026-06-01",
            "payment_status": "in order",
            "home_address": "3 Sandbox Street, ZZ1 1AA",
            "bank_account": "00-00-00 00000001",
        },
        {
            "supplier_number": "S0000002",
            "trading_name": "Sandbox Otherwise",
            "bank_details_confirmed": False,
            "open_invoices": 0,
            "last_payment": None,
            "payment_status": "on hold",
            "home_address": "3 Sandbox Street, ZZ1 1AA",
            "bank_account": "00-00-00 00000002",
        },
    ),
    "mod-jpa/pension-entitlement/v1": (
        {
            "scheme": "AFPS 75",
            "in_payment": True,
            "started": "2000-01-01",
            "weekly_amount": 20_000,
            "service_number": "X00000001",
            "last_unit": "Invented Regiment",
        },
        {
            "scheme": "AFPS 15",
            "in_payment": False,
            "started": None,
            "weekly_amount": 0,
            "service_number": "X00000002",
            "last_unit": "Invented Regiment",
        },
    ),
}
"""What is held of `Found`, and of `Otherwise`, who is found as well; by the service whose twin is asked."""


class SandboxFails(Exception):
    """What a department's own system may raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What asking about this family name brings, in words, and what does it."""

    family_name: str
    brings: str
    act: Callable[[str, AskedQuestion], Found | NoRecord]


def twin_of(service: str) -> str:
    """Return the id of a service's twin: `sandbox/blue-badge/v1` of `dwp/blue-badge/v1`."""
    return f"{SANDBOX}/{service.partition('/')[2]}"


class SandboxAnswers:
    """Answers the twin of one service."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, question: AskedQuestion) -> Found | NoRecord:
        """Do what the family name says. A person who is named by `sub` is found: somebody signed in for it."""
        if "sub" in question.subject:
            return _found(self._service, question)
        outcome = _BY_NAME.get(standard_name(question.subject.get("match", {}).get("family_name")))
        return outcome.act(self._service, question) if outcome else NoRecord(reason="unknown")


def _found(
    service: str, question: AskedQuestion, *, which: int = 0, level: MatchLevel = "exact", area: str | None = None
) -> Found:
    fields = dict(VALUES[service][which])
    if service == "dwp/electoral-match/v1":
        fields["match_level"] = level
    # Whoever asks, the person lives in their area: a council need not know codes to begin.
    return Found(fields=fields, match_level=level, area=area or question.consumer)


def _at(level: MatchLevel) -> Callable[[str, AskedQuestion], Found]:
    return lambda service, question: _found(service, question, level=level)


def _elsewhere(service: str, question: AskedQuestion) -> Found:
    return _found(service, question, area=AWAY if question.consumer != AWAY else AWAY_FROM_THERE)


def _after(seconds: float) -> Callable[[str, AskedQuestion], Found]:
    def slowly(service: str, question: AskedQuestion) -> Found:
        time.sleep(seconds)
        return _found(service, question)

    return slowly


def _fail(_service: str, _question: AskedQuestion) -> Found:
    raise SandboxFails


def _malformed(service: str, question: AskedQuestion) -> Found:
    found = _found(service, question)
    fields = {name: {"not": "what the schema says"} for name in found.fields}
    return Found(fields=fields, match_level="exact", area=found.area)


OUTCOMES = (
    Outcome(family_name="Found", brings="a record: the first column of values below", act=_found),
    Outcome(
        family_name="Otherwise",
        brings="a record: the second column of values below",
        act=lambda *asked: _found(*asked, which=1),
    ),
    Outcome(family_name="Strong", brings="as Found, at the match level `strong`", act=_at("strong")),
    Outcome(family_name="Fair", brings="as Found, at the match level `fair`", act=_at("fair")),
    Outcome(family_name="Weak", brings="as Found, at the match level `weak`", act=_at("weak")),
    Outcome(
        family_name="Elsewhere",
        brings="as Found, of somebody who lives in another area: no record where the agreement is for the own area",
        act=_elsewhere,
    ),
    Outcome(
        family_name="Nobody",
        brings="no record: nobody is found. Every name that is not in this table does the same",
        act=lambda *_asked: NoRecord(reason="unknown"),
    ),
    Outcome(
        family_name="Double",
        brings="no record: two people fit equally well",
        act=lambda *_asked: NoRecord(reason="ambiguous"),
    ),
    Outcome(
        family_name="Withheld",
        brings="no record: the department tells nothing of this person",
        act=lambda *_asked: NoRecord(reason="withheld"),
    ),
    Outcome(family_name="Slow", brings="as Found, after a second", act=_after(SLOW_SECONDS)),
    Outcome(family_name="Late", brings="a failure: no answer in time", act=_after(LATE_SECONDS)),
    Outcome(family_name="Failing", brings="a failure: the department's own system breaks", act=_fail),
    Outcome(
        family_name="Malformed",
        brings="a failure: the answer is signed, and not what the service promises",
        act=_malformed,
    ),
)
_BY_NAME = {standard_name(outcome.family_name): outcome for outcome in OUTCOMES}

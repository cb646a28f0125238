"""What each department holds about a person, service by service: drawn from the person's number, the same every time.

Holding more than any agreement discloses is the point: what is excluded has to be there to be left out.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from gateway.demo.drawing import Draw
from gateway.demo.people import HELD, SyntheticPerson

Hold = Callable[[SyntheticPerson, Draw], dict[str, Any]]


def holding(service: str, person: SyntheticPerson) -> dict[str, Any]:
    """Return the fields of `service` for this person."""
    # One draw a service and person: what a service is given later changes nothing in the others.
    drawn = HOLDINGS[service](person, Draw(f"{service} {person.number}"))
    return {**drawn, **HELD.get((service, person.number), {})}


def _free_school_meals(person: SyntheticPerson, _draw: Draw) -> dict[str, Any]:
    return {"eligible": person.eligible, "tier": person.tier, "award_amount": person.award_amount}


def _blue_badge(_person: SyntheticPerson, draw: Draw) -> dict[str, Any]:
    has_award = draw.chance(in_a_thousand=400)
    return {
        "dla_mobility": draw.choice(("higher", "lower", "none")) if has_award else "none",
        "moving_around_points": draw.choice((0, 4, 8, 10, 12)) if has_award else 0,
        "planning_a_journey_points": draw.choice((0, 4, 8, 10, 12)) if has_award else 0,
        "award_ends": draw.choice((None, f"{draw.between(2027, 2035)}-01-01")) if has_award else None,
        "daily_living_points": draw.between(0, 30),
        "main_condition": draw.choice(("invented condition A", "invented condition B")) if has_award else None,
        "weekly_amount": draw.between(2_000, 18_000) if has_award else 0,
    }


def _electoral_match(_person: SyntheticPerson, _draw: Draw) -> dict[str, Any]:
    return {}  # the level is found with the person


def _income(person: SyntheticPerson, draw: Draw) -> dict[str, Any]:
    employed, assessed = draw.chance(in_a_thousand=700), draw.chance(in_a_thousand=300)
    return {
        "employer_name": f"Specimen Works {draw.between(1, 99)} (demonstration)" if employed else None,
        "employer_address": f"{draw.between(1, 99)} Sample Road, {person.postcode}" if employed else None,
        "self_assessment_income": draw.between(500, 60_000) if assessed else None,
        "self_assessment_year": "2024-25" if assessed else None,
        "pay_this_year": draw.between(400_000, 3_000_000) if employed else 0,
        "tax_code": draw.choice(("1257L", "BR", "D0")) if employed else None,
    }


def _identity_attributes(_person: SyntheticPerson, _draw: Draw) -> dict[str, Any]:
    return {"deceased": False}  # what agrees is found by comparing


def _power_of_attorney(person: SyntheticPerson, draw: Draw) -> dict[str, Any]:
    attorneys = [f"Attorney {draw.choice('ABCDEFGH')} {person.family_name}" for _ in range(draw.between(1, 2))]
    return {
        "kind": draw.choice(("property and finance", "health and welfare")),
        "standing": "registered" if person.number < 100 else draw.choice(("registered", "registered", "revoked")),  # noqa: PLR2004 - made by hand
        "attorneys": attorneys,
        "how_attorneys_act": "solely" if len(attorneys) == 1 else draw.choice(("jointly", "jointly and severally")),
        "instructions_present": draw.chance(in_a_thousand=200),
        "donor_address": f"{draw.between(1, 99)} Testcase Lane, {person.postcode}",
    }


def _staff_transfer(person: SyntheticPerson, draw: Draw) -> dict[str, Any]:
    year = max(person.birthdate.year + 18, 1990)
    return {
        "staff_number": f"P{person.number:07}",
        "name": f"{person.given_name} {person.family_name}",
        "grade": draw.choice(("AO", "EO", "HEO", "SEO", "Grade 7")),
        "working_time": draw.choice((1, 0.8, 0.6, 0.5)),
        "continuous_service_from": date(draw.between(year, 2025), 1, 1).isoformat(),
        "pension_scheme": draw.choice(("alpha", "classic", "nuvos")),
        "pension_reference": f"PCS{person.number:08}",
        "leave_days": draw.between(-4, 60) / 2,
        "clearance": draw.choice(("BPSS", "BPSS", "CTC", "SC")),
        "clearance_ends": f"{draw.between(2027, 2033)}-01-01",
        "bank_account": f"00-00-00 {person.number:08}",
        "absences": draw.between(0, 12),
    }


def _supplier(person: SyntheticPerson, draw: Draw) -> dict[str, Any]:
    return {
        "supplier_number": f"S{person.number:07}",
        "trading_name": f"{person.family_name} Repairs (demonstration)",
        "bank_details_confirmed": draw.chance(in_a_thousand=900),
        "open_invoices": draw.between(0, 9),
        "last_payment": draw.choice((None, "2026-01-01", "2026-06-01")),
        "payment_status": draw.choice(("in order", "in order", "on hold")),
        "home_address": f"{draw.between(1, 99)} Demo Close, {person.postcode}",
        "bank_account": f"00-00-00 {person.number:08}",
    }


def _pension(person: SyntheticPerson, draw: Draw) -> dict[str, Any]:
    return {
        "scheme": draw.choice(("AFPS 75", "AFPS 05", "AFPS 15")),
        "in_payment": True,
        "started": date(min(person.birthdate.year + 60, 2026), 1, 1).isoformat(),
        "weekly_amount": draw.between(3_000, 60_000),
        "service_number": f"X{person.number:08}",
        "last_unit": "Invented Regiment",
    }


HOLDINGS: Mapping[str, Hold] = {
    "dwp/free-school-meals/v1": _free_school_meals,
    "dwp/blue-badge/v1": _blue_badge,
    "dwp/electoral-match/v1": _electoral_match,
    "hmrc/income/v1": _income,
    "hmrc/identity-attributes/v1": _identity_attributes,
    "moj/lasting-power-of-attorney/v1": _power_of_attorney,
    "hmps/staff-transfer/v1": _staff_transfer,
    "defra/supplier/v1": _supplier,
    "mod-jpa/pension-entitlement/v1": _pension,
}

"""What officers can ask about at their desks: which service, for which purpose, with which words.

Each errand offers something that its agreement does not cover, so that a refusal can be seen.
"""

from dataclasses import dataclass, replace

from gateway.demo.layout import BLACKBURN, DWP
from gateway.demo.sandbox import twin_of

Named = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One question that can be asked; `covered` and `uncovered` are fields with their labels."""

    slug: str
    title: str
    about: str
    """One sentence, shown where the officer chooses."""
    service: str
    purpose: str
    covered: Named
    uncovered: Named = ()
    asks_for: tuple[str, ...] = ("nino",)
    """By what the person is described, besides family name and date of birth."""

    @property
    def labels(self) -> dict[str, str]:
        """Every field's label."""
        return dict((*self.covered, *self.uncovered))


FREE_SCHOOL_MEALS = Errand(
    slug="free-school-meals",
    title="Free school meals",
    about="Whether a parent’s benefits entitle a child.",
    service="dwp/free-school-meals/v1",
    purpose="free-school-meals",
    covered=(("eligible", "Whether free school meals can be given"), ("tier", "The tier of the entitlement")),
    uncovered=(("award_amount", "The amount of the benefit award"),),
)
BLUE_BADGE = Errand(
    slug="blue-badge",
    title="Blue Badge",
    about="Whether a disability benefit qualifies a person without an assessment. Yes or no for each rule.",
    service="dwp/blue-badge/v1",
    purpose="blue-badge",
    covered=(
        ("higher_rate_mobility", "Whether the higher mobility rate is paid"),
        ("moving_around", "Whether the points for moving around are enough"),
        ("planning_a_journey", "Whether the points for planning a journey are those of the rule"),
        ("award_ends", "The last day of the award"),
    ),
    uncovered=(("moving_around_points", "The points for moving around"),),
)
COUNCIL_TAX_DEBT = Errand(
    slug="council-tax-debt",
    title="Council tax debt",
    about="Employer and declared income of somebody against whom a liability order was made.",
    service="hmrc/income/v1",
    purpose="council-tax-debt",
    covered=(
        ("employer_name", "The employer"),
        ("employer_address", "The employer’s address"),
        ("self_assessment_income", "Income of the last self assessment, in pounds a year"),
        ("self_assessment_year", "The tax year of that assessment"),
    ),
    uncovered=(("tax_code", "The tax code"),),
)
ELECTORAL_MATCH = Errand(
    slug="electoral-match",
    title="Electoral registration",
    about="How surely an applicant is known to DWP, and nothing else.",
    service="dwp/electoral-match/v1",
    purpose="electoral-registration",
    covered=(("match_level", "How surely the applicant was matched"),),
    asks_for=("given_name", "nino"),
)
POWER_OF_ATTORNEY = Errand(
    slug="lasting-power-of-attorney",
    title="Lasting power of attorney",
    about="What a registered power says, found by the access code that the attorney gave out.",
    service="moj/lasting-power-of-attorney/v1",
    purpose="act-for-another",
    covered=(
        ("kind", "What the power is about"),
        ("standing", "Where it stands"),
        ("attorneys", "The attorneys"),
        ("how_attorneys_act", "How the attorneys act"),
        ("instructions_present", "Whether there are instructions"),
    ),
    uncovered=(("donor_address", "The donor’s address"),),
    asks_for=("access_code",),
)
VULNERABILITY = Errand(
    slug="council-tax-vulnerability",
    title="Council tax: people who cannot pay",
    about="A pilot whose agreement has expired: asking is refused.",
    service="hmrc/income/v1",
    purpose="council-tax-vulnerability",
    covered=(("self_assessment_income", "Income of the last self assessment, in pounds a year"),),
)
HOLIDAY_ACTIVITIES = Errand(
    slug="holiday-activities",
    title="Holiday activities and food",
    about="An agreement that is suspended at present: asking is refused.",
    service="dwp/free-school-meals/v1",
    purpose="holiday-activities",
    covered=(("eligible", "Whether free school meals can be given"),),
)
STAFF_TRANSFER = Errand(
    slug="staff-transfer",
    title="Staff transfer",
    about="The personnel record of somebody who comes from HM Prison Service. On weekdays, 7am to 7pm.",
    service="hmps/staff-transfer/v1",
    purpose="staff-transfer",
    covered=(
        ("staff_number", "Staff number"),
        ("name", "Name on the payroll"),
        ("grade", "Grade"),
        ("working_time", "Part of full time"),
        ("continuous_service_from", "Service counts from"),
        ("pension_scheme", "Pension scheme"),
        ("pension_reference", "Pension reference"),
        ("leave_days", "Days of leave left"),
        ("clearance", "Clearance"),
        ("clearance_ends", "Clearance holds until"),
    ),
    uncovered=(("absences", "Days absent through sickness"),),
)
PENSION = Errand(
    slug="pension-entitlement",
    title="Armed forces pension",
    about="Whether a pension is paid, and in which band.",
    service="mod-jpa/pension-entitlement/v1",
    purpose="pension-credit",
    covered=(
        ("scheme", "The scheme"),
        ("in_payment", "Whether it is paid now"),
        ("started", "Since when"),
        ("weekly_amount_band", "The band of the weekly amount"),
    ),
    uncovered=(("weekly_amount", "The weekly amount"),),
)
SUPPLIER = Errand(
    slug="supplier",
    title="Supplier",
    about="The account of a sole trader at Defra’s finance centre.",
    service="defra/supplier/v1",
    purpose="supplier-payment",
    covered=(
        ("supplier_number", "Supplier number"),
        ("trading_name", "Trading name"),
        ("bank_details_confirmed", "Whether the bank details were confirmed"),
        ("open_invoices", "Invoices not paid yet"),
        ("last_payment", "Last payment"),
        ("payment_status", "Whether payments go out"),
    ),
    uncovered=(("home_address", "The home address"),),
)
IDENTITY = Errand(
    slug="identity-attributes",
    title="Identity check",
    about="Whether what a person says of themselves agrees with HMRC’s records. Yes or no for each.",
    service="hmrc/identity-attributes/v1",
    purpose="identity-verification",
    covered=(
        ("family_name_agrees", "Whether the family name agrees"),
        ("given_name_agrees", "Whether the given name agrees"),
        ("postcode_agrees", "Whether the postcode agrees"),
    ),
    asks_for=("given_name", "nino", "postcode"),
)
TRAVEL_PASS = Errand(
    slug="travel-pass",
    title="Disabled person’s travel pass",
    about="An agreement that is under review, which DWP has not signed: asking is refused.",
    service="dwp/blue-badge/v1",
    purpose="concessionary-travel",
    covered=(("moving_around", "Whether the points for moving around are enough"), ("award_ends", "Award ends")),
)


def in_sandbox(errand: Errand) -> Errand:
    """Return the same errand at the sandbox's twin of the service."""
    return replace(
        errand,
        slug=f"sandbox-{errand.slug}",
        title=f"Sandbox: {errand.title}",
        about="The sandbox answers; the family name chooses what happens.",
        service=twin_of(errand.service),
    )


_OF_COUNCILS = (FREE_SCHOOL_MEALS, BLUE_BADGE, COUNCIL_TAX_DEBT, ELECTORAL_MATCH, POWER_OF_ATTORNEY)

ERRANDS: dict[str, tuple[Errand, ...]] = {
    BLACKBURN: (*_OF_COUNCILS, VULNERABILITY, HOLIDAY_ACTIVITIES, *map(in_sandbox, _OF_COUNCILS)),
    "E07000117": tuple(map(in_sandbox, _OF_COUNCILS)),
    DWP: (STAFF_TRANSFER, PENSION),
    "cabinet-office": (SUPPLIER, IDENTITY),
    "tfl": (TRAVEL_PASS,),
}
"""What each desk offers, by member."""

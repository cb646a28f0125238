"""The organisations of the demonstration. Their names are real; that they agreed to anything here is invented.

The departments and shared-service centres are those of a survey of 2007 and go by the names they had then: who ran
finance and human resources for how many staff. The councils stand for every kind and every nation. Contacts are
roles, never people: addresses end in `.example` (RFC 2606), telephone numbers are from the ranges that Ofcom keeps for
drama (01632 960000 to 960999, 020 7946 0000 to 0999).
"""

from dataclasses import dataclass

from gateway.directory.members import OVERSIGHT_BODY, Jwk, Member, MemberContact

FINANCE = "finance"
HR = "human resources"
COUNCIL_FUNCTIONS = ("council tax", "social care", "schools", "electoral registration", "parking permits")
DISTRICT_FUNCTIONS = ("council tax", "electoral registration", "parking permits")
COUNTY_FUNCTIONS = ("social care", "schools", "parking permits")

CONTACT_ROLES = (
    ("Accountable officer", "accountable-officer"),
    ("Technical lead", "technical"),
    ("Data protection officer", "data-protection"),
    ("Incident desk", "incidents"),
    ("Out of hours desk", "out-of-hours"),
)
_LONDON = frozenset({"department", "oversight body", "sandbox"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoMember:
    """An organisation; `staff` is how many officers it has at full size (1:1), `domain` that of its addresses."""

    code: str
    name: str
    kind: str
    domain: str
    functions: tuple[str, ...]
    staff: int = 0

    def registered(self, *, number: int, keys: tuple[Jwk, ...]) -> Member:
        """Return it as the directory knows it; `number` is its place in `MEMBERS`, on which its telephones depend."""
        return Member(
            code=self.code,
            name=self.name,
            kind=self.kind,
            keys=keys,
            functions=self.functions,
            contacts=tuple(
                MemberContact(
                    role=role,
                    email=f"{mailbox}@{self.domain}",
                    telephone=self._telephone(number * len(CONTACT_ROLES) + place),
                )
                for place, (role, mailbox) in enumerate(CONTACT_ROLES)
            ),
        )

    def _telephone(self, number: int) -> str:
        return f"020 7946 0{number:03}" if self.kind in _LONDON else f"01632 960{number:03}"


def _department(code: str, name: str, functions: tuple[str, ...], *, staff: int = 0) -> DemoMember:
    return DemoMember(
        code=code, name=name, kind="department", domain=f"{code}.example", functions=functions, staff=staff
    )


def _centre(code: str, name: str, functions: tuple[str, ...], *, staff: int = 0) -> DemoMember:
    return DemoMember(
        code=code, name=name, kind="shared-service centre", domain=f"{code}.example", functions=functions, staff=staff
    )


def _agency(code: str, name: str, functions: tuple[str, ...], *, staff: int = 0) -> DemoMember:
    return DemoMember(code=code, name=name, kind="agency", domain=f"{code}.example", functions=functions, staff=staff)


def _council(
    code: str, name: str, domain: str, functions: tuple[str, ...] = COUNCIL_FUNCTIONS, *, staff: int = 0
) -> DemoMember:
    return DemoMember(
        code=code, name=name, kind="council", domain=f"{domain}.example", functions=functions, staff=staff
    )


# Staff as the survey gave them; the Foreign Office's is the middle of its range. Together 718,500.
MEMBERS = (
    _department("dwp", "Department for Work and Pensions", (FINANCE, HR, "benefits"), staff=120_000),
    _department("hmrc", "HM Revenue and Customs", (FINANCE, HR, "tax", "earnings"), staff=95_000),
    _centre("mod-jpa", "Ministry of Defence, Joint Personnel Administration", (HR, "pensions"), staff=275_000),
    _centre("mod-ppp", "Ministry of Defence, People, Pay and Pensions Agency", (HR, "pensions"), staff=80_000),
    _agency("hmps", "HM Prison Service", (FINANCE, HR), staff=48_000),
    _department("moj", "Ministry of Justice", (FINANCE, HR, "lasting powers of attorney"), staff=32_000),
    _department("home-office", "Home Office", (FINANCE, HR, "immigration", "passports"), staff=20_000),
    _agency("tfl", "Transport for London", (HR, "concessionary travel"), staff=20_000),
    _department("defra", "Department for Environment, Food and Rural Affairs", (FINANCE, HR), staff=14_000),
    _department("dft", "Department for Transport", (FINANCE, HR, "driving licences"), staff=8_000),
    _department("fco", "Foreign and Commonwealth Office", (FINANCE,), staff=3_500),
    _department("cabinet-office", "Cabinet Office", (FINANCE, HR, "identity proofing"), staff=1_500),
    _department("hmt-ogc", "HM Treasury and Office of Government Commerce", (FINANCE,), staff=1_500),
    _centre("nhs-sbs", "NHS Shared Business Services", (FINANCE,)),
    _department("clg", "Department for Communities and Local Government", ()),
    _department("dcms", "Department for Culture, Media and Sport", ()),
    _department("dius", "Department for Innovation, Universities and Skills", ()),
    _department("dcsf", "Department for Children, Schools and Families", ("schools",)),
    _department("berr", "Department for Business, Enterprise and Regulatory Reform", ()),
    _agency("directgov", "Directgov", ("services for the public",)),
    _agency("businesslink", "Businesslink", ("services for businesses",)),
    _council("E06000008", "Blackburn with Darwen Borough Council", "blackburn"),
    _council("E07000117", "Burnley Borough Council", "burnley", DISTRICT_FUNCTIONS),
    _council("E07000120", "Hyndburn Borough Council", "hyndburn", DISTRICT_FUNCTIONS),
    _council("E07000125", "Rossendale Borough Council", "rossendale", DISTRICT_FUNCTIONS),
    _council("E10000017", "Lancashire County Council", "lancashire", COUNTY_FUNCTIONS),
    _council("E08000003", "Manchester City Council", "manchester"),
    _council("E08000010", "Wigan Metropolitan Borough Council", "wigan"),
    _council("E08000035", "Leeds City Council", "leeds"),
    _council("E08000025", "Birmingham City Council", "birmingham"),
    _council("E09000007", "London Borough of Camden", "camden"),
    _council("E09000025", "London Borough of Newham", "newham"),
    _council("E09000028", "London Borough of Southwark", "southwark"),
    _council("E09000030", "London Borough of Tower Hamlets", "tower-hamlets"),
    _council("E09000033", "Westminster City Council", "westminster"),
    _council("E06000043", "Brighton and Hove City Council", "brighton-and-hove"),
    _council("E06000052", "Cornwall Council", "cornwall"),
    _council("E10000016", "Kent County Council", "kent", COUNTY_FUNCTIONS),
    _council("W06000015", "Cardiff Council", "cardiff"),
    _council("W06000011", "Swansea Council", "swansea"),
    _council("S12000049", "Glasgow City Council", "glasgow"),
    _council("N09000003", "Belfast City Council", "belfast", ()),
    DemoMember(
        code="oversight",
        name="Oversight Office (demonstration)",
        kind=OVERSIGHT_BODY,
        domain="oversight.example",
        functions=("oversight",),
    ),
    DemoMember(
        code="sandbox",
        name="Sandbox (demonstration)",
        kind="sandbox",
        domain="sandbox.example",
        functions=("answers for tests, about invented people",),
    ),
)
"""In an order that only ever grows at the end: telephone numbers and people are counted along it."""


def member_of(code: str) -> DemoMember:
    """Return the organisation with this code; raises `KeyError`."""
    return _BY_CODE[code]


_BY_CODE = {member.code: member for member in MEMBERS}

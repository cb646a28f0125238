"""The form of the demonstration's desks: who is asked about, and which fields."""

import re
from datetime import date

from govuk_frontend_wtf.wtforms_widgets import GovCheckboxesInput, GovSubmitInput, GovTextInput
from wtforms import SelectMultipleField, StringField, SubmitField, ValidationError
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # the stubs are of wtforms 3.2
from wtforms.validators import InputRequired, Length, Regexp

from gateway.demo.errands import FREE_SCHOOL_MEALS, Errand
from gateway.web.forms import PageForm, PartedDateField, no_control_characters, without_spaces

# Two letters, six digits, a letter A to D. Stricter rules (which letters are ever issued) would refuse the prefix QQ,
# which is never issued and therefore the one the invented people of the demonstration have.
NINO = re.compile(r"\A[A-Z]{2}[0-9]{6}[A-D]\Z")
NINO_FORMAT = "Enter a National Insurance number in the correct format, like QQ 12 34 56 C"
EARLIEST_BIRTH = date(1900, 1, 1)
POSTCODE = re.compile(r"\A[A-Z0-9]{2,4} [0-9][A-Z]{2}\Z")
ACCESS_CODE = re.compile(r"\A[A-Z0-9]{6,20}\Z")
DESCRIBING = ("given_name", "nino", "postcode", "access_code")
"""What may be asked for besides family name and date of birth; each errand says which."""


def _trimmed(value: str | None) -> str | None:
    return None if value is None else value.strip()


def _upper_without_spaces(value: str | None) -> str | None:
    plain = without_spaces(value)
    return None if plain is None else plain.upper()


def _as_postcode(value: str | None) -> str | None:
    plain = _upper_without_spaces(value)
    return None if plain is None else f"{plain[:-3]} {plain[-3:]}"


class AskForm(PageForm):
    """The question of one errand; `data` holds the answers ready to be sent (NINO without spaces)."""

    family_name = StringField(
        "Family name",
        widget=GovTextInput(),
        filters=[_trimmed],
        validators=[
            InputRequired("Enter a family name"),
            Length(max=100, message="Family name must be 100 characters or fewer"),
            no_control_characters("Family name must not include control characters"),
        ],
    )
    given_name = StringField(
        "Given name",
        widget=GovTextInput(),
        filters=[_trimmed],
        validators=[
            InputRequired("Enter a given name"),
            Length(max=100, message="Given name must be 100 characters or fewer"),
            no_control_characters("Given name must not include control characters"),
        ],
    )
    birthdate = PartedDateField(
        "Date of birth",
        subject="Date of birth",
        description="For example, 1 1 1985",
        validators=[InputRequired("Enter a date of birth")],
    )
    nino = StringField(
        "National Insurance number",
        widget=GovTextInput(),
        description="It is on a payslip or a benefit letter. For example, QQ 12 34 56 C",
        filters=[_upper_without_spaces],
        validators=[InputRequired("Enter a National Insurance number"), Regexp(NINO, message=NINO_FORMAT)],
    )
    postcode = StringField(
        "Postcode",
        widget=GovTextInput(),
        description="For example, ZZ1 1AA",
        filters=[_as_postcode],
        validators=[
            InputRequired("Enter a postcode"),
            Regexp(POSTCODE, message="Enter a postcode in the correct format, like ZZ1 1AA"),
        ],
    )
    access_code = StringField(
        "Access code",
        widget=GovTextInput(),
        description="The attorney gave it to you. For example, V123456789ABC",
        filters=[_upper_without_spaces],
        validators=[
            InputRequired("Enter an access code"),
            Regexp(ACCESS_CODE, message="Access code must be 6 to 20 letters and digits"),
        ],
    )
    case_reference = StringField(
        "Case reference",
        widget=GovTextInput(),
        description="The council’s own reference. For example, FSM/2026/00017",
        filters=[_trimmed],
        validators=[
            InputRequired("Enter a case reference"),
            Regexp(
                r"\A[A-Za-z0-9/_-]{1,40}\Z",
                message="Case reference must be 40 characters or fewer: letters, numbers, hyphens and slashes",
            ),
        ],
    )
    fields = SelectMultipleField(
        "What do you need to know?",
        widget=GovCheckboxesInput(),
        description="Ask only for what this case needs",
        validators=[InputRequired("Select what you need to know")],
    )
    submit = SubmitField("Ask the department", widget=GovSubmitInput())

    def __init__(self, *args: object, today: date, errand: Errand = FREE_SCHOOL_MEALS, **kwargs: object) -> None:
        """Take the day, and the errand, which says how the person is described and what can be asked."""
        super().__init__(*args, **kwargs)
        self._today = today
        self.errand = errand
        for name in DESCRIBING:
            if name not in errand.asks_for:
                del self[name]
        self.fields.choices = [SelectChoice(name, label) for name, label in errand.labels.items()]
        if not self.is_submitted():
            self.fields.data = [name for name, _ in errand.covered]

    def validate_birthdate(self, field: PartedDateField) -> None:
        """A birthday lies in the past, and within a lifetime."""
        if field.data is None:
            return
        if field.data > self._today:
            raise ValidationError("Date of birth must be in the past")
        if field.data < EARLIEST_BIRTH:
            raise ValidationError("Date of birth must be after 1900")

    def described(self) -> dict[str, str]:
        """Return the person as the gateway is told of them."""
        birthdate = self.birthdate.data.isoformat() if self.birthdate.data else ""
        more = {name: str(self[name].data) for name in DESCRIBING if name in self}
        return {"family_name": self.family_name.data or "", "birthdate": birthdate, **more}

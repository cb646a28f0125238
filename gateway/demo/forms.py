"""The form of the council's demonstration portal: who is asked about, and which fields."""

import re
from datetime import date

from govuk_frontend_wtf.wtforms_widgets import GovCheckboxesInput, GovSubmitInput, GovTextInput
from wtforms import SelectMultipleField, StringField, SubmitField, ValidationError
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # the stubs are of wtforms 3.2
from wtforms.validators import InputRequired, Length, Regexp

from gateway.web.forms import PageForm, PartedDateField, no_control_characters, without_spaces

# Two letters, six digits, a letter A to D. Stricter rules (which letters are ever issued) would refuse the prefix QQ,
# which is never issued and therefore the one the invented people of the demonstration have.
NINO = re.compile(r"\A[A-Z]{2}[0-9]{6}[A-D]\Z")
NINO_FORMAT = "Enter a National Insurance number in the correct format, like QQ 12 34 56 C"
EARLIEST_BIRTH = date(1900, 1, 1)

COVERED_FIELDS = (
    ("eligible", "Whether free school meals can be given"),
    ("tier", "The tier of the entitlement"),
)
# Offered on purpose, so that a refusal can be seen.
UNCOVERED_FIELDS = (("award_amount", "The amount of the benefit award"),)


def _trimmed(value: str | None) -> str | None:
    return None if value is None else value.strip()


def _upper_without_spaces(value: str | None) -> str | None:
    plain = without_spaces(value)
    return None if plain is None else plain.upper()


class AskForm(PageForm):
    """A question about free school meals; `data` holds the answers ready to be sent (NINO without spaces)."""

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
        choices=[SelectChoice(name, label) for name, label in (*COVERED_FIELDS, *UNCOVERED_FIELDS)],
        default=[name for name, _ in COVERED_FIELDS],
        validators=[InputRequired("Select what you need to know")],
    )
    submit = SubmitField("Ask the department", widget=GovSubmitInput())

    def __init__(self, *args: object, today: date, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._today = today

    def validate_birthdate(self, field: PartedDateField) -> None:
        """A birthday lies in the past, and within a lifetime."""
        if field.data is None:
            return
        if field.data > self._today:
            raise ValidationError("Date of birth must be in the past")
        if field.data < EARLIEST_BIRTH:
            raise ValidationError("Date of birth must be after 1900")

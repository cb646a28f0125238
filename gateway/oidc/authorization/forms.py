"""The form on which a person says whether a service may have what it asks for."""

from govuk_frontend_wtf.wtforms_widgets import GovRadioInput, GovSubmitInput
from wtforms import RadioField, SubmitField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # the stubs are of wtforms 3.2
from wtforms.validators import InputRequired

from gateway.web.forms import PageForm

YES, NO = "yes", "no"


class ConsentForm(PageForm):
    """Yes or no; nothing is chosen beforehand."""

    decision = RadioField(
        "Do you agree?",
        widget=GovRadioInput(),
        choices=[SelectChoice(YES, "Yes"), SelectChoice(NO, "No")],
        validators=[InputRequired("Select yes if you agree")],
    )
    submit = SubmitField("Continue", widget=GovSubmitInput())

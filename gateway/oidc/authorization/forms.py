"""The form on which a person says whether a service may have what it asks for."""

from wtforms import StringField
from wtforms.validators import AnyOf

from gateway.web.forms import PageForm

YES, NO = "yes", "no"


class ConsentForm(PageForm):
    """Yes or no, by which of two buttons was pressed."""

    decision = StringField(validators=[AnyOf([YES, NO])])

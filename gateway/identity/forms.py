"""The forms of the sign-in pages. They check what was typed; whether it is right is decided by this room's rules."""

import re

from govuk_frontend_wtf.wtforms_widgets import GovPasswordInput, GovSubmitInput, GovTextInput
from wtforms import PasswordField, StringField, SubmitField
from wtforms.validators import InputRequired, Length, Regexp

from gateway.web.forms import PageForm, SignOutForm, no_control_characters, without_spaces

__all__ = ["SecurityCodeForm", "SignInForm", "SignOutForm", "is_email"]

EMAIL_FORMAT = "Enter an email address in the correct format, like name@example.com"
# RFC 5321 §4.5.3.1.3 allows 256 octets for a path, of which two are its angle brackets.
EMAIL_MAX = 254
# Long enough for any passphrase; short enough that hashing it cannot be used to keep us busy.
PASSWORD_MAX = 1024
EMAIL = re.compile(r"\A[^@\s]+@[^@\s]+\Z")
SECURITY_CODE = re.compile(r"\A[0-9]{6}\Z")


def is_email(text: str | None) -> bool:
    """Tell whether a text from elsewhere could be typed into the sign-in form as an e-mail address."""
    return text is not None and len(text) <= EMAIL_MAX and EMAIL.match(text) is not None


def _trimmed(value: str | None) -> str | None:
    return None if value is None else value.strip()


class SignInForm(PageForm):
    """Email address and password. A wrong pair is an error of the whole form: append it to `form.form_errors`."""

    email = StringField(
        "Email address",
        widget=GovTextInput(),
        filters=[_trimmed],
        validators=[
            InputRequired("Enter your email address"),
            Length(max=EMAIL_MAX, message=EMAIL_FORMAT),
            Regexp(EMAIL, message=EMAIL_FORMAT),
            no_control_characters(EMAIL_FORMAT),
        ],
    )
    # A password is taken exactly as typed: no trimming, and any character.
    password = PasswordField(
        "Password",
        widget=GovPasswordInput(),
        validators=[
            InputRequired("Enter your password"),
            Length(max=PASSWORD_MAX, message=f"Password must be {PASSWORD_MAX:,} characters or fewer"),
        ],
    )
    submit = SubmitField("Sign in", widget=GovSubmitInput())


class SecurityCodeForm(PageForm):
    """Six digits from an authenticator app (RFC 6238); spaces and hyphens do not matter."""

    code = StringField(
        "Security code",
        widget=GovTextInput(),
        filters=[without_spaces],
        validators=[
            InputRequired("Enter the security code"),
            Regexp(SECURITY_CODE, message="Security code must be 6 numbers"),
        ],
    )
    submit = SubmitField("Continue", widget=GovSubmitInput())

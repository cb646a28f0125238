"""What forms of every room are made of: a base, a sign-out form, fields that survive hostile input.

Forms check what a person typed and say what to do about it; they decide nothing about who may do what. Every form
carries a CSRF token. Browsers' own bubbles stay off (`novalidate` in the templates): the messages are ours.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from flask import Flask, g, request
from flask_wtf import FlaskForm
from govuk_frontend_wtf.wtforms_widgets import GovDateInput
from wtforms import DateField, Field, Form, ValidationError

CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")
DATE_PARTS = 3


def install_forms(app: Flask) -> None:
    """Let `app` believe a browser that says by itself that a form was posted from a page of the same origin.

    Fetch Metadata §2.4: no page can set `Sec-Fetch-Site`, nor have a browser say `same-origin` of another's form. So
    the token is not needed then, and tabs that opened at the very same moment, of whose cookies the browser keeps one,
    need not have their forms filled in again. Whatever says nothing, or anything else, needs the token.
    """

    @app.before_request
    def believe() -> None:
        # What Flask-WTF asks before it looks at a form's own token.
        g.csrf_valid = request.headers.getlist("Sec-Fetch-Site") == ["same-origin"]


class PageForm(FlaskForm):  # type: ignore[misc]  # flask_wtf publishes no types
    """A form on a page: posted, with a CSRF token in a hidden field."""


class SignOutForm(PageForm):
    """Nothing but the CSRF token: what is posted to sign out."""


def no_control_characters(message: str) -> Callable[[Form, Field], None]:
    """A validator refusing NUL, line breaks and their like, which no answer needs and some databases reject."""

    def check(_form: Form, field: Field) -> None:
        if isinstance(field.data, str) and CONTROL_CHARACTERS.search(field.data):
            raise ValidationError(message)

    return check


def without_spaces(value: str | None) -> str | None:
    """A filter for codes people type in groups: "123 456" and "123-456" are both 123456."""
    return None if value is None else re.sub(r"[\s-]", "", value)


class DateParts(GovDateInput):  # type: ignore[misc]  # govuk_frontend_wtf publishes no types
    """Day, month and year as three inputs, whatever number of values was posted."""

    def map_gov_params(self, field: DateField, **kwargs: Any) -> dict[str, Any]:
        """The macro's options; the widget this extends fails unless exactly three values arrive."""
        posted = field.raw_data
        if posted is not None:
            field.raw_data = (list(posted) + [""] * DATE_PARTS)[:DATE_PARTS]
        params: dict[str, Any] = super().map_gov_params(field, **kwargs)
        field.raw_data = posted
        return params


class PartedDateField(DateField):
    """A date typed as day, month and year; `data` is a `date`, or None when it could not be read.

    Errors speak of `subject`: "Date of birth must be a real date".
    """

    widget = DateParts()

    def __init__(self, label: str, *, subject: str, **kwargs: Any) -> None:
        super().__init__(label, **kwargs)
        self.subject = subject

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the posted parts."""
        self.data = None
        if not valuelist:
            return
        parts = [part.strip() for part in valuelist]
        if len(parts) != DATE_PARTS or not all(parts):
            raise ValueError(f"{self.subject} must include a day, month and year")
        # isdecimal accepts other scripts' digits and int() would read them; nobody needs that here.
        if not all(part.isascii() and part.isdecimal() and len(part) <= 4 for part in parts):  # noqa: PLR2004 -- a year
            raise ValueError(f"{self.subject} must be a real date")
        day, month, year = (int(part) for part in parts)
        try:
            self.data = date(year, month, day)
        except ValueError as error:
            raise ValueError(f"{self.subject} must be a real date") from error

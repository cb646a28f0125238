"""What forms accept, what they say otherwise, and that nothing anyone posts makes them fail."""

from collections.abc import Mapping
from datetime import date

import pytest
from flask import Flask
from werkzeug.datastructures import MultiDict

from gateway.demo.forms import AskForm
from gateway.identity.forms import SecurityCodeForm, SignInForm
from gateway.web.forms import PageForm

TODAY = date(2026, 6, 4)
QUESTION = {
    "family_name": "Testcase",
    "birthdate": ["1", "1", "1985"],
    "nino": "QQ123456C",
    "case_reference": "FSM/2026/00017",
    "fields": ["eligible", "tier"],
}


@pytest.fixture
def app() -> Flask:
    app = Flask("forms")
    app.secret_key = "for these forms only"
    # These tests are about the answers; that a missing token is refused is tested with the pages.
    app.config["WTF_CSRF_ENABLED"] = False
    return app


def posted(app: Flask, form: type[PageForm], data: Mapping[str, object], **arguments: object) -> PageForm:
    with app.test_request_context(method="POST", data=MultiDict(data)):
        filled = form(**arguments)
        filled.validate()
        return filled


def asked(app: Flask, **changes: object) -> PageForm:
    return posted(app, AskForm, {**QUESTION, **changes}, today=TODAY)


@pytest.mark.parametrize(
    "email",
    [
        "olive",
        "olive@",
        "@council.example",
        "a@b@c",
        "olive @council.example",
        "o\x00@council.example",
        "a" * 250 + "@b.uk",
    ],
)
def test_what_is_no_email_address_is_refused_with_an_example(app: Flask, email: str) -> None:
    form = posted(app, SignInForm, {"email": email, "password": "any"})
    assert form.errors == {"email": ["Enter an email address in the correct format, like name@example.com"]}


def test_an_email_address_may_be_pasted_with_spaces_around_it(app: Flask) -> None:
    form = posted(app, SignInForm, {"email": " olive.testcase@council.example ", "password": "any"})
    assert not form.errors
    assert form.email.data == "olive.testcase@council.example"


def test_a_password_is_taken_exactly_as_typed(app: Flask) -> None:
    password = "  pass phrase with spaces, ünïcode and \t tabs  "
    form = posted(app, SignInForm, {"email": "olive@council.example", "password": password})
    assert not form.errors
    assert form.password.data == password


def test_a_password_too_long_to_hash_cheaply_is_refused_before_it_is_hashed(app: Flask) -> None:
    assert not posted(app, SignInForm, {"email": "olive@council.example", "password": "x" * 1024}).errors
    form = posted(app, SignInForm, {"email": "olive@council.example", "password": "x" * 1025})
    assert form.errors == {"password": ["Password must be 1,024 characters or fewer"]}


@pytest.mark.parametrize("code", ["123456", "123 456", " 123-456 "])
def test_a_security_code_may_be_typed_in_groups(app: Flask, code: str) -> None:
    form = posted(app, SecurityCodeForm, {"code": code})
    assert not form.errors
    assert form.code.data == "123456"


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "١٢٣٤٥٦", "123456\x00"])
def test_a_security_code_is_six_plain_digits(app: Flask, code: str) -> None:
    assert posted(app, SecurityCodeForm, {"code": code}).errors == {"code": ["Security code must be 6 numbers"]}


def test_a_question_is_read_ready_to_be_sent(app: Flask) -> None:
    form = asked(app, nino="qq 12 34 56 c", family_name=" Testcase ")
    assert not form.errors
    assert form.family_name.data == "Testcase"
    assert form.nino.data == "QQ123456C"
    assert form.birthdate.data == date(1985, 1, 1)
    assert form["fields"].data == ["eligible", "tier"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "Enter a date of birth"),
        (["", "", ""], "Enter a date of birth"),
        (["1", "", "1985"], "Date of birth must include a day, month and year"),
        (["1"], "Date of birth must include a day, month and year"),
        (["1", "1", "1985", "1"], "Date of birth must include a day, month and year"),
        (["31", "2", "1985"], "Date of birth must be a real date"),
        (["1", "1", "0"], "Date of birth must be a real date"),
        (["-1", "1", "1985"], "Date of birth must be a real date"),
        (["١", "1", "1985"], "Date of birth must be a real date"),
        (["1", "1", "9" * 5000], "Date of birth must be a real date"),
        (["5", "6", "2026"], "Date of birth must be in the past"),
        (["1", "1", "1899"], "Date of birth must be after 1900"),
    ],
)
def test_a_date_of_birth_is_a_real_day_of_a_lifetime(app: Flask, parts: list[str], message: str) -> None:
    form = asked(app, birthdate=parts)
    assert form.errors == {"birthdate": [message]}


@pytest.mark.parametrize("nino", ["QQ12345C", "QQ123456E", "QQ1234567", "Q1123456C", "QQ123456C\x00"])
def test_a_national_insurance_number_has_its_format(app: Flask, nino: str) -> None:
    assert "correct format" in asked(app, nino=nino).errors["nino"][0]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"family_name": "Test\x00case"}, "family_name"),
        ({"family_name": "T" * 101}, "family_name"),
        ({"case_reference": "FSM 17"}, "case_reference"),
        ({"case_reference": "F" * 41}, "case_reference"),
        ({"fields": []}, "fields"),
        ({"fields": ["eligible", "national_secret"]}, "fields"),
    ],
)
def test_other_answers_that_cannot_be_sent_are_refused(app: Flask, changes: dict[str, object], field: str) -> None:
    assert list(asked(app, **changes).errors) == [field]


def test_the_field_outside_the_agreement_can_be_asked_for(app: Flask) -> None:
    form = asked(app, fields=["eligible", "award_amount"])
    assert not form.errors
    assert form["fields"].data == ["eligible", "award_amount"]

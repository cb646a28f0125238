"""What must hold on every page: nothing inline or unescaped, nobody else's branding, errors that lead to fields."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, render_template_string
from jinja2 import UndefinedError

from gateway.web import error_pages
from gateway.web.pages import STATIC, install_pages
from tests.web.sample_pages import GATEWAY_PAGES, PORTAL_PAGES, SamplePage, gateway_app, portal_app, sample_app

HOSTILE = '"><img src=x onerror=alert(1)>'
SITES = (("gateway", GATEWAY_PAGES), ("portal", PORTAL_PAGES))
ALL_PAGES = [pytest.param(pages, page, id=f"{name}{page.path}") for name, pages in SITES for page in pages]
FORM_PAGES = [
    pytest.param(pages, page, id=f"{name}{page.path}")
    for name, pages in SITES
    for page in pages
    if page.form and page.asks
]
# Keys whose values choose a look or an address, not words from outside.
CHOICES = {
    "decision",
    "outcome",
    "kind",
    "href",
    "form",
    "at",
    "issued_at",
    "completed_at",
    "signed_in_at",
    "leaf_index",
}


# Compiling the templates is what takes the time, so tests that change nothing share an app.
the_app = cache(sample_app)


class Elements(HTMLParser):
    """Every start tag of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.found if name == tag)


def get(app: Flask, path: str) -> str:
    response = app.test_client().get(path)
    assert response.status_code == 200
    return response.text


def with_hostile_words(value: Any) -> Any:
    """The same shape with every word from outside replaced by an attempt to break out of it."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, SimpleNamespace):
        return SimpleNamespace(**with_hostile_words(vars(value)))
    if isinstance(value, dict):
        return {
            key: inner if key in CHOICES or key.endswith(("_href", "_url")) else with_hostile_words(inner)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)(with_hostile_words(inner) for inner in value)
    return value


@pytest.mark.parametrize(("pages", "page"), ALL_PAGES)
def test_words_from_outside_never_become_markup(pages: tuple[SamplePage, ...], page: SamplePage) -> None:
    hostile = replace(page, context=with_hostile_words(page.context), signed_in_as=HOSTILE)
    html = get(sample_app((hostile,), wordmark=HOSTILE), page.path)
    assert "&#34;&gt;&lt;img" in html
    assert not list(Elements(html).named("img"))
    assert not any("onerror" in attributes for _, attributes in Elements(html).found)


@pytest.mark.parametrize(("pages", "page"), ALL_PAGES)
def test_nothing_is_inline_but_the_scripts_that_carry_the_nonce(
    pages: tuple[SamplePage, ...], page: SamplePage
) -> None:
    app = the_app(pages)
    response = app.test_client().get(page.path)
    policy = response.headers["Content-Security-Policy"]
    elements = Elements(response.text)
    scripts = list(elements.named("script"))
    assert len(scripts) == 2
    assert all(f"'nonce-{script['nonce']}'" in policy for script in scripts)
    assert not list(elements.named("style"))
    for _, attributes in elements.found:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert not str(attributes.get("href", "")).startswith("javascript:")


@pytest.mark.parametrize(("pages", "page"), ALL_PAGES)
def test_no_page_wears_the_branding_of_gov_uk(pages: tuple[SamplePage, ...], page: SamplePage) -> None:
    html = get(the_app(pages), page.path)
    for mark in ("govuk-header__logotype", "govuk-footer__crown", "Crown copyright", "crest", "govuk-logo"):
        assert mark not in html
    assert 'class="govuk-generic-header"' in html


def test_the_stylesheet_brings_no_font_image_or_crest_of_gov_uk() -> None:
    css = (STATIC / "gateway.css").read_text()
    for mark in ("GDS Transport", "@font-face", "crest", "logotype", "url("):
        assert mark not in css
    assert {path.name for path in (STATIC / "images").iterdir()} == {"favicon.svg"}


@pytest.mark.parametrize(("pages", "page"), ALL_PAGES)
def test_every_id_is_used_once_and_every_link_inside_the_page_leads_somewhere(
    pages: tuple[SamplePage, ...], page: SamplePage
) -> None:
    elements = Elements(get(the_app(pages), page.path))
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {str(link["href"])[1:] for link in elements.named("a") if str(link["href"]).startswith("#")}
    assert targets <= set(ids)


@pytest.mark.parametrize(("pages", "page"), FORM_PAGES)
def test_an_empty_answer_is_named_in_the_title_the_summary_and_at_its_field(
    pages: tuple[SamplePage, ...], page: SamplePage
) -> None:
    client = the_app(pages).test_client()
    token = re.findall(r'id="csrf_token"[^>]* value="([^"]+)"', client.get(page.path).text)[0]
    html = client.post(page.path, data={"csrf_token": token}).text
    assert re.search(r"<title>\s*Error: ", html)
    assert "There is a problem" in html
    summary = re.findall(r'<li>\s*<a href="#([^"]+)">([^<]+)</a>', html)
    assert summary
    elements = Elements(html)
    inputs = {attributes["id"] for tag, attributes in elements.found if tag == "input" and "id" in attributes}
    for anchor, message in summary:
        # Linked to something that takes focus, and said again beside it.
        assert anchor in inputs
        assert html.count(message) == 2


@pytest.mark.parametrize(("pages", "page"), FORM_PAGES)
def test_a_form_without_its_token_is_refused_in_words(pages: tuple[SamplePage, ...], page: SamplePage) -> None:
    html = the_app(pages).test_client().post(page.path).text
    assert "This page was open for too long" in html


@pytest.mark.parametrize(("pages", "page"), FORM_PAGES)
def test_a_form_is_posted_with_its_token_and_without_the_browsers_own_bubbles(
    pages: tuple[SamplePage, ...], page: SamplePage
) -> None:
    elements = Elements(get(the_app(pages), page.path))
    forms = [form for form in elements.named("form") if form["method"] == "post" and "action" not in form]
    assert len(forms) == 1
    assert "novalidate" in forms[0]
    assert [field for field in elements.named("input") if field.get("id") == "csrf_token" and field["value"]]


def test_signing_out_is_a_post_with_a_token() -> None:
    elements = Elements(get(gateway_app(), "/account"))
    forms = [form for form in elements.named("form") if form.get("action") == "/sign-out"]
    tokens = [field for field in elements.named("input") if field["name"] == "csrf_token"]
    assert [form["method"] for form in forms] == ["post", "post"]
    assert len(tokens) == 2
    assert all(token["value"] for token in tokens)
    assert not [link for link in elements.named("a") if link["href"] == "/sign-out"]


def test_a_page_for_nobody_signed_in_offers_no_sign_out() -> None:
    assert "Sign out" not in get(gateway_app(), "/sign-in")


def test_the_sign_in_fields_say_what_a_password_manager_may_fill_in() -> None:
    fields = {field["name"]: field for field in Elements(get(gateway_app(), "/sign-in")).named("input")}
    assert (fields["email"]["type"], fields["email"]["autocomplete"]) == ("email", "username")
    assert (fields["password"]["type"], fields["password"]["autocomplete"]) == ("password", "current-password")
    codes = {field["name"]: field for field in Elements(get(gateway_app(), "/security-code")).named("input")}
    assert (codes["code"]["inputmode"], codes["code"]["autocomplete"]) == ("numeric", "one-time-code")


def test_a_rejected_password_is_not_sent_back() -> None:
    app = gateway_app()
    html = app.test_client().post("/sign-in", data={"email": "olive@council.example", "password": "long secret"}).text
    assert "olive@council.example" in html
    assert "long secret" not in html


def test_the_banner_says_that_all_people_are_invented_only_in_a_demonstration() -> None:
    assert "Demonstration: all people are invented" in get(gateway_app(), "/")
    assert "Demonstration: all people are invented" in get(portal_app(), "/")
    html = get(gateway_app(demonstration=False), "/")
    assert "invented" not in html
    assert "A demonstration" not in html


def test_the_portal_cannot_be_mistaken_for_the_gateway() -> None:
    gateway, portal = get(gateway_app(), "/"), get(portal_app(), "/")
    assert "app-theme-council" in portal
    assert "app-theme-council" not in gateway
    assert "– Blackburn with Darwen Borough Council</title>" in portal
    assert "– Gateway</title>" in gateway


def test_a_proof_is_offered_only_when_there_is_one() -> None:
    app = gateway_app()
    assert 'href="/proof"' in get(app, "/auditor/exchange")
    waiting = get(app, "/auditor/refused-exchange")
    assert "Download proof" not in waiting
    assert "a few seconds after it ends" in waiting


def test_a_refusal_names_every_failing_rule() -> None:
    for app, path in ((gateway_app(), "/auditor/refused-exchange"), (portal_app(), "/refused")):
        html = get(app, path)
        assert "The agreement does not cover the field award_amount" in html
        assert "The agreement does not cover this purpose" in html
        assert "fields-within-agreement" in html


@pytest.mark.parametrize(
    "page", [page for page in vars(error_pages).values() if isinstance(page, error_pages.ErrorPage)]
)
def test_error_pages_speak_to_people(page: error_pages.ErrorPage) -> None:
    words = " ".join((page.title, *page.paragraphs))
    assert not re.search(r"\d{3}|oops|invalid|illegal|please", words, re.IGNORECASE)
    assert not page.title.endswith(".")
    app = sample_app(())
    with app.test_request_context():
        html = error_pages.render_error_page(page, reference="0197396a")
    assert f"<title>{page.title} – Gateway</title>" in html
    assert "0197396a" in html
    assert "Error:" not in html


# --- Templates refuse what nobody defined ---------------------------------------------------------------------------


def test_a_misspelt_name_in_a_page_is_an_error_not_a_hole() -> None:
    app = gateway_app()
    with app.test_request_context(), pytest.raises(UndefinedError, match="sing_in_url"):
        render_template_string("{{ sing_in_url }}")


def test_a_misspelt_attribute_in_a_page_is_an_error_too() -> None:
    app = gateway_app()
    with app.test_request_context(), pytest.raises(UndefinedError, match="autcome"):
        render_template_string("{% if exchange.autcome %}yes{% endif %}", exchange={"outcome": "refused"})


def test_templates_are_escaped_whatever_their_name() -> None:
    app = gateway_app()
    with app.test_request_context():
        template = app.jinja_env.from_string("{{ word }}")
        assert template.render(word="<b>") == "&lt;b&gt;"


def test_installing_pages_too_late_is_refused() -> None:
    app = Flask("late")
    app.jinja_env.globals["x"] = 1
    with pytest.raises(RuntimeError, match="before the first use"):
        install_pages(app, demonstration=False)


# --- Assets ---------------------------------------------------------------------------------------------------------


def test_every_asset_a_page_asks_for_is_there_and_may_be_kept() -> None:
    client = gateway_app().test_client()
    elements = Elements(client.get("/").text)
    wanted = [str(link["href"]) for link in elements.named("link")]
    wanted += [str(script["src"]) for script in elements.named("script") if "src" in script]
    script = (STATIC / "page.js").read_text()
    wanted += [f"/assets/{name}" for name in re.findall(r'from "\./([^"]+)"', script)]
    assert len(wanted) == 4
    for address in wanted:
        with client.get(address) as response:
            assert response.status_code == 200, address
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("path", ["nothing.css", "../pages.py", "%2e%2e/pages.py", "../../settings.py"])
def test_only_assets_are_served_and_a_miss_is_not_kept(path: str) -> None:
    response = gateway_app().test_client().get(f"/assets/{path}")
    assert response.status_code == 404
    assert "immutable" not in response.headers.get("Cache-Control", "")

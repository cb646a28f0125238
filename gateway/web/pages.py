"""How pages are made: templates of the design system and of every room, one set of assets, one frame around them.

`install_pages` prepares a Flask app, the gateway's or a demonstration member's, so that `render_template` finds

- `base.html`, `error.html` and `parts.html` of this room, and whatever templates an app's blueprints bring;
- the macros of govuk-frontend-jinja and the widgets of govuk-frontend-wtf;
- in every page: `demonstration`, `asset_version`, `csp_nonce`, `wordmark` and `theme`.

What the frame of a page shows beyond that (navigation, who is signed in) is given by the app; `base.html` says how.
Security headers, the nonce among them, are `gateway.web.headers`' business.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, g
from flask.sansio.app import App
from flask.templating import Environment
from govuk_frontend_wtf.main import WTFormsHelpers
from jinja2 import BaseLoader, ChoiceLoader, PackageLoader, PrefixLoader, StrictUndefined, Template, Undefined

STATIC = Path(__file__).parent / "static"
ASSETS_PATH = "/assets"
DESIGN_SYSTEM = ("govuk_frontend_jinja", "govuk_frontend_wtf")
# An asset's address changes with its content, so that browsers may keep it for a year.
ASSET_LIFETIME_SECONDS = 365 * 24 * 60 * 60
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


class PageEnvironment(Environment):
    """Jinja that refuses names nobody defined, except inside the design system's own templates.

    A misspelt name in a page of ours is an error rather than a hole in the page. The design system's macros are
    written for the other rule (an option that was not given counts as empty), so they get an environment of their own.
    """

    def __init__(self, app: App, **options: Any) -> None:
        super().__init__(app, **{**options, "undefined": StrictUndefined, "autoescape": True})
        self._design_system: PageEnvironment | None = None

    def get_template(
        self,
        name: str | Template,
        parent: str | None = None,
        globals: Any = None,  # noqa: A002 -- the name is Jinja's
    ) -> Template:
        """The template of that name, compiled under the rule its author wrote for."""
        if self.overlayed or not isinstance(name, str) or not name.startswith(DESIGN_SYSTEM):
            return super().get_template(name, parent, globals)
        if self._design_system is None:
            self._design_system = self.overlay(undefined=Undefined)
        return self._design_system.get_template(name, parent, globals)


def install_pages(app: Flask, *, demonstration: bool, wordmark: str = "Gateway", theme: str = "gateway") -> None:
    """Prepare `app` to render pages and to serve their assets under `/assets`.

    `demonstration` puts the banner saying that all people are invented on every page. `wordmark` is the name in the
    header, `theme` the colours: "gateway" or "council". Call it before anything else touches the app's templates.
    """
    if "jinja_env" in app.__dict__:
        message = "install_pages must come before the first use of app.jinja_env"
        raise RuntimeError(message)
    app.jinja_environment = PageEnvironment
    app.jinja_loader = _template_loader()
    app.add_template_filter(date_and_time)
    WTFormsHelpers(app)
    app.register_blueprint(_assets_blueprint())
    asset_version = digest_of_assets()

    @app.context_processor
    def page_frame() -> dict[str, object]:
        return {
            "demonstration": demonstration,
            "asset_version": asset_version,
            # Without a nonce the page still works: the browser runs no script.
            "csp_nonce": g.get("csp_nonce"),
            "wordmark": wordmark,
            "theme": theme,
        }


def digest_of_assets() -> str:
    """Twelve hex digits that change whenever any asset changes; part of every asset's address."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(STATIC).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def date_and_time(moment: datetime) -> str:
    """`moment` (with a zone) for people, to the second, in UTC: "4 June 2026, 09:05:00 UTC"."""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {MONTHS[utc.month - 1]} {utc.year}, {utc:%H:%M:%S} UTC"


def _template_loader() -> BaseLoader:
    design_system: dict[str, BaseLoader] = {name: PackageLoader(name) for name in DESIGN_SYSTEM}
    return ChoiceLoader([PackageLoader("gateway.web"), PrefixLoader(design_system)])


def _assets_blueprint() -> Blueprint:
    assets = Blueprint("assets", __name__, static_folder=str(STATIC), static_url_path=ASSETS_PATH)

    @assets.after_request
    def keep_for_long(response: Response) -> Response:
        if response.status_code in {200, 304}:
            response.headers["Cache-Control"] = f"public, max-age={ASSET_LIFETIME_SECONDS}, immutable"
        return response

    return assets

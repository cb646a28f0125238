"""Where gunicorn enters: `gateway.wsgi:make_app()`, one application a worker process."""

from flask import Flask

from gateway.app import assemble, create_app
from gateway.settings import load_settings
from gateway.web.logs import configure_logs


def make_app() -> Flask:
    """Return the application for the settings in the environment."""
    settings = load_settings()
    configure_logs(settings.log_level)
    return create_app(assemble(settings))

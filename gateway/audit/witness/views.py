"""The witness on the web: `POST /add-checkpoint`, and nothing else (C2SP tlog-witness)."""

from pathlib import Path

from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.audit.witness.errors import OtherCheckpointKnown
from gateway.audit.witness.witness import Witness, load_logs
from gateway.clock import SystemClock
from gateway.web.alerts import Alerts
from gateway.web.logs import configure_logs, install_request_log
from gateway.web.problems import install_problems
from gateway.wire.witness_requests import ADD_CHECKPOINT, MAX_REQUEST_BYTES, SIZE_TYPE, encode_size

_CONFLICT = 409


def make_app(state: str, logs: str) -> Flask:
    """Return the witness of one folder for the logs of one file: gunicorn's entry, once a worker process."""
    configure_logs("INFO")
    return create_witness_app(Witness(Path(state), logs=load_logs(Path(logs)), clock=SystemClock(), alerts=Alerts()))


def create_witness_app(witness: Witness) -> Flask:
    """Return the web application of a witness."""
    app = Flask("gateway.audit.witness", static_folder=None)
    # Read no more than one byte beyond the largest request there can be: a chunked body does not tell its length.
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES + 1
    install_request_log(app)
    install_problems(app)

    @app.errorhandler(OtherCheckpointKnown)
    def conflict(error: OtherCheckpointKnown) -> Response:
        return Response(encode_size(error.size), _CONFLICT, content_type=SIZE_TYPE)

    @app.post(f"/{ADD_CHECKPOINT}")
    def add_checkpoint() -> Response:
        body = request.get_data(cache=False)
        if len(body) > MAX_REQUEST_BYTES:
            raise RequestEntityTooLarge
        lines = witness.add_checkpoint(body)
        return Response(lines, content_type="text/plain; charset=utf-8")

    return app

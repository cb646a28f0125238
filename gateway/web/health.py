"""Whether this process lives (`/healthz`), and whether it can do its job now (`/readyz`)."""

from collections.abc import Callable, Mapping

from flask import Blueprint, Response, jsonify

Probe = Callable[[], None]
"""Returns when all is well; raises anything at all when not."""


def blueprint(probes: Mapping[str, Probe], *, stopping: Callable[[], bool] = lambda: False) -> Blueprint:
    """Serve both; readiness asks every probe and names those that failed, without saying why.

    While `stopping()` it is not ready whatever the probes say: who balances load sends the next request elsewhere.
    """
    health = Blueprint("health", __name__)

    @health.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @health.get("/readyz")
    def readyz() -> tuple[Response, int]:
        if stopping():
            return jsonify(status="stopping", checks={}), 503
        states = {name: _passes(probe) for name, probe in probes.items()}
        ready = all(states.values())
        words = {name: "ok" if passed else "failing" for name, passed in states.items()}
        return jsonify(status="ok" if ready else "failing", checks=words), 200 if ready else 503

    return health


def _passes(probe: Probe) -> bool:
    try:
        probe()
    except Exception:  # noqa: BLE001 - whatever went wrong, the answer is that it is not ready
        return False
    return True

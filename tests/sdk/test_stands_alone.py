"""Members install the kit, not the server: every module of it is importable without the server's libraries."""

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys

class Absent:
    names = set(sys.argv[1].split())

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Absent())
import gateway.sdk
for module in pkgutil.walk_packages(gateway.sdk.__path__, "gateway.sdk."):
    if module.name != "gateway.sdk.__main__":
        importlib.import_module(module.name)
        print(module.name)
rooms = {name.split(".")[1] for name in sys.modules if name.startswith("gateway.")}
print("rooms", *sorted(rooms))
"""
SERVER = (
    "flask werkzeug sqlalchemy cedarpy marshmallow alembic gunicorn authlib psycopg structlog jinja2 wtforms click rich"
)


def test_every_module_of_the_kit_is_imported_without_the_server() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, SERVER], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    *modules, rooms = done.stdout.splitlines()
    assert {"gateway.sdk.consumer", "gateway.sdk.provider", "gateway.sdk.tables", "gateway.sdk.cli"} <= set(modules)
    assert set(rooms.split()[1:]) <= {"sdk", "wire", "errors", "clock"}

"""The examples of docs/relying-parties.md, as they stand there: from a registration to somebody who is signed in."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.oidc.relying_parties.conftest import DOCUMENT, EXAMPLES, Developer

APACHE = "/usr/sbin/apache2"
MODULES = Path("/usr/lib/apache2/modules")
# What the distribution's own configuration does around the example.
AROUND = """
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
LogLevel warn
DocumentRoot {site}
<Directory />
    AllowOverride None
</Directory>
{user}
{modules}
Include {example}
Header always set X-Signed-In "expr=%{{REMOTE_USER}}"
"""
NEEDED = ("mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc", "dir", "headers")


def test_the_document_shows_the_very_files_that_are_tested() -> None:
    shown = dict(re.findall(r"<!-- file (\S+) -->\n\n```\w+\n(.*?)```\n", DOCUMENT.read_text(), re.DOTALL))
    files = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*") if path.is_file()}
    assert set(shown) == {name for name in files if not name.endswith("package-lock.json")}
    for name, text in shown.items():
        assert text == (EXAMPLES / name).read_text(), name


def test_flask_and_authlib(developer: Developer) -> None:
    client = developer.register("flask")
    developer.processes.start(
        [sys.executable, "-m", "flask", "--app", "app", "run", "--port", str(client.port)],
        env={**client.environment, "PYTHONDONTWRITEBYTECODE": "1"},
        name="flask",
        ready_url=f"http://127.0.0.1:{client.port}/nothing-here",
        cwd=EXAMPLES / "flask",
    )
    browser, there = developer.signs_in(client)
    assert (there.status_code, there.url) == (200, client.home)
    assert len(there.json()["signed_in"]) > 20
    assert there.json()["email"].endswith(".example")
    refused = {"error": "access_denied", "error_description": "why", "iss": client.issuer}
    told = browser.session.get(f"{client.home}callback", params=refused, timeout=20)
    assert (told.status_code, told.json()["error_description"]) == (400, "why")
    elsewhere = browser.session.get(f"{client.home}callback?code=a&state=b&iss=https://elsewhere.example")
    assert (elsewhere.status_code, "not from the gateway" in elsewhere.text) == (400, True)
    assert developer.signs_out(browser, client, "sign-out") == "You are signed out."


def test_node_and_openid_client(developer: Developer) -> None:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.fail("node and npm are missing: scripts/system-packages.sh installs them")
    folder = developer.folder / "node"
    shutil.copytree(EXAMPLES / "node", folder)
    # The versions and their digests are in the lock; from where they come is npm's own business.
    subprocess.run([npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True)
    client = developer.register("node")
    running = developer.processes.start(
        ["node", "app.js"], env=client.environment, name="node", ready_url=f"{client.home}nothing-here", cwd=folder
    )
    browser, there = developer.signs_in(client)
    assert (there.status_code, there.url) == (200, client.home), running.output()
    assert len(there.json()["signed_in"]) > 20
    assert developer.signs_out(browser, client, "sign-out") == "You are signed out."
    page = browser.session.get(client.home, timeout=20)
    [asked] = [one.headers["Location"] for one in page.history if "state=" in one.headers["Location"]]
    state = parse_qs(urlsplit(asked).query)["state"][0]
    refused = {"error": "access_denied", "error_description": "why", "state": state, "iss": client.issuer}
    told = browser.session.get(f"{client.home}callback", params=refused, timeout=20)
    assert (told.status_code, told.text) == (400, "access_denied: why")


def test_apache_and_mod_auth_openidc(developer: Developer) -> None:
    if not Path(APACHE).exists() or not (MODULES / "mod_auth_openidc.so").exists():
        pytest.fail("Apache and mod_auth_openidc are missing: scripts/system-packages.sh installs them")
    client, folder = developer.register("apache"), developer.folder / "apache"
    folder.mkdir()
    public = folder / "library.pub"
    key = load_pem_private_key(Path(client.environment["KEY_FILE"]).read_bytes(), password=None)
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    # Started as root, as distributions do, it serves as somebody else, who has no business in the tests' own folder.
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    with tempfile.TemporaryDirectory() as site:
        Path(site).chmod(0o755)
        (Path(site) / "index.html").write_text("the library")
        (Path(site) / "signed-out.html").write_text("signed out")
        configuration = folder / "httpd.conf"
        modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in NEEDED)
        example = EXAMPLES / "apache" / "gateway.conf"
        configuration.write_text(
            AROUND.format(port=client.port, folder=folder, site=site, user=user, modules=modules, example=example)
        )
        running = developer.processes.start(
            [APACHE, "-D", "FOREGROUND", "-f", str(configuration)],
            env={
                **client.environment,
                "PUBLIC_KEY_FILE": str(public),
                "PASSPHRASE": "invented for this test alone",
            },
            name="apache",
            ready_url=f"http://127.0.0.1:{client.port}/callback",
        )
        browser, there = developer.signs_in(client)
        said = running.output() + (folder / "error.log").read_text()
        assert (there.status_code, there.url, there.text) == (200, client.home, "the library"), said
        assert len(there.headers["X-Signed-In"]) > 20
        link = f"callback?logout={client.home}signed-out.html"
        assert developer.signs_out(browser, client, link) == "signed out"


def test_a_service_registers_itself_pushes_a_request_and_ends_its_registration_by_hand(developer: Developer) -> None:
    told = json.loads(developer.run("register", TOKEN=developer.token()))
    own = {"OWN_TOKEN": told["registration_access_token"], "REGISTRATION": told["registration_client_uri"]}
    named = {"CLIENT_ID": told["client_id"], "KEY_FILE": "var/library.json"}
    pushed = json.loads(developer.run("push", **named))
    assert pushed.get("request_uri", "").startswith("urn:ietf:params:oauth:request_uri:"), pushed
    assert json.loads(developer.run("read", **own))["client_name"] == "Library"
    changed = json.loads(developer.run("replace", **own, **named))
    assert changed["client_id"] == told["client_id"]
    own["OWN_TOKEN"] = changed["registration_access_token"]
    assert developer.run("end", **own) == ""
    assert "invalid_token" in developer.run("read", **own)

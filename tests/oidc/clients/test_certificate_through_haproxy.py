"""A real proxy asks for certificates and passes them on, as docs/operations.md tells an operator to set it up."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kit.client_certificates import self_signed
from tests.kit.clock import FrozenClock
from tests.kit.mutual_tls import PROXY, CertificateWorld, behind_a_proxy
from tests.kit.nodes import HAPROXY
from tests.kit.processes import Processes, free_port
from tests.kit.tls import TestAuthority

pytestmark = pytest.mark.prove

CONFIGURATION = """
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend clients
    bind 127.0.0.1:{port} ssl crt {server} ca-file {authorities} verify optional crt-ignore-err all ca-ignore-err all
    http-request set-header Client-Cert :%[ssl_c_der,base64]:
    default_backend gateway
backend gateway
    source {address}
    server gateway 127.0.0.1:{gateway}
"""


@pytest.fixture
def proxied(
    database_url: str, tmp_path: Path, test_authority: TestAuthority, server_processes: Processes
) -> Iterator[CertificateWorld]:
    clock = FrozenClock()
    authority = self_signed("Test authority of clients", folder=tmp_path, now=clock.now(), authority=True)
    server = test_authority.issue(file_name="haproxy")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(server.certificate.read_bytes() + server.key.read_bytes())
    with behind_a_proxy(database_url=database_url, folder=tmp_path, clock=clock, authority=authority) as made:
        port, configuration = free_port(), tmp_path / "haproxy.cfg"
        configuration.write_text(
            CONFIGURATION.format(
                port=port,
                server=bundle,
                authorities=authority.certificate_file,
                address=PROXY,
                gateway=made.world.issuer.rpartition(":")[2],
            )
        )
        address = f"https://localhost:{port}"
        server_processes.start(
            [HAPROXY, "-db", "-f", str(configuration)],
            env={},
            name="haproxy",
            ready_url=f"{address}/healthz",
            ca_file=test_authority.ca_file,
        )
        yield replace(made, mtls=address, ca_file=test_authority.ca_file)


def test_clients_are_known_by_the_certificates_they_show_the_proxy(proxied: CertificateWorld) -> None:
    now, folder = FrozenClock().now(), proxied.authority.folder
    own = self_signed("own", folder=folder, now=now)
    by_key = proxied.client(token_endpoint_auth_method="self_signed_tls_client_auth", keys=[own.jwk()])
    by_name = proxied.client(
        token_endpoint_auth_method="tls_client_auth",
        tls_client_auth_subject_dn="CN=portal,O=Specimen Council,C=GB",
        tls_client_certificate_bound_access_tokens=True,
    )
    portal = proxied.authority.issue("portal", now=now)
    assert proxied.token(by_key, shown=own).status_code == 200
    assert proxied.token(by_name, shown=portal).status_code == 200
    spoofed = {"Client-Cert": portal.pem.replace("\n", " ")}
    for rp, shown in ((by_key, portal), (by_name, own), (by_name, self_signed("portal", folder=folder, now=now))):
        assert proxied.token(rp, shown=shown).status_code == 401
        # What a client writes into the header itself, the proxy replaces.
        assert proxied.token(rp, shown=shown, headers=spoofed).status_code == 401
    for rp in (by_key, by_name):
        assert proxied.token(rp, headers=spoofed).status_code == 401
        assert proxied.token(rp).status_code == 401

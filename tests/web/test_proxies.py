"""Whose address counts: a proxy of ours is believed, and nobody else is."""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from gateway.app import Gateway, assemble, create_app
from gateway.audit.models import NoiseRow
from gateway.audit.noise import network_of
from gateway.cli import initialise
from gateway.errors import SettingsError
from gateway.settings import Settings
from gateway.web.proxies import visitors_address

OURS = [ip_network("10.89.0.0/24"), ip_network("fd00::1")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "visitor"),
    [
        ("10.89.0.7", "198.51.100.4", "198.51.100.4"),
        ("10.89.0.7", "2001:db8::4", "2001:db8::4"),
        # A proxy before ours, and two of ours in a row.
        ("10.89.0.7", "198.51.100.4, 203.0.113.9", "203.0.113.9"),
        ("10.89.0.7", "198.51.100.4,10.89.0.8", "198.51.100.4"),
        # What the visitor itself sent stands to the left of what our proxy saw.
        ("10.89.0.7", "127.0.0.1, 10.89.0.8, 198.51.100.4", "198.51.100.4"),
        # One socket for both families shows our proxy, and visitors, so.
        ("::ffff:10.89.0.7", "::ffff:198.51.100.4", "198.51.100.4"),
        # Nothing was forwarded: the proxy itself asks, as for its health checks.
        ("10.89.0.7", "", "10.89.0.7"),
        ("10.89.0.7", "10.89.0.8", "10.89.0.8"),
        # Not an address: whoever wrote it, nothing beyond it is believed.
        ("10.89.0.7", "198.51.100.4, unknown", "10.89.0.7"),
        ("10.89.0.7", "198.51.100.4,", "10.89.0.7"),
        ("10.89.0.7", "198.51.100.4:4711", "10.89.0.7"),
    ],
)
def test_the_nearest_address_that_is_not_a_proxy_of_ours_is_the_visitors(
    peer: str, forwarded: str, visitor: str
) -> None:
    assert visitors_address(peer, forwarded, OURS) == visitor


@pytest.mark.parametrize("peer", ["198.51.100.66", "10.89.1.7", "fd00::2", "", "unknown"])
def test_whoever_is_not_a_proxy_of_ours_cannot_choose_an_address(peer: str) -> None:
    assert visitors_address(peer, "203.0.113.5", OURS) == peer
    assert visitors_address(peer, "203.0.113.5, 10.89.0.7", OURS) == peer


def test_strangers_are_told_apart_on_a_socket_for_both_families_too() -> None:
    assert network_of("::ffff:198.51.100.4") == network_of("198.51.100.4") != network_of("::ffff:198.51.100.5")
    assert network_of("2001:db8::1") == network_of("2001:db8::2") != network_of("2001:db8:0:1::1")


def settings(url: str, folder: Path, *proxies: str, **changes: object) -> Settings:
    values: dict[str, object] = {
        "issuer": "https://gateway.example",
        "state_dir": folder / "state",
        "database_url": url,
        "policies_dir": Path(__file__).resolve().parents[2] / "policies",
        "log_origin": "gateway.example/log",
        "trusted_proxies": proxies,
        **changes,
    }
    return Settings(**values)  # type: ignore[arg-type]


@pytest.fixture(params=[(), ("10.89.0.0/24",)], ids=["no-proxy", "proxy"])
def gateway(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[Gateway]:
    chosen = settings(database_url, tmp_path, *request.param)
    initialise(chosen)
    assembled = assemble(chosen)
    yield assembled
    assembled.database.close()


def test_what_is_counted_of_strangers_is_counted_by_their_own_address(gateway: Gateway) -> None:
    def source_of(peer: str, forwarded: str) -> str:
        client = create_app(gateway).test_client()
        refused = client.post(
            "/sharing/v1/exchanges", environ_base={"REMOTE_ADDR": peer}, headers={"X-Forwarded-For": forwarded}
        )
        assert refused.status_code == 401
        with gateway.database.write() as session:
            source: str = session.scalars(select(NoiseRow.source_tag)).one()
            session.execute(delete(NoiseRow))
        return source

    proxied = bool(gateway.settings.trusted_proxies)
    proxy, forger = "10.89.0.7", "198.51.100.66"
    assert (source_of(proxy, "203.0.113.5") != source_of(proxy, "203.0.113.6")) is proxied
    assert (source_of(proxy, "203.0.113.5") == source_of(proxy, "198.51.100.1, 203.0.113.5")) is True
    assert source_of(forger, "203.0.113.5") == source_of(forger, "203.0.113.6")
    assert source_of(forger, "203.0.113.5") != source_of(proxy, "203.0.113.5")


@pytest.mark.parametrize("wrong", ["everybody", "10.89.0.1/24", "0.0.0.0/0", "::/0", "proxy.example"])
def test_a_proxy_that_cannot_be_told_from_others_is_not_accepted(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="GATEWAY_TRUSTED_PROXIES"):
        settings("sqlite://", tmp_path, wrong)


def test_nothing_is_served_to_other_machines_in_the_clear_unless_a_proxy_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="GATEWAY_LISTEN"):
        settings("sqlite://", tmp_path, listen="0.0.0.0:8000")
    behind = settings("sqlite://", tmp_path, "10.89.0.7", listen="0.0.0.0:8000")
    assert behind.secure_cookies, "cookies follow the issuer's scheme, not the last hop's"
    pem = tmp_path / "server.pem"
    settings("sqlite://", tmp_path, listen="0.0.0.0:8000", tls_certificate=pem, tls_key=pem)
    with pytest.raises(SettingsError, match="belong together"):
        settings("sqlite://", tmp_path, tls_certificate=pem)

"""The catalogue as files: `policies/services/*.yaml`."""

from pathlib import Path

from gateway.policy.documents import load_document
from gateway.sharing.catalogue.errors import ServiceInvalid
from gateway.sharing.catalogue.schemas import read_service
from gateway.sharing.catalogue.services import Service, check_service


def load_services(policies_dir: Path) -> tuple[Service, ...]:
    """Read every service of the folder, checked, by id; raises `DocumentUnreadable` or `ServiceInvalid`."""
    services = [load_service(path) for path in sorted((policies_dir / "services").glob("*.yaml"))]
    if len({service.id for service in services}) != len(services):
        raise ServiceInvalid("Two files describe the same service")
    return tuple(sorted(services, key=lambda service: service.id))


def load_service(path: Path) -> Service:
    """Read and check one service; raises `DocumentUnreadable` or `ServiceInvalid` naming the file and the place."""
    service = read_service(load_document(path), source=path.name)
    check_service(service)
    return service

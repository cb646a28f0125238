"""Services as values, and the questions asked of the catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator
from referencing import Registry
from sqlalchemy import Row, Table, bindparam, select
from sqlalchemy.orm import Session

from gateway.directory.members import list_clients, list_members
from gateway.release_lock import wait_for_releases
from gateway.sharing.catalogue.errors import ServiceInvalid, ServiceNotFound
from gateway.sharing.catalogue.models import ServiceRow
from gateway.wire.attachments import attachment_fields, problem_in_attachments, schema_of_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Something a provider answers. Times are in seconds, sizes in bytes."""

    id: str
    """Lower-case `provider/name/vN`."""
    provider: str
    """The member's code."""
    provider_client: str
    """The client whose keys sign the answers."""
    kind: str
    """`check` (yes or no, or a tier) or `record`."""
    title: str
    schema: Mapping[str, Any]
    """JSON Schema (Draft 2020-12) of the fields: a closed object whose every property is described."""
    match_attributes: tuple[str, ...]
    """All the attributes by which a person may be described; empty where matching is not offered."""
    match_required: tuple[str, ...]
    """Those among them without which nobody is looked for."""
    answer_seconds: float
    """How long after the request every answer that no record can be shared leaves, whatever the reason."""
    max_answer_bytes: int
    active: bool
    thresholds: Mapping[str, float | str] = field(default_factory=dict, repr=False)
    """Values that agreements' expressions name; known to gateway and provider, told to no consumer."""
    max_attachment_bytes: int = 0
    """How large a part may be that is fetched by itself; 0 where the service has none."""
    endpoint: str | None = None
    """Where the provider answers; absent until it has registered an address."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of all the fields, in the schema's order or the database's."""
        return tuple(self.schema["properties"])

    @property
    def attachment_fields(self) -> Mapping[str, tuple[str, ...]]:
        """The fields whose value is fetched by itself, each with the media types it may have."""
        return attachment_fields(self.schema)

    def problems_in(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Say what in these values breaks the schema: field and rule, never the value. Empty when all is well."""
        # The empty registry keeps a reference in a schema from ever being fetched.
        validator: Any = Draft202012Validator(
            schema_of_values(self.schema), registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        return tuple(sorted({_problem(error) for error in validator.iter_errors(dict(values))}))

    def problems_in_match(self, attributes: Mapping[str, str]) -> tuple[str, ...]:
        """Say which attributes are missing or not used by this service. Empty when all is well."""
        if not self.match_attributes:
            return ("This service does not look for people by attributes.",)
        missing = [f"{name} is needed." for name in self.match_required if not attributes.get(name)]
        return (*missing, *(f"{name} is not used here." for name in attributes if name not in self.match_attributes))


def find_service(session: Session, service_id: str) -> Service | None:
    """Return the service with this id, active or not."""
    # Every request asks this several times; the session's own objects would cost more than the question.
    row = session.connection().execute(_ONE, {"id": service_id}).one_or_none()
    return _service(row) if row is not None else None


_RECORDED = cast("Table", ServiceRow.__table__)
_ONE = select(_RECORDED).where(_RECORDED.c.id == bindparam("id"))


def list_services(session: Session) -> tuple[Service, ...]:
    """Return every service, inactive ones included, by id."""
    return tuple(_service(row) for row in session.scalars(select(ServiceRow).order_by(ServiceRow.id)))


_COLUMNS = (
    "provider",
    "provider_client",
    "kind",
    "title",
    "answer_seconds",
    "max_answer_bytes",
    "max_attachment_bytes",
    "active",
)


def record_service(session: Session, service: Service, *, at: datetime) -> None:
    """Write a service, new or changed; `endpoint=None` leaves a recorded endpoint as it is.

    Raises `ServiceInvalid` when the description cannot be offered, or its provider or client is not registered.
    """
    check_service(service)
    _check_registered(session, service)
    row = session.get(ServiceRow, service.id)
    if row is not None:
        wait_for_releases(session, service_name(service.id))
    row = row or ServiceRow(id=service.id, endpoint=None)
    for name in _COLUMNS:
        setattr(row, name, getattr(service, name))
    row.thresholds = dict(service.thresholds)
    row.field_schema = dict(service.schema)
    row.match = {"attributes": list(service.match_attributes), "required": list(service.match_required)}
    row.endpoint = service.endpoint or row.endpoint
    row.recorded_at = at
    session.add(row)
    session.flush()


def service_name(service_id: str) -> str:
    """Return how `release_lock` names a service."""
    return f"service {service_id}"


def set_endpoint(session: Session, service_id: str, endpoint: str) -> None:
    """Record where the provider answers; raises `ServiceNotFound`, `ServiceInvalid`."""
    row = session.get(ServiceRow, service_id)
    if row is None:
        raise ServiceNotFound(f"There is no service {service_id}")
    check_endpoint(endpoint)
    row.endpoint = endpoint
    session.flush()


def check_endpoint(endpoint: str) -> None:
    """Refuse what is not an absolute http(s) URL; which hosts may be reached is `gateway.outgoing`'s rule."""
    parts = urlsplit(endpoint)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.fragment or "@" in parts.netloc:
        raise ServiceInvalid("An endpoint is an absolute https URL without credentials or fragment")


# SD-JWT claims that are not fields (RFC 9901 §4.1, RFC 7519 §4.1): a field of that name could not be disclosed.
MOST_ATTACHED = 100_000_000
RESERVED_NAMES = frozenset({"iss", "aud", "sub", "jti", "iat", "exp", "nbf", "cnf", "vct", "status", "_sd", "_sd_alg"})
_REFERENCES = ("$ref", "$dynamicRef")


def check_service(service: Service) -> None:
    """Refuse a service whose answers could not be minimised or validated; raises `ServiceInvalid` naming it."""
    for check in SERVICE_CHECKS:
        check(service)


def check_id_names_provider(service: Service) -> None:
    """An id that begins with another member's code would mislead."""
    if not service.id.startswith(f"{service.provider.lower()}/"):
        raise ServiceInvalid(f"{service.id}: the id must begin with the provider, {service.provider.lower()}/")


def check_schema_is_valid(service: Service) -> None:
    """JSON Schema Draft 2020-12, checked against its own meta-schema; nothing is fetched from elsewhere."""
    problem = next(iter(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(service.schema)), None)
    if problem is not None:
        raise ServiceInvalid(f"{service.id}: the schema is not JSON Schema: {problem.json_path}")
    if _mentions(service.schema, _REFERENCES):
        raise ServiceInvalid(f"{service.id}: the schema must stand on its own, without references")


def check_schema_is_closed(service: Service) -> None:
    """Minimisation needs to know every field by name, and to leave any of them out."""
    schema = service.schema
    if schema.get("type") != "object" or schema.get("additionalProperties") is not False:
        raise ServiceInvalid(f"{service.id}: the schema must be an object with additionalProperties: false")
    if not schema.get("properties"):
        raise ServiceInvalid(f"{service.id}: the schema has no fields")
    if "required" in schema:
        raise ServiceInvalid(f"{service.id}: no field may be required: an answer holds what is permitted, no more")


def check_fields_are_described(service: Service) -> None:
    """Whoever signs an agreement must be able to read what a field means."""
    for name, described in service.schema["properties"].items():
        if name in RESERVED_NAMES:
            raise ServiceInvalid(f"{service.id}: {name} cannot be the name of a field")
        if not isinstance(described, Mapping) or not str(described.get("description", "")).strip():
            raise ServiceInvalid(f"{service.id}: the field {name} has no description")


def check_attachments(service: Service) -> None:
    """An attachment is a document of a known type, and no larger than the service says."""
    problem = problem_in_attachments(service.schema)
    if problem is not None:
        raise ServiceInvalid(f"{service.id}: {problem}")
    if service.attachment_fields and not service.max_attachment_bytes:
        raise ServiceInvalid(f"{service.id}: a service with attachments says max_attachment_bytes")


def check_match_attributes(service: Service) -> None:
    """What is required must be allowed, and looking for nobody in particular is not offered."""
    if not set(service.match_required) <= set(service.match_attributes):
        raise ServiceInvalid(f"{service.id}: a required attribute is not among the allowed ones")
    if service.match_attributes and not service.match_required:
        raise ServiceInvalid(f"{service.id}: at least one attribute must be required to look for a person")


def check_limits(service: Service) -> None:
    """Times and sizes must be positive and finite, the endpoint an address."""
    if not 0 < service.answer_seconds <= 60 or not 0 < service.max_answer_bytes <= 10_000_000:  # noqa: PLR2004
        raise ServiceInvalid(f"{service.id}: answer_seconds is up to 60, max_answer_bytes up to 10,000,000")
    if not 0 <= service.max_attachment_bytes <= MOST_ATTACHED:
        raise ServiceInvalid(f"{service.id}: max_attachment_bytes is up to {MOST_ATTACHED:,}")
    if service.endpoint is not None:
        check_endpoint(service.endpoint)


SERVICE_CHECKS = (
    check_id_names_provider,
    check_schema_is_valid,
    check_schema_is_closed,
    check_fields_are_described,
    check_attachments,
    check_match_attributes,
    check_limits,
)


def _check_registered(session: Session, service: Service) -> None:
    # Inactive ones are registered too: nothing is asked of them, and what they offered stays described.
    if service.provider not in {member.code for member in list_members(session)}:
        raise ServiceInvalid(f"{service.id}: the member {service.provider} is not registered here")
    if service.provider_client not in {client.client_id for client in list_clients(session)}:
        raise ServiceInvalid(f"{service.id}: the client {service.provider_client} is not registered here")


def _mentions(value: object, names: tuple[str, ...]) -> bool:
    if isinstance(value, Mapping):
        return any(name in value for name in names) or any(_mentions(item, names) for item in value.values())
    return isinstance(value, list) and any(_mentions(item, names) for item in value)


def _problem(error: Any) -> str:
    # jsonschema's own message quotes the value, which may be somebody's personal data.
    return f"{'.'.join(str(part) for part in error.absolute_path) or 'the record'}: breaks {error.validator}"


def _service(row: ServiceRow | Row[Any]) -> Service:
    return Service(
        id=row.id,
        provider=row.provider,
        provider_client=row.provider_client,
        kind=row.kind,
        title=row.title,
        schema=row.field_schema,
        match_attributes=tuple(row.match["attributes"]),
        match_required=tuple(row.match["required"]),
        answer_seconds=row.answer_seconds,
        max_answer_bytes=row.max_answer_bytes,
        thresholds=row.thresholds or {},
        max_attachment_bytes=row.max_attachment_bytes or 0,
        active=row.active,
        endpoint=row.endpoint,
    )

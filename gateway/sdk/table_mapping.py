"""Which columns of which table answer a service: a TOML file instead of code.

    member = "dwp"                                  # the provider's code
    gateway = "https://gateway.example"             # the gateway's issuer
    origin = "https://api.dwp.example"              # under which address the gateway calls this provider
    key = "dwp-benefits.pem"                        # the registered signing key
    database = "postgresql+psycopg:///benefits"     # an SQLAlchemy URL; or GATEWAY_CLIENT_DATABASE in the environment

    [services."dwp/free-school-meals/v1"]
    table = "people"
    sub = "gateway_sub"                             # your own pairwise name for the person, if you keep it
    withheld = "restricted"                         # true: nothing is told about this person
    area = "district_code"                          # GSS code of the area they live in
    schema = "free-school-meals.json"               # JSON Schema of the fields; answers that break it are not sent

    [services."dwp/free-school-meals/v1".match]     # by which attributes people are found (gateway.sdk.matching)
    family_name = ["surname", "former_surname"]
    birthdate = "date_of_birth"
    nino = "nino"

    [services."dwp/free-school-meals/v1".fields]    # a field, and the column it is in
    tier = "tier"
    eligible = { column = "entitled", as = "boolean" }

    [services."dwp/free-school-meals/v1".encrypted] # for end-to-end encryption: keys by agreement
    DSA-003 = ["<RFC 7638 thumbprint>"]             # a service with such a table answers encrypted or not at all

    [services."dwp/free-school-meals/v1".checks.DSA-003.above_limit]    # and what such a service computes, as agreed
    from = ["award_amount"]
    expression = "award_amount > thresholds.limit"
    gives = "boolean"                               # or the list of texts that it can be
    thresholds = { limit = 7400 }                   # those that it uses

Paths are relative to the file.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from gateway.errors import GatewayError, Kind
from gateway.sdk.sealing import AgreedCheck

ValueKind = Literal["boolean", "date", "integer", "number", "text"]
"""As what a column's value is disclosed, where the database keeps it as something else."""

DATABASE_VARIABLE = "GATEWAY_CLIENT_DATABASE"


class MappingInvalid(GatewayError):
    """The file does not say what it must, or not what the database has; `public` says what to change."""

    kind = Kind.INVALID
    code = "mapping_invalid"
    title = "The mapping cannot be used"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldColumn:
    """Where a field's value is; `kind` None discloses it as the database has it."""

    column: str
    kind: ValueKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchColumns:
    """Where the attributes are by which people are found. Several name columns hold present and former names."""

    family_name: tuple[str, ...]
    birthdate: str
    given_name: tuple[str, ...] = ()
    nino: str | None = None
    postcode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMapping:
    """One service out of one table. At least one of `sub` and `match` is there."""

    table: str
    fields: Mapping[str, FieldColumn]
    sub: str | None = None
    match: MatchColumns | None = None
    withheld: str | None = None
    area: str | None = None
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    encrypted: Mapping[str, tuple[str, ...]] | None = None
    """To which keys under which agreement; None where values are not encrypted from end to end."""
    checks: Mapping[str, Mapping[str, AgreedCheck]] | None = None
    """By agreement and name; None where none were kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFile:
    """Everything `gateway-client serve-table` needs."""

    member: str
    gateway: str
    origin: str
    key: Path
    database: str = field(repr=False)
    services: Mapping[str, TableMapping]
    folder: Path
    """The file's own, to which paths are relative."""
    ca_file: Path | None = None


def load_provider_file(path: Path, *, environment: Mapping[str, str]) -> ProviderFile:
    """Read the file; raises `MappingInvalid` naming what is wrong, `OSError` when it cannot be read."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MappingInvalid(f"{path.name} is not TOML: {error}") from error
    place = _Place(path.name, document)
    place.only("member", "gateway", "origin", "key", "database", "ca_file", "services")
    # A URL with a password has no place in a file that may be shown to others.
    database = environment.get(DATABASE_VARIABLE) or place.text("database")
    services = place.table("services")
    if not services.members:
        raise MappingInvalid(f"{path.name}: services is missing: name at least one")
    ca_file = place.optional_text("ca_file")
    return ProviderFile(
        member=place.text("member"),
        gateway=place.text("gateway"),
        origin=place.text("origin"),
        key=path.parent / place.text("key"),
        database=database,
        services={name: _table_mapping(services.table(name), folder=path.parent) for name in services.members},
        folder=path.parent,
        ca_file=path.parent / ca_file if ca_file else None,
    )


def _table_mapping(place: "_Place", *, folder: Path) -> TableMapping:
    place.only("table", "sub", "withheld", "area", "schema", "match", "fields", "encrypted", "checks")
    fields, encrypted, checks = place.table("fields"), place.table("encrypted"), place.table("checks")
    mapping = TableMapping(
        table=place.text("table"),
        fields={name: _field_column(fields, name) for name in fields.members},
        sub=place.optional_text("sub"),
        match=_match_columns(place.table("match")) if "match" in place.members else None,
        withheld=place.optional_text("withheld"),
        area=place.optional_text("area"),
        schema=_schema(place, folder) if "schema" in place.members else None,
        encrypted={name: encrypted.texts(name) for name in encrypted.members} if "encrypted" in place.members else None,
        checks={name: _agreed_checks(checks.table(name)) for name in checks.members}
        if "checks" in place.members
        else None,
    )
    if not mapping.fields:
        raise MappingInvalid(f"{place.name}: fields is missing: name at least one")
    if mapping.sub is None and mapping.match is None:
        raise MappingInvalid(f"{place.name}: give sub, match or both: people are found by nothing else")
    return mapping


def _match_columns(place: "_Place") -> MatchColumns:
    place.only("family_name", "given_name", "birthdate", "nino", "postcode")
    return MatchColumns(
        family_name=place.texts("family_name"),
        birthdate=place.text("birthdate"),
        given_name=place.texts("given_name") if "given_name" in place.members else (),
        nino=place.optional_text("nino"),
        postcode=place.optional_text("postcode"),
    )


def _field_column(fields: "_Place", name: str) -> FieldColumn:
    if isinstance(fields.members[name], str):
        return FieldColumn(column=fields.text(name))
    place = fields.table(name)
    place.only("column", "as")
    kind = place.optional_text("as")
    if kind is not None and kind not in get_args(ValueKind):
        raise MappingInvalid(f"{place.name}.as: one of {', '.join(get_args(ValueKind))}")
    return FieldColumn(column=place.text("column"), kind=kind)  # type: ignore[arg-type]  # just checked


def _agreed_checks(place: "_Place") -> Mapping[str, AgreedCheck]:
    return {name: _agreed_check(place.table(name)) for name in place.members}


def _agreed_check(place: "_Place") -> AgreedCheck:
    place.only("from", "expression", "gives", "thresholds")
    thresholds = place.table("thresholds").members
    if not all(isinstance(value, int | float | str) for value in thresholds.values()):
        raise MappingInvalid(f"{place.name}: a threshold is a number or a text")
    return AgreedCheck(
        from_=place.texts("from"),
        expression=place.text("expression"),
        gives=() if place.members.get("gives") == "boolean" else place.texts("gives"),
        thresholds=thresholds,
    )


def _schema(place: "_Place", folder: Path) -> Mapping[str, Any]:
    path = folder / place.text("schema")
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MappingInvalid(f"{path.name} is not JSON") from error
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        raise MappingInvalid(f"{path.name}: a JSON Schema of an object with properties is needed")
    return schema


class _Place:
    """A table of the file, and how to name it in an error."""

    def __init__(self, name: str, members: Mapping[str, Any]) -> None:
        self.name = name
        self.members = members

    def only(self, *known: str) -> None:
        """Refuse what is not known: a misspelt member would silently do nothing."""
        unknown = sorted(set(self.members) - set(known))
        if unknown:
            raise MappingInvalid(f"{self.name}: {unknown[0]} is not known; known are {', '.join(known)}")

    def text(self, name: str) -> str:
        value = self.members.get(name)
        if not isinstance(value, str) or not value:
            raise MappingInvalid(f"{self.name}: {name} is missing, or is no text")
        return value

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if name in self.members else None

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.members.get(name)
        if isinstance(value, list) and value and all(isinstance(item, str) and item for item in value):
            return tuple(value)
        return (self.text(name),)

    def table(self, name: str) -> "_Place":
        value = self.members.get(name, {})
        if not isinstance(value, dict):
            raise MappingInvalid(f"{self.name}: {name} must be a table")
        return _Place(f"{self.name}: {name}" if ":" not in self.name else f"{self.name}.{name}", value)

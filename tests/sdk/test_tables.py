"""A table served with no code: what the file may say, what is read, and that nothing is ever written."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from gateway.sdk import tables
from gateway.sdk.commands.serve_table import provider_of
from gateway.sdk.provider import AgreedCheck
from gateway.sdk.questions import AskedQuestion, Found, NoRecord, RecordUnusable
from gateway.sdk.table_mapping import MappingInvalid, ProviderFile, load_provider_file
from gateway.sdk.tables import TableAnswers, TooManyCandidates, open_database
from gateway.wire.signer import PrivateKeySigner
from tests.kit.statements import EXCHANGE

SERVICE = "dwp/free-school-meals/v1"
FILE = f"""
member = "dwp"
gateway = "https://gateway.example"
origin = "https://api.dwp.example"
key = "department.pem"
database = "sqlite:///people.sqlite3"

[services."{SERVICE}"]
table = "benefit_cases"
sub = "gateway_sub"
withheld = "restricted"
area = "district"

[services."{SERVICE}".match]
family_name = ["surname", "former_surname"]
given_name = "forename"
birthdate = "born"
nino = "nino"
postcode = "postcode"

[services."{SERVICE}".fields]
eligible = {{ column = "entitled", as = "boolean" }}
tier = "tier"
since = {{ column = "entitled_since", as = "date" }}
"""
ADA = {"family_name": "O'Sample", "given_name": "Ada", "birthdate": "1988-01-01", "nino": "QQ123456C"}
QUESTION = AskedQuestion(
    exchange=EXCHANGE,
    service=SERVICE,
    purpose="free-school-meals",
    agreement="DSA-003",
    consumer="E06000008",
    subject={"match": ADA},
    handle="one-time-handle",
    fields=("eligible", "tier"),
    audience="E06000008",
)
ROWS = """
CREATE TABLE benefit_cases (gateway_sub TEXT, surname TEXT, former_surname TEXT, forename TEXT, born TEXT, nino TEXT,
    postcode TEXT, entitled TEXT, tier TEXT, entitled_since TEXT, restricted TEXT, district TEXT, photo BLOB);
INSERT INTO benefit_cases VALUES
    ('sub-ada', 'OSAMPLE', 'Testcase', 'Ada', '1988-01-01', 'qq 12 34 56 c', 'BB1 1AA', 'Y', 'targeted',
     '2024-02-29 00:00:00', 'N', 'E06000008', x'00'),
    ('sub-ben', 'Specimen', NULL, 'Ben', '1988-01-01', 'QQ654321A', 'BB1 1AB', 'N', NULL, NULL, 'Y', NULL, x'00'),
    ('sub-two', 'Testcase', NULL, 'Zoe', '1990-02-28', NULL, 'BB1 1AC', 'Y', 'targeted', NULL, NULL, NULL, x'00'),
    ('sub-two', 'Testcase', NULL, 'Zoe', '1990-02-28', NULL, 'BB1 1AC', 'N', NULL, NULL, NULL, NULL, x'00');
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "people.sqlite3")) as database, database:
        database.executescript(ROWS)
    return tmp_path


def load(folder: Path, text: str = FILE, environment: Mapping[str, str] | None = None) -> ProviderFile:
    (folder / "department.toml").write_text(text)
    return load_provider_file(folder / "department.toml", environment=environment or {})


@pytest.fixture
def answers(folder: Path) -> TableAnswers:
    file = load(folder)
    return TableAnswers(open_database(file.database, folder=file.folder), file.services[SERVICE])


def by_match(**changes: Any) -> AskedQuestion:
    match = {name: value for name, value in {**ADA, **changes}.items() if value is not None}
    return replace(QUESTION, subject={"match": match})


def by_sub(sub: str) -> AskedQuestion:
    return replace(QUESTION, subject={"sub": sub})


def test_a_person_is_found_by_attributes_and_told_as_the_mapping_says(answers: TableAnswers) -> None:
    found = answers(QUESTION)
    assert found == Found(fields={"eligible": True, "tier": "targeted"}, match_level="exact", area="E06000008")
    since = answers(replace(QUESTION, fields=("since",)))
    assert isinstance(since, Found)
    assert since.fields == {"since": "2024-02-29"}


def test_a_person_is_found_by_the_departments_own_name(answers: TableAnswers) -> None:
    found = answers(by_sub("sub-ada"))
    assert isinstance(found, Found)
    assert (found.fields["eligible"], found.match_level) == (True, None)


def test_the_ladder_decides_how_surely(answers: TableAnswers) -> None:
    def level(question: AskedQuestion) -> str | None:
        found = answers(question)
        assert isinstance(found, Found), found
        return found.match_level

    assert level(by_match(family_name="Testcase")) == "exact"
    assert level(by_match(family_name="Testcaze")) == "strong"
    assert level(by_match(nino=None, nino_fragment="3456")) == "fair"
    assert level(by_match(nino=None, postcode="BB1 1AA")) == "weak"


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (by_match(nino="QQ999999C"), "unknown"),
        (by_match(birthdate="1988-01-02"), "unknown"),
        (by_match(family_name=None), "unknown"),
        (by_match(family_name="Specimen", given_name="Ben", nino="QQ654321A"), "withheld"),
        (by_match(family_name="Testcase", given_name="Zoe", birthdate="1990-02-28", nino=None, postcode="BB1 1AC"),
         "ambiguous"),
        (by_sub("sub-nobody"), "unknown"),
        (by_sub("sub-ben"), "withheld"),
        (by_sub("sub-two"), "ambiguous"),
        (by_sub("' OR 1=1 --"), "unknown"),
        (replace(QUESTION, subject={}), "unknown"),
    ],
)  # fmt: skip
def test_who_is_not_certain_or_restricted_is_no_record(
    answers: TableAnswers, question: AskedQuestion, reason: str
) -> None:
    assert answers(question) == NoRecord(reason=reason)  # type: ignore[arg-type]


def test_a_value_that_is_not_what_the_mapping_says_is_not_told(folder: Path) -> None:
    file = load(folder, FILE.replace('tier = "tier"', 'tier = { column = "tier", as = "boolean" }'))
    answers = TableAnswers(open_database(file.database, folder=folder), file.services[SERVICE])
    with pytest.raises(RecordUnusable, match="tier: cannot be read") as unusable:
        answers(QUESTION)
    # The gateway decides by these whether anything at all may be told of this person.
    assert (unusable.value.match_level, unusable.value.area) == ("exact", "E06000008")
    assert unusable.value.__suppress_context__


def test_a_column_that_nobody_asked_for_is_not_in_the_way(folder: Path) -> None:
    changed_row(folder, "entitled = 'maybe', entitled_since = '31/02/2020'")
    file = load(folder)
    answers = TableAnswers(open_database(file.database, folder=folder), file.services[SERVICE])
    found = answers(replace(QUESTION, fields=("tier",)))
    assert isinstance(found, Found)
    assert found.fields == {"tier": "targeted"}
    for name in ("eligible", "since"):
        with pytest.raises(RecordUnusable):
            answers(replace(QUESTION, fields=("tier", name)))


def test_a_column_that_the_driver_cannot_read_is_of_this_person_alone(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "people.sqlite3")) as database, database:
        database.execute("ALTER TABLE benefit_cases ADD COLUMN reviewed DATE DEFAULT '31/02/2020'")
    file = load(folder, FILE.replace('tier = "tier"', 'tier = "tier"\nreviewed = "reviewed"'))
    answers = TableAnswers(open_database(file.database, folder=folder), file.services[SERVICE])
    assert isinstance(answers(QUESTION), Found)
    with pytest.raises(RecordUnusable, match="a row cannot be read"):
        answers(replace(QUESTION, fields=("reviewed",)))


@pytest.mark.parametrize("mark", ["R", "P", "2", "protected", "Yes ", "N/A", "nein", "2026-01-01", 1, 2, b"\x01"])
def test_whoever_is_marked_in_any_way_is_withheld(folder: Path, mark: object) -> None:
    changed_row(folder, "restricted = ?", mark)
    file = load(folder)
    answers = TableAnswers(open_database(file.database, folder=folder), file.services[SERVICE])
    assert answers(QUESTION) == NoRecord(reason="withheld")


@pytest.mark.parametrize("mark", ["N", " No ", "false", "F", "", " ", "0", 0, None])
def test_whoever_is_clearly_not_marked_is_not_withheld(folder: Path, mark: object) -> None:
    changed_row(folder, "restricted = ?", mark)
    file = load(folder)
    answers = TableAnswers(open_database(file.database, folder=folder), file.services[SERVICE])
    assert isinstance(answers(QUESTION), Found)


def changed_row(folder: Path, change: str, *values: object) -> None:
    """Change Ada's row."""
    with closing(sqlite3.connect(folder / "people.sqlite3")) as database, database:
        database.execute(f"UPDATE benefit_cases SET {change} WHERE gateway_sub = 'sub-ada'", values)  # noqa: S608 - ours


def test_the_database_is_not_written(folder: Path) -> None:
    engine = open_database("sqlite:///people.sqlite3", folder=folder)
    with engine.connect() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.exec_driver_sql("DELETE FROM benefit_cases")


def test_more_candidates_than_can_be_compared_are_an_error_and_not_nobody(
    answers: TableAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MOST_CANDIDATES", 1)
    with pytest.raises(TooManyCandidates):
        answers(QUESTION)


WRONG = {
    "no such column": (('tier = "tier"', 'tier = "tire"'), "no column tire. It has: gateway_sub, surname"),
    "no such table": (('table = "benefit_cases"', 'table = "cases"'), "no table cases"),
    "a column of SQL's": (('sub = "gateway_sub"', 'sub = "1; DROP TABLE benefit_cases"'), "no column 1; DROP"),
    "no such database": (("people.sqlite3", "peopel.sqlite3"), "There is no database"),
    "no URL": (("sqlite:///people.sqlite3", "people.sqlite3"), "not an SQLAlchemy URL"),
    "no driver": (("sqlite:///people.sqlite3", "sybase://hunter2@host/db"), "driver is not installed"),
    "no TOML": (('member = "dwp"', "member = dwp"), "is not TOML"),
    "misspelt": (("withheld =", "witheld ="), "witheld is not known"),
    "no key": (('key = "department.pem"', ""), "key is missing"),
    "no value of a kind": (('as = "boolean"', 'as = "bool"'), "one of boolean, date"),
    "no field": (('eligible = { column = "entitled", as = "boolean" }\ntier = "tier"\n', ""), None),
}


@pytest.mark.parametrize(("change", "told"), WRONG.values(), ids=WRONG)
def test_a_file_that_does_not_fit_is_refused_when_the_provider_starts(
    folder: Path, change: tuple[str, str], told: str | None
) -> None:
    assert change[0] in FILE
    if told is None:
        text = FILE.partition(f'[services."{SERVICE}".fields]')[0]
        told = "fields is missing"
    else:
        text = FILE.replace(*change)

    def started() -> TableAnswers:
        file = load(folder, text)
        return TableAnswers(open_database(file.database, folder=folder), file.services[SERVICE])

    with pytest.raises(MappingInvalid) as refused:
        started()
    assert told in refused.value.public
    # A URL may hold a password.
    assert "hunter2" not in refused.value.public
    assert not (folder / "peopel.sqlite3").exists()


def test_nobody_can_be_found_by_nothing(folder: Path) -> None:
    text = "\n".join(line for line in FILE.replace('sub = "gateway_sub"', "").splitlines())
    start, _match, rest = text.partition(f'[services."{SERVICE}".match]')
    with pytest.raises(MappingInvalid, match="give sub, match or both"):
        load(folder, start + rest[rest.index("[services") :])


def test_the_database_may_be_named_in_the_environment_alone(folder: Path) -> None:
    text = FILE.replace('database = "sqlite:///people.sqlite3"', "")
    file = load(folder, text, environment={"GATEWAY_CLIENT_DATABASE": "sqlite:///people.sqlite3"})
    assert file.database == "sqlite:///people.sqlite3"
    assert "sqlite" not in repr(file)


def test_a_service_with_keys_is_answered_encrypted_or_not_at_all(folder: Path) -> None:
    thumbprint = "q" * 43
    for table, agreed in ((f'DSA-003 = ["{thumbprint}"]', {"DSA-003": (thumbprint,)}), ("", {})):
        file = load(folder, f'{FILE}\n[services."{SERVICE}".encrypted]\n{table}\n')
        assert file.services[SERVICE].encrypted == agreed
        assert provider_of(replace(file, key=_key(folder)), state=folder)._encrypted == {SERVICE: agreed}
    assert provider_of(replace(load(folder, FILE), key=_key(folder)), state=folder)._encrypted == {}


def test_the_checks_of_an_encrypted_service_are_those_of_the_file(folder: Path) -> None:
    kept = f"""
[services."{SERVICE}".encrypted]
DSA-003 = ["{"q" * 43}"]

[services."{SERVICE}".checks.DSA-003.targeted]
from = ["tier"]
expression = "tier == thresholds.sought"
gives = "boolean"
thresholds = {{ sought = "targeted" }}

[services."{SERVICE}".checks.DSA-003.band]
from = ["tier"]
expression = "tier"
gives = ["targeted", "expanded"]
"""
    file = replace(load(folder, FILE + kept), key=_key(folder))
    agreed = {
        "targeted": AgreedCheck(
            from_=("tier",), expression="tier == thresholds.sought", thresholds={"sought": "targeted"}
        ),
        "band": AgreedCheck(from_=("tier",), expression="tier", gives=("targeted", "expanded")),
    }
    assert provider_of(file, state=folder)._checks == {SERVICE: {"DSA-003": agreed}}
    for wrong, told in (("thresholds = { sought = [1] }", "number or a text"), ("threshold = 1", "threshold is not")):
        with pytest.raises(MappingInvalid, match=told):
            load(folder, FILE + kept.replace('thresholds = { sought = "targeted" }', wrong))


def _key(folder: Path) -> Path:
    path = folder / "department.pem"
    path.write_bytes(PrivateKeySigner.generate("ES256").private_pem())
    return path

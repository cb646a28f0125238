"""One person, one reference of ours, however the consumer spells them; and each side's name stays with that side."""

from uuid import UUID

import pytest

from gateway.app import Gateway
from gateway.directory.members import Client, ClientKind
from gateway.identity.accounts import AccountKind, NewAccount, record_account
from gateway.identity.caller import Caller
from gateway.identity.passwords import generate_password
from gateway.sharing.exchange.people.subjects import TranslatedSubject, Translator
from gateway.sharing.exchange.schemas import Subject, SubjectByMatch, SubjectBySub

ADA = {"family_name": "Test-Case", "birthdate": "1988-01-01", "nino": "QQ123456C"}


def translator(gateway: Gateway) -> Translator:
    return Translator(pairwise=gateway.people.pairwise, references=gateway.people.references)


def client(member: str) -> Client:
    return Client(
        client_id=f"{member}-system", member_code=member, name=member, kinds=(ClientKind.CONSUMER,), sector=member
    )


def translate(gateway: Gateway, subject: Subject, member: str = "council") -> TranslatedSubject:
    now = gateway.clock.now()
    caller = Caller(client=client(member), officer=None, scopes=frozenset(), token_id="t", expires_at=now)
    with gateway.database.read() as session:
        return translator(gateway).translate(session, subject, caller=caller)


def a_citizen(gateway: Gateway) -> UUID:
    new = NewAccount(
        kind=AccountKind.CITIZEN,
        email="t@people.example",
        given_name="Terry",
        family_name="Specimen",
        password=generate_password(),
        code_secret=None,
        birthdate=None,
    )
    people = gateway.people
    with gateway.database.write() as session:
        account = record_account(
            session, new, passwords=people.passwords, sealing=people.sealing, at=gateway.clock.now()
        )
    return account.account_id


def sub_of(gateway: Gateway, account: UUID, sector: str) -> str:
    with gateway.database.write() as session:
        return gateway.people.pairwise.sub_for(session, account, sector, at=gateway.clock.now())


@pytest.mark.parametrize("spelt", ["TEST-CASE", "test-case", " Test-Case ", "\uff34est-Case"])
def test_another_spelling_is_not_another_person(gateway: Gateway, spelt: str) -> None:
    plain = translate(gateway, SubjectByMatch(attributes=ADA))
    other = translate(gateway, SubjectByMatch(attributes={**ADA, "family_name": spelt}))
    assert other.reference == plain.reference
    # The department is told what the council sent: matching is the department's business.
    assert other.attributes == {**ADA, "family_name": spelt}


@pytest.mark.parametrize(
    "changes", [{"family_name": "Sample"}, {"birthdate": "1988-01-02"}, {"nino": "QQ123457A"}, {"postcode": "BB1 1AA"}]
)
def test_other_attributes_are_another_person(gateway: Gateway, changes: dict[str, str]) -> None:
    plain = translate(gateway, SubjectByMatch(attributes=ADA))
    assert translate(gateway, SubjectByMatch(attributes={**ADA, **changes})).reference != plain.reference


def test_neither_reference_nor_repr_says_anything_of_the_person(gateway: Gateway) -> None:
    subject = translate(gateway, SubjectByMatch(attributes=ADA))
    for value in ADA.values():
        assert value not in repr(subject)
        assert value.casefold() not in subject.reference.casefold()
    assert "QQ123456C" not in repr(SubjectByMatch(attributes=ADA))


def test_a_name_counts_in_the_sector_it_was_told_in_and_in_no_other(gateway: Gateway) -> None:
    account = a_citizen(gateway)
    sub = sub_of(gateway, account, "council")
    at_home = translate(gateway, SubjectBySub(sub=sub))
    abroad = translate(gateway, SubjectBySub(sub=sub), member="another-council")
    assert (at_home.known, at_home.account, at_home.consumer_sub) == (True, account, sub)
    assert (abroad.known, abroad.account) == (False, None)
    assert abroad.reference != at_home.reference


def test_a_person_has_one_reference_whichever_council_asks(gateway: Gateway) -> None:
    account = a_citizen(gateway)
    councils = ("council", "another-council")
    subjects = [SubjectBySub(sub=sub_of(gateway, account, member)) for member in councils]
    seen = [translate(gateway, subject, member=member) for subject, member in zip(subjects, councils, strict=True)]
    assert seen[0].consumer_sub != seen[1].consumer_sub
    assert seen[0].reference == seen[1].reference


def test_the_provider_is_told_its_own_name_made_when_it_first_asks(gateway: Gateway) -> None:
    account = a_citizen(gateway)
    subject = translate(gateway, SubjectBySub(sub=sub_of(gateway, account, "council")))
    with gateway.database.write() as session:
        told = translator(gateway).for_provider(session, subject, provider=client("department"), at=gateway.clock.now())
    assert told == {"sub": sub_of(gateway, account, "department")}
    assert told != {"sub": subject.consumer_sub}

"""Every condition under which a well-signed request is refused: each is named, receipted, and in the log once."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.demo.layout import BLACKBURN, DWP, PORTAL_CLIENT, SERVICE
from gateway.signing.signing_keys import Purpose
from gateway.wire.jws import issue_jwt, unverified_claims
from tests.conformance.expectations import assert_refused
from tests.conformance.others import another_citizen, another_client, another_member, officer_token_of, token_of_its_own
from tests.kit.world import ADA_MATCH, Asking, World

LONG_AGO: Mapping[str, Any] = {"starts": "2020-02-01", "ends": "2021-01-31", "review": "2020-06-01"}
NOT_YET: Mapping[str, Any] = {"starts": "2090-02-01", "ends": "2091-01-31", "review": "2090-06-01"}


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        (LONG_AGO, "agreement_expired"),
        (NOT_YET, "agreement_not_started"),
        ({"conditions__roles": ["another-role"]}, "role_not_covered"),
        ({"conditions__minimum_acr": "AAL3"}, "sign_in_too_weak"),
        ({"conditions__subject_kinds": ["sub"]}, "subject_kind_not_covered"),
        ({"purposes": ["blue-badge"]}, "purpose_not_covered"),
        ({"fields": ["eligible"]}, "field_not_covered"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_terms_that_do_not_fit(world: World, terms: Mapping[str, Any], code: str) -> None:
    assert_refused(world, world.signed(world.body(world.asking(**terms))), code)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"purpose": "marketing"}, "unknown_purpose"),
        ({"purpose": "blue-badge"}, "purpose_not_covered"),
        ({"fields": ["eligible", "diagnosis"]}, "unknown_field"),
        ({"fields": ["eligible", "award_amount"]}, "field_not_covered"),
        ({"case_reference": "   "}, "case_reference_required"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_questions_that_the_agreement_does_not_cover(world: World, changes: Mapping[str, Any], code: str) -> None:
    assert_refused(world, world.signed(world.body(world.asking(), **changes)), code)


def test_no_case_reference(world: World) -> None:
    body = world.body(world.asking())
    del body["case_reference"]
    assert_refused(world, world.signed(body), "case_reference_required")


@pytest.mark.parametrize(
    ("signed_by", "codes"),
    [
        ((BLACKBURN,), ("provider_signature_missing", "agreement_not_in_force")),
        ((DWP,), ("consumer_signature_missing", "agreement_not_in_force")),
        ((), ("consumer_signature_missing", "provider_signature_missing", "agreement_not_in_force")),
    ],
)
def test_a_draft_that_a_member_has_not_signed(world: World, signed_by: tuple[str, ...], codes: tuple[str, ...]) -> None:
    assert_refused(world, world.signed(world.body(world.asking(signed_by=signed_by))), *codes)


def test_a_suspended_agreement(world: World) -> None:
    asking = world.asking()
    world.suspend(asking)
    assert_refused(world, world.signed(world.body(asking)), "agreement_suspended")


def test_the_agreement_of_another_member(world: World) -> None:
    member = another_member(world)
    other = another_client(world, member=member)
    asking = world.asking(
        signed_by=(member, DWP), parties__consumer__member=member, conditions__clients=[other.client_id]
    )
    assert_refused(world, world.signed(world.body(asking)), "no_agreement")
    # It does serve the member who made it.
    token = officer_token_of(world, other)
    own = world.signed(world.body(asking), token=token, signer=other.signer, client_id=other.client_id)
    assert world.send(own).status == 200


def test_a_service_that_does_not_exist(world: World) -> None:
    asking = Asking(service="dwp/nothing-of-the-kind/v1", reference="none")
    receipt = assert_refused(
        world, world.signed(world.body(asking)), "service_not_active", "unknown_field", "no_agreement"
    )
    assert receipt.provider is None
    assert receipt.agreement is None


def test_an_officer_without_the_role(world: World) -> None:
    token = world.officer_token(("another-role",))
    assert_refused(world, world.signed(world.body(world.asking()), token=token), "role_not_covered")


def test_an_officer_who_signed_in_with_a_password_alone(world: World) -> None:
    """The sign-in door gives no such token; should one exist, the exchange refuses it by itself."""
    claims = unverified_claims(world.officer_token()) | {"acr": "AAL1"}
    token = issue_jwt(claims, typ="at+jwt", signer=world.gateway.signing.current(Purpose.TOKENS))
    assert_refused(world, world.signed(world.body(world.asking()), token=token), "sign_in_too_weak")


def test_a_system_that_asks_for_no_officer(world: World) -> None:
    token = token_of_its_own(world, PORTAL_CLIENT, world.signer(PORTAL_CLIENT))
    assert_refused(world, world.signed(world.body(world.asking()), token=token), "officer_required")


def test_another_system_of_the_same_council_with_its_own_officers_token(world: World) -> None:
    other = another_client(world)
    request = world.signed(
        world.body(world.asking()),
        token=officer_token_of(world, other),
        signer=other.signer,
        client_id=other.client_id,
    )
    assert_refused(world, request, "client_not_covered")


def test_every_failing_rule_is_named_and_none_about_the_person(world: World) -> None:
    asking = world.asking(**LONG_AGO, conditions__roles=["another-role"])
    unknown = {"match": {**ADA_MATCH, "nino": "QQ999999C"}}
    body = world.body(asking, subject=unknown, purpose="marketing", fields=["eligible", "award_amount"])
    assert_refused(
        world, world.signed(body), "unknown_purpose", "agreement_expired", "field_not_covered", "role_not_covered"
    )


def test_a_refused_question_by_name_leaves_no_name_at_the_provider_behind(world: World) -> None:
    body = world.body(world.asking(), subject={"sub": another_citizen(world)}, fields=["award_amount"])
    assert_refused(world, world.signed(body), "field_not_covered")


def test_the_shipped_agreement_is_not_touched_by_all_this(world: World) -> None:
    asking = Asking(service=SERVICE, reference="DSA-003")
    assert world.send(world.signed(world.body(asking))).status == 200
    world.assert_log_verifies()

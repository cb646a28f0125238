"""The good case first: what every attack below is a small change to."""

from gateway.sdk.consumer import Answer, Refusal
from tests.kit.world import ADA_MATCH, World


def test_a_record_is_minimised_signed_and_in_the_log(world: World) -> None:
    asking = world.asking()
    answer = world.consumer().ask(
        service=asking.service,
        purpose=asking.purpose,
        subject={"match": ADA_MATCH},
        fields=["eligible", "tier"],
        case_reference="FSM/2026/00017",
        access_token=world.officer_token(),
    )
    assert isinstance(answer, Answer)
    assert answer.fields == {"eligible": True, "tier": "targeted"}
    assert world.outcomes_of(answer.exchange) == ["disclosed"]
    leaves = world.assert_log_verifies()
    assert sum(leaf.reference == answer.exchange for leaf in leaves) == 1


def test_a_field_outside_the_agreement_is_refused_with_its_rule_and_a_receipt(world: World) -> None:
    asking = world.asking()
    answer = world.consumer().ask(
        service=asking.service,
        purpose=asking.purpose,
        subject={"match": ADA_MATCH},
        fields=["eligible", "award_amount"],
        case_reference="FSM/2026/00017",
        access_token=world.officer_token(),
    )
    assert isinstance(answer, Refusal)
    assert [rule.code for rule in answer.rules] == ["field_not_covered"]
    assert answer.receipt.outcome == "refused"
    assert world.asked_of_department(answer.exchange) is None
    assert world.outcomes_of(answer.exchange) == ["refused"]

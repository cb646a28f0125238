"""Past decisions made again under a proposed policy or agreement: exactly which would have been others.

A decision's facts are those of then: counts, times, roles and what was known of the person stay as they were. Only what
is proposed changes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.policy.decision import AgreementFacts, DecisionInputs
from gateway.policy.engine import PolicyEngine
from gateway.policy.errors import PolicyInvalid
from gateway.policy.past import PastDecision, Told, told_of
from gateway.wire.contracts import NO_RECORD

TextsOf = Callable[[str], Mapping[str, Any] | None]
"""Returns the texts of the policies with this digest, or None when they were not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is proposed: policies (perhaps those of today), and versions of agreements in place of recorded ones."""

    engine: PolicyEngine
    agreements: Sequence[AgreementFacts] = ()

    def inputs(self, inputs: DecisionInputs) -> DecisionInputs:
        """Return the facts of then, with the agreement that would have stood behind them."""
        for proposed in self.agreements:
            if _stands_behind(proposed, inputs):
                request = inputs.request
                known = tuple(dict.fromkeys((*request.service_fields, *proposed.fields)))
                return replace(
                    inputs,
                    agreement=_in_place_of(inputs.agreement, proposed),
                    request=replace(request, service_fields=known if request.service_fields else ()),
                )
        return inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A past decision that would be another: what was told of it, and what would be."""

    past: PastDecision
    before: Told
    after: Told

    @property
    def rules(self) -> tuple[str, ...]:
        """The codes that stand on one side alone."""
        return tuple(sorted(set(self.before.codes) ^ set(self.after.codes)))

    @property
    def tells_of_person(self) -> bool:
        """Whether it shows more of the person than was told then: that nothing about them stands against, or something.

        Of a refusal for another reason neither was told, so what it becomes without that reason shows it.
        """
        return NO_RECORD in self.after.codes or (bool(self.before.codes) and not self.after.codes)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a replay has met so far."""

    decisions: int = 0
    changed: int = 0
    about_people: int = 0
    """Of those, how many show something about the person."""
    unreadable: int = 0
    """Records that cannot be decided on again; never counted as the same."""
    by_agreement: Counter[str] = field(default_factory=Counter)
    by_rule: Counter[str] = field(default_factory=Counter)

    def to_document(self) -> dict[str, Any]:
        """Return the counts as plain JSON."""
        return {
            "decisions": self.decisions,
            "changed": self.changed,
            "about_people": self.about_people,
            "unreadable": self.unreadable,
            "by_agreement": dict(sorted(self.by_agreement.items())),
            "by_rule": dict(sorted(self.by_rule.items())),
        }


class Replay:
    """Replays decisions one after the other; holds counts and engines of the past, and no decision."""

    def __init__(self, proposal: Proposal, texts_of: TextsOf) -> None:
        self.tally = Tally()
        self._proposal = proposal
        self._texts_of = texts_of
        self._engines: dict[str, PolicyEngine | None] = {}

    def changes(self, past: Iterable[PastDecision]) -> Iterator[Change]:
        """Give the decisions that would be others, in the order of `past`."""
        tally = self.tally
        for one in past:
            tally.decisions += 1
            change = self._replayed(one)
            if change is None:
                continue
            tally.changed += 1
            tally.about_people += change.tells_of_person
            tally.by_agreement[one.agreement or "no agreement"] += 1
            tally.by_rule.update(change.rules)
            yield change

    def _replayed(self, past: PastDecision) -> Change | None:
        try:
            inputs = past.inputs()
        except (KeyError, TypeError, ValueError):
            self.tally.unreadable += 1
            return None
        before = past.told or self._told_then(past, inputs)
        if before is None:
            self.tally.unreadable += 1
            return None
        after = told_of(self._proposal.engine.decide(self._proposal.inputs(inputs)))
        return None if before == after else Change(past=past, before=before, after=after)

    def _told_then(self, past: PastDecision, inputs: DecisionInputs) -> Told | None:
        # How it ended does not say what was decided: the rules of then do.
        engine = self._engine_of(past.policy_digest)
        return told_of(engine.decide(inputs)) if engine is not None else None

    def _engine_of(self, digest: str) -> PolicyEngine | None:
        if digest == self._proposal.engine.digest:
            return self._proposal.engine
        if digest not in self._engines:
            texts = self._texts_of(digest)
            try:
                self._engines[digest] = PolicyEngine.from_texts(texts) if texts is not None else None
            except PolicyInvalid:
                self._engines[digest] = None
        return self._engines[digest]


def _stands_behind(proposed: AgreementFacts, inputs: DecisionInputs) -> bool:
    """Tell whether this agreement would have been the one that a request was judged by."""
    request, recorded = inputs.request, inputs.agreement
    if (proposed.consumer, proposed.service) != (inputs.caller.member, request.service):
        return False
    if recorded is None or recorded.id == proposed.id:
        return True
    # Another agreement of the same two: the one that covers the purpose is judged by.
    return request.purpose in proposed.purposes and request.purpose not in recorded.purposes


def _in_place_of(recorded: AgreementFacts | None, proposed: AgreementFacts) -> AgreementFacts:
    """Return the proposal in the place of a recorded version: as much in force, and from the same day on."""
    if recorded is None or recorded.id != proposed.id:
        return proposed
    return replace(
        proposed,
        status=recorded.status,
        consumer_signed=recorded.consumer_signed,
        provider_signed=recorded.provider_signed,
        # A new version begins later than what it is held against: it is judged as though it had been there.
        starts_on=min(recorded.starts_on, proposed.starts_on),
    )

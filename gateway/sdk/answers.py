"""What asking gives: an answer, a refusal, or an error that says why there is neither."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError, Kind
from gateway.wire.keys import Jwk
from gateway.wire.receipts import FailedRule, Receipt

if TYPE_CHECKING:
    from gateway.sdk.attachments import AttachedDocument


class NotAnswered(GatewayError):
    """The gateway turned the request away or could not answer; `code` is the problem's own code, `status` HTTP's."""

    kind = Kind.UPSTREAM
    code = "not_answered"
    title = "The gateway did not answer the question"

    def __init__(self, public: str, *, code: str, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(public)
        self.code = code
        self.status = status
        self.problem = dict(problem)

    @property
    def places(self) -> tuple[str, ...]:
        """What is wrong with the question, where the gateway says so: place and rule each, never a value."""
        return tuple(_places(self.problem.get("errors")))


def _places(problems: object, *path: str) -> Iterator[str]:
    # Of what the gateway names, members lead to members, and in the end to a list of sentences.
    if isinstance(problems, dict):
        for name, inner in problems.items():
            yield from _places(inner, *path, str(name))
    for sentence in problems if isinstance(problems, list) else ():
        yield f"{'.'.join(path)}: {sentence}"


class AnswerNotBelievable(GatewayError):
    """The answer failed a verification; nothing in it may be used."""

    kind = Kind.UPSTREAM
    code = "answer_not_believable"
    title = "The answer could not be verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A verified disclosure. `record` is the provider's SD-JWT and `receipt_jws` the receipt, both worth keeping.

    So is `checks`, the gateway's own SD-JWT, where the gateway computed some of the fields.
    """

    exchange: str
    fields: Mapping[str, Any] = field(repr=False)
    record: str = field(repr=False)
    receipt: Receipt
    receipt_jws: str = field(repr=False)
    verified: tuple[str, ...]
    """What was proved, one sentence each."""
    attachments: Mapping[str, "AttachedDocument"] = field(default_factory=dict)
    """Documents beside it, by the field that describes each: to be fetched within 15 minutes, once."""
    provider_jwk: Jwk | None = field(default=None, repr=False)
    """The provider's public key with which the record verified: the receipt names its thumbprint."""
    checks: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A verified refusal, with every rule that may be told."""

    exchange: str
    code: str
    rules: tuple[FailedRule, ...]
    receipt: Receipt
    receipt_jws: str = field(repr=False)
    verified: tuple[str, ...]

"""A kept answer opens with its Idempotency-Key and our secret together, in its own exchange, and not otherwise."""

from uuid import UUID

import pytest

from gateway.sharing.exchange.retry import RetryKeys

EXCHANGE = UUID("0193a5c0-7c00-7000-8000-00000000beef")
ANOTHER = UUID("0193a5c0-7c00-7000-8000-00000000dead")
OFFICER = UUID("0193a5c0-7c00-7000-8000-000000000001")
KEY = "6f1c6f1e-1d0f-4a63-a38f-4b9d7a2f0a11"
KEYS = RetryKeys(b"s" * 32)


def test_a_kept_answer_is_not_in_the_clear_and_opens_again() -> None:
    sealed = KEYS.seal(b"the record", exchange=EXCHANGE, idempotency_key=KEY)
    assert b"the record" not in sealed
    assert KEYS.unseal(sealed, exchange=EXCHANGE, idempotency_key=KEY) == b"the record"


def test_two_answers_sealed_alike_look_nothing_alike() -> None:
    one, two = (KEYS.seal(b"the record", exchange=EXCHANGE, idempotency_key=KEY) for _ in range(2))
    assert one[12:] != two[12:]


@pytest.mark.parametrize(
    ("keys", "exchange", "key"),
    [
        (RetryKeys(b"t" * 32), EXCHANGE, KEY),
        (KEYS, ANOTHER, KEY),
        (KEYS, EXCHANGE, KEY.replace("6", "7")),
    ],
    ids=["another secret", "another exchange", "another key"],
)
def test_nothing_else_opens_it(keys: RetryKeys, exchange: UUID, key: str) -> None:
    sealed = KEYS.seal(b"the record", exchange=EXCHANGE, idempotency_key=KEY)
    assert keys.unseal(sealed, exchange=exchange, idempotency_key=key) is None


def test_a_changed_answer_does_not_open() -> None:
    sealed = bytearray(KEYS.seal(b"the record", exchange=EXCHANGE, idempotency_key=KEY))
    sealed[-1] ^= 1
    assert KEYS.unseal(bytes(sealed), exchange=EXCHANGE, idempotency_key=KEY) is None


def test_a_key_counts_for_one_client_officer_and_target() -> None:
    scope = {"client_id": "portal", "officer": OFFICER, "target": "https://gateway.example/x", "idempotency_key": KEY}
    changes = (
        {"client_id": "another"},
        {"officer": None},
        {"target": "https://gateway.example/y"},
        {"idempotency_key": KEY.replace("6", "7")},
        # Where one part ends and the next begins is part of what is remembered.
        {"client_id": "portal\x00", "idempotency_key": KEY},
    )
    macs = [KEYS.scope_mac(**{**scope, **change}) for change in ({}, *changes)]  # type: ignore[arg-type]
    assert len(set(macs)) == len(macs)
    assert KEYS.scope_mac(**scope) == macs[0]  # type: ignore[arg-type]
    assert KEY.encode() not in b"".join(macs)

"""Every reason that a client can be given is explained to operators, in sentences."""

from __future__ import annotations

import pytest

from gateway.admin.reasons import MEANINGS
from gateway.admin.why import PICKS
from gateway.balance.picker import BALANCES
from gateway.errors import Reason


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_cause_and_its_cure(reason: Reason) -> None:
    meaning = MEANINGS[reason]
    assert meaning.cause.endswith(".")
    assert meaning.cure.endswith(".")
    assert meaning.cause != reason.sentence


def test_every_balance_is_explained() -> None:
    assert set(PICKS) == set(BALANCES)

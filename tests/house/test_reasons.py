"""Every reason that a client can be given is explained to operators, in sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.admin.reasons import MEANINGS
from gateway.admin.troubleshooting import render
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


def test_the_page_of_reasons_is_written_from_them() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "troubleshooting.md"
    assert page.read_text() == render(), "run: python -m gateway.admin.troubleshooting > docs/troubleshooting.md"

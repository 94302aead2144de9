"""Instances that were in use stay so for a while when an agent restarts and calls them critical unasked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from discovery.consul_sd.decode import Registration
from discovery.consul_sd.membership import Membership
from discovery.model import Instance, Standing

A = Registration("n1", Instance("10.0.0.1", 80, id="a"), ())
B = Registration("n1", Instance("10.0.0.2", 80, id="b"), ())
FAILED = replace(A, instance=replace(A.instance, standing=Standing.CRITICAL, detail="check 'web' is critical: 503"))


def unrun(registration: Registration) -> Registration:
    critical = replace(registration.instance, standing=Standing.CRITICAL, detail="check 'web' is critical")
    return replace(registration, instance=critical, without_unrun=registration.instance)


def state(members: Membership, now: float) -> str:
    """Each instance with its standing, `?` if it is provisional."""
    return " ".join(
        f"{each.instance.id}:{each.instance.standing}{'?' if each.instance.provisional else ''}"
        for each in members.current(now)
    )


@pytest.fixture
def members() -> Membership:
    members = Membership(30.0)
    members.apply([A], 0.0, is_unbroken=False)
    return members


def test_after_a_break_it_is_provisional_for_the_grace(members: Membership) -> None:
    members.apply([unrun(A)], 10.0, is_unbroken=False)
    assert state(members, 39.9) == "a:passing?"
    assert "have not run yet" in members.current(39.9)[0].instance.detail
    assert members.next_expiry() == 40.0
    assert state(members, 40.0) == "a:critical"
    assert members.next_expiry() == float("inf")


def test_servers_may_first_say_what_they_knew(members: Membership) -> None:
    members.apply([A], 10.0, is_unbroken=False)
    members.apply([unrun(A)], 10.5, is_unbroken=True)
    assert state(members, 11.0) == "a:passing?"


def test_in_an_unbroken_watch_it_is_critical_at_once(members: Membership) -> None:
    members.apply([unrun(A)], 10.0, is_unbroken=True)
    assert state(members, 10.0) == "a:critical"


def test_long_after_a_break_it_is_critical_at_once(members: Membership) -> None:
    members.apply([A], 10.0, is_unbroken=False)
    members.apply([unrun(A)], 40.0, is_unbroken=True)
    assert state(members, 40.0) == "a:critical"


@pytest.mark.parametrize(("verdict", "expected"), [(A, "a:passing"), (FAILED, "a:critical")])
def test_once_the_check_has_run_its_verdict_counts(members: Membership, verdict: Registration, expected: str) -> None:
    members.apply([unrun(A)], 10.0, is_unbroken=False)
    members.apply([verdict], 11.0, is_unbroken=True)
    assert state(members, 11.0) == expected
    assert members.next_expiry() == float("inf")


def test_a_check_that_has_failed_counts_at_once_after_a_break(members: Membership) -> None:
    members.apply([FAILED], 10.0, is_unbroken=False)
    assert state(members, 10.0) == "a:critical"


def test_one_that_was_critical_stays_so() -> None:
    members = Membership(30.0)
    members.apply([FAILED], 0.0, is_unbroken=False)
    members.apply([unrun(A)], 10.0, is_unbroken=False)
    assert state(members, 10.0) == "a:critical"


def test_a_new_one_is_not_admitted(members: Membership) -> None:
    members.apply([A, unrun(B)], 10.0, is_unbroken=False)
    members.apply([A, unrun(B)], 11.0, is_unbroken=False)
    assert state(members, 11.0) == "a:passing b:critical"


def test_neither_another_break_nor_another_answer_prolongs_the_grace(members: Membership) -> None:
    members.apply([unrun(A)], 10.0, is_unbroken=False)
    members.apply([unrun(A)], 20.0, is_unbroken=True)
    members.apply([unrun(A)], 30.0, is_unbroken=False)
    assert state(members, 40.0) == "a:critical"
    members.apply([unrun(A)], 41.0, is_unbroken=False)
    assert state(members, 41.0) == "a:critical"


def test_one_that_an_empty_agent_forgot_comes_back_with_the_rest_of_its_grace(members: Membership) -> None:
    members.apply([], 10.0, is_unbroken=False)
    members.apply([unrun(A)], 20.0, is_unbroken=True)
    assert state(members, 39.9) == "a:passing?"
    assert state(members, 40.0) == "a:critical"


def test_one_that_is_lost_before_its_check_has_run_goes_with_the_same_grace(members: Membership) -> None:
    members.apply([unrun(A)], 10.0, is_unbroken=False)
    members.apply([], 20.0, is_unbroken=False)
    assert state(members, 39.9) == "a:passing?"
    assert state(members, 40.0) == ""


def test_what_the_token_may_not_read_is_not_given_up_nor_let_in(members: Membership) -> None:
    members.apply([unrun(A), unrun(B)], 10.0, is_unbroken=False)
    members.is_held = True
    assert state(members, 1000.0) == "a:passing? b:critical"
    assert members.next_expiry() == float("inf")


def test_what_is_restored_was_in_use() -> None:
    members = Membership(30.0)
    members.restore([A])
    members.apply([unrun(A)], 5.0, is_unbroken=False)
    assert state(members, 5.0) == "a:passing?"

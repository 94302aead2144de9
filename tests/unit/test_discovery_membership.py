"""Removals count at once in an unbroken watch, and are provisional after a break."""

from __future__ import annotations

from dataclasses import replace

from discovery.consul_sd.decode import Registration
from discovery.consul_sd.membership import RESTORED, Membership
from discovery.model import Instance, Standing

A = Registration("n1", Instance("10.0.0.1", 80, id="a"), ("t",))
B = Registration("n1", Instance("10.0.0.2", 80, id="b"), ())
C = Registration("n1", Instance("10.0.0.3", 80, id="c"), ())


GONE = (
    "Consul does not list it since a break in the watch (agent restarted, no leader, unreachable); "
    "kept for 30 s from then while it passes probes"
)


def provisional(registration: Registration, detail: str = GONE) -> Registration:
    return replace(registration, instance=replace(registration.instance, provisional=True, detail=detail))


def known(*registrations: Registration, grace: float = 30.0) -> Membership:
    members = Membership(grace)
    members.apply(registrations, 0.0, is_unbroken=False)
    return members


def test_in_an_unbroken_watch_a_removal_counts_at_once() -> None:
    members = known(A, B)
    members.apply([B], 1.0, is_unbroken=True)
    assert members.current(1.0) == (B,)
    assert members.next_expiry() == float("inf")


def test_after_a_break_what_is_missing_is_provisional_for_the_grace() -> None:
    members = known(A, B)
    members.apply([], 10.0, is_unbroken=False)
    assert members.current(39.9) == (provisional(A), provisional(B))
    assert members.next_expiry() == 40.0
    assert members.current(40.0) == ()


def test_an_unbroken_answer_without_them_does_not_end_the_grace() -> None:
    members = known(A, B)
    members.apply([], 10.0, is_unbroken=False)
    members.apply([B], 11.0, is_unbroken=True)
    assert members.current(12.0) == (provisional(A), B)


def test_a_second_break_does_not_prolong_the_grace() -> None:
    members = known(A)
    members.apply([], 10.0, is_unbroken=False)
    members.apply([], 20.0, is_unbroken=False)
    assert members.current(40.0) == ()


def test_one_that_comes_back_is_no_longer_provisional() -> None:
    members = known(A)
    members.apply([], 10.0, is_unbroken=False)
    members.apply([A], 11.0, is_unbroken=True)
    assert members.current(11.0) == (A,)
    members.apply([], 42.0, is_unbroken=True)
    assert members.current(42.0) == ()


def test_additions_and_changes_count_at_once_after_a_break() -> None:
    members = known(A)
    changed = replace(A, instance=replace(A.instance, weight=9))
    members.apply([changed, B], 1.0, is_unbroken=False)
    assert members.current(1.0) == (changed, B)


def test_without_grace_nothing_is_kept() -> None:
    members = known(A, grace=0.0)
    members.apply([], 1.0, is_unbroken=False)
    assert members.current(1.0) == ()


def test_what_permissions_hide_is_not_gone() -> None:
    members = known(A)
    members.apply([B], 1.0, is_unbroken=True, is_filtered=True)
    assert members.current(99.0) == (A, B)


def test_what_the_token_may_not_read_is_not_given_up() -> None:
    members = known(A, B)
    members.apply([], 10.0, is_unbroken=False)
    members.is_held = True
    assert members.current(1000.0) == (provisional(A), provisional(B))
    assert members.next_expiry() == float("inf")


def test_an_answer_that_lists_nothing_or_hides_something_is_not_complete() -> None:
    members = known(A, B)
    complete = [members.is_complete, known().is_complete]
    for answer in ([A], [A, B]):
        members.apply(answer, 1.0, is_unbroken=True, is_filtered=True)
        complete.append(members.is_complete)
    assert complete == [True, False, False, True]


def test_soon_after_a_break_the_loss_of_most_is_not_believed_even_of_an_unbroken_watch() -> None:
    members = known(A, B, C)
    members.apply([A, B, C], 10.0, is_unbroken=False)
    members.apply([A], 11.0, is_unbroken=True)
    assert members.current(11.0) == (A, provisional(B), provisional(C))
    members.apply([B], 12.0, is_unbroken=True)
    assert members.current(12.0) == (provisional(A), B, provisional(C))
    assert members.next_expiry() == 41.0


def test_soon_after_a_break_the_loss_of_a_few_counts_at_once() -> None:
    members = known(A, B, C)
    members.apply([A, B, C], 10.0, is_unbroken=False)
    members.apply([A, B], 11.0, is_unbroken=True)
    assert members.current(11.0) == (A, B)
    members.apply([A], 12.0, is_unbroken=True)
    assert members.current(12.0) == (A,)


def test_long_after_a_break_and_with_nothing_before_it_every_loss_counts_at_once() -> None:
    members = known(A, B, C)
    members.apply([A], 1.0, is_unbroken=True)  # its first answer was no break
    assert members.current(1.0) == (A,)
    members.apply([A, B, C], 10.0, is_unbroken=False)
    members.apply([], 40.0, is_unbroken=True)
    assert members.current(40.0) == ()


def test_what_is_restored_is_provisional_until_the_first_answer() -> None:
    members = Membership(30.0)
    members.restore([A, B])
    assert members.current(1e9) == (provisional(A, RESTORED), provisional(B, RESTORED))
    members.apply([A], 5.0, is_unbroken=False)
    assert members.current(5.0) == (A, provisional(B))
    assert members.next_expiry() == 35.0


def test_an_instance_that_was_critical_keeps_that_as_its_reason() -> None:
    critical = replace(A, instance=replace(A.instance, standing=Standing.CRITICAL, detail="on fire"))
    members = Membership(30.0)
    members.restore([critical])
    (kept,) = members.current(0.0)
    assert (kept.instance.provisional, kept.instance.detail) == (True, "on fire")

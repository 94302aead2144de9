"""Who decided a transition, and how long an instance that left is remembered."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.snapshot.model import Standby
from gateway.snapshot.resolve import TABLE, Resolved
from gateway.supervisor.history import CAUSES, FELL, KEPT, MOST_KEPT, WELL, Archive, Who, cause, is_flap
from healthcheck.model import Target

ONE = Target("web", "10.0.0.1:80")


def at(row: Standby, standby: Standby | None = None) -> Resolved:
    return Resolved(eligible=False, standby=row if standby is None else standby, weight=1.0, row=row)


@pytest.mark.parametrize(
    ("before", "after", "who", "reason"),
    [
        (Standby.ELIGIBLE, Standby.UNHEALTHY, Who.PROBE, "probes_failed"),
        (Standby.UNHEALTHY, Standby.ELIGIBLE, Who.PROBE, "probes_passed"),
        (Standby.NOT_PROBED, Standby.ELIGIBLE, Who.PROBE, "probed"),
        (Standby.UNHEALTHY, Standby.CRITICAL, Who.CONSUL, "check_critical"),
        (Standby.CRITICAL, Standby.UNHEALTHY, Who.CONSUL, "check_passing"),
        (Standby.CRITICAL, Standby.MAINTENANCE, Who.CONSUL, "maintenance_begun"),
        (Standby.MAINTENANCE, Standby.DRAINING, Who.CONSUL, "maintenance_over"),
        (Standby.EJECTED, Standby.DRAINING, Who.OPERATOR, "drained"),
        (Standby.DRAINING, Standby.UNHEALTHY, Who.OPERATOR, "undrained"),
        (Standby.EJECTED, Standby.UNHEALTHY, Who.PROBE, "probes_failed"),
        (Standby.UNHEALTHY, Standby.EJECTED, Who.PROBE, "probes_passed"),
        (Standby.EJECTED, Standby.HELD, Who.OUTLIER, "ejection_over"),
        (Standby.HELD, Standby.ELIGIBLE, Who.DAMPING, "hold_over"),
        (Standby.ELIGIBLE, Standby.PROVISIONAL, None, "unlisted"),
        (Standby.ZERO_WEIGHT, Standby.ELIGIBLE, None, "weight_given"),
    ],
)
def test_the_owner_of_the_higher_row_decided(before: Standby, after: Standby, who: Who | None, reason: str) -> None:
    made_by = cause(at(before), at(after))
    assert (made_by.who, made_by.slug) == (who, reason)


def test_every_pair_of_rows_has_a_cause() -> None:
    rows = [row for row, _ in TABLE]
    assert set(CAUSES) == {*rows} - {Standby.ELIGIBLE}
    slugs = {cause(at(one), at(other)).slug for one, other in product(rows, rows) if one is not other}
    assert slugs == {slug for _, *both in CAUSES.values() for slug in both}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (at(Standby.UNHEALTHY), at(Standby.UNHEALTHY, Standby.FAIL_OPEN), "fails_open"),
        (at(Standby.UNHEALTHY, Standby.FAIL_OPEN), at(Standby.UNHEALTHY), "fails_open_no_more"),
        (at(Standby.EJECTED), at(Standby.EJECTED, Standby.ELIGIBLE), "over_cap"),
        (at(Standby.HELD, Standby.ELIGIBLE), at(Standby.HELD), "within_cap"),
        (at(Standby.ELIGIBLE), at(Standby.ELIGIBLE, Standby.RESERVE), "in_reserve"),
        (at(Standby.ELIGIBLE, Standby.RESERVE), at(Standby.ELIGIBLE), "out_of_reserve"),
    ],
)
def test_what_the_others_made_necessary_is_the_gateways(before: Resolved, after: Resolved, reason: str) -> None:
    made_by = cause(before, after)
    assert (made_by.who, made_by.slug) == (Who.GATEWAY, reason)


def test_who_fails_open_and_recovers_owes_it_to_the_probes() -> None:
    assert cause(at(Standby.UNHEALTHY, Standby.FAIL_OPEN), at(Standby.ELIGIBLE)).who is Who.PROBE


def test_a_flap_is_a_fall_of_what_was_well() -> None:
    for before, after in product(Standby, Standby):
        assert is_flap(before, after) is (before in WELL and after in FELL)
    assert not is_flap(Standby.NOT_PROBED, Standby.UNHEALTHY)
    assert not is_flap(Standby.CRITICAL, Standby.UNHEALTHY)
    assert not is_flap(Standby.ELIGIBLE, Standby.MAINTENANCE)


def test_an_instance_that_returns_in_time_has_its_past_back_once() -> None:
    archive = Archive()
    past = archive.take(ONE, 0.0)
    past.flaps = 3
    archive.keep(ONE, past, 10.0)
    assert archive.take(ONE, 10.0 + KEPT) is past
    assert archive.take(ONE, 10.0 + KEPT).flaps == 0


def test_after_long_it_is_forgotten() -> None:
    archive = Archive()
    past = archive.take(ONE, 0.0)
    archive.keep(ONE, past, 10.0)
    assert archive.take(ONE, 10.1 + KEPT) is not past


def test_the_archive_is_bounded_and_forgets_the_oldest() -> None:
    archive = Archive()
    targets = [Target("web", f"10.0.0.1:{port}") for port in range(MOST_KEPT + 1)]
    pasts = {target: archive.take(target, 0.0) for target in targets}
    for target in targets:
        archive.keep(target, pasts[target], 1.0)
    assert archive.take(targets[0], 2.0) is not pasts[targets[0]]
    assert archive.take(targets[1], 2.0) is pasts[targets[1]]

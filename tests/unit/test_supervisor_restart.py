"""The rules of `gateway.supervisor.restart`: when a worker is started again, when the gateway gives up."""

from __future__ import annotations

import signal

import pytest

from gateway.control import EXIT_CANNOT_BOOT
from gateway.supervisor.restart import Halt, Patience, Restart, RestartPolicy, describe_exit

SECOND = 1_000_000_000


def live(policy: RestartPolicy, worker: int, start: float, end: float, *, code: int = 1, ready: bool = True) -> object:
    policy.on_start(worker, start)
    if ready:
        policy.on_ready(worker)
    return policy.on_death(worker, code, end)


def test_the_first_death_is_followed_by_an_immediate_restart() -> None:
    assert live(RestartPolicy(), 0, 0.0, 1.0) == Restart(0.0)


@pytest.mark.parametrize(
    ("ready", "delays"),
    [
        (False, (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0)),
        (True, (0.0, 0.1, 0.2, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4)),
    ],
)
def test_deaths_in_a_row_wait_longer_and_longer(ready: bool, delays: tuple[float, ...]) -> None:
    policy = RestartPolicy()
    lives = [live(policy, 0, 3.0 * n, 3.0 * n + 2.5, ready=ready) for n in range(9)]
    assert lives == [Restart(delay) for delay in delays]


def test_ten_seconds_of_life_forget_earlier_deaths() -> None:
    policy = RestartPolicy()
    for n in range(4):
        live(policy, 0, float(n), n + 1.0)
    assert live(policy, 0, 10.0, 20.0) == Restart(0.0)
    assert live(policy, 0, 20.0, 21.0) == Restart(0.0)
    assert live(policy, 0, 21.0, 22.0) == Restart(0.1)


def test_each_worker_has_its_own_delay() -> None:
    policy = RestartPolicy()
    live(policy, 0, 0.0, 1.0)
    live(policy, 0, 1.0, 2.0)
    assert live(policy, 1, 2.0, 3.0) == Restart(0.0)


def test_a_worker_that_cannot_boot_halts_and_the_message_says_where_to_look() -> None:
    decision = live(RestartPolicy(), 2, 0.0, 0.3, code=EXIT_CANNOT_BOOT, ready=False)
    assert isinstance(decision, Halt)
    assert "worker 2 cannot start (exit code 3)" in decision.message
    assert "standard error" in decision.message


def test_a_slot_that_served_before_is_tried_again_even_if_it_cannot_boot() -> None:
    policy = RestartPolicy()
    live(policy, 0, 0.0, 60.0)
    assert live(policy, 0, 60.0, 60.3, code=EXIT_CANNOT_BOOT, ready=False) == Restart(0.0)


def test_more_than_five_deaths_before_ready_over_all_workers_halt() -> None:
    policy = RestartPolicy()
    decisions = [live(policy, n % 2, n * 0.1, n * 0.1 + 0.05, code=-signal.SIGSEGV, ready=False) for n in range(6)]
    assert all(isinstance(decision, Restart) for decision in decisions[:5])
    assert isinstance(decisions[5], Halt)
    assert "6 times in a row" in decisions[5].message
    assert "SIGSEGV" in decisions[5].message


def test_slow_deaths_are_no_loop() -> None:
    policy = RestartPolicy()
    decisions = [live(policy, 0, n * 3.0, n * 3.0 + 1, ready=False) for n in range(12)]
    assert all(isinstance(decision, Restart) for decision in decisions)


def test_a_ready_worker_ends_the_row() -> None:
    policy = RestartPolicy()
    for n in range(5):
        live(policy, 0, n * 0.1, n * 0.1 + 0.05, ready=False)
    live(policy, 1, 1.0, 1.1)
    assert live(policy, 0, 1.2, 1.3, ready=False) == Restart(1.6)


def test_a_gateway_that_still_serves_is_not_halted() -> None:
    policy = RestartPolicy()
    policy.on_start(1, 0.0)
    policy.on_ready(1)
    decisions = [live(policy, 0, n * 0.1, n * 0.1 + 0.05, ready=False) for n in range(20)]
    assert all(isinstance(decision, Restart) for decision in decisions)


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-signal.SIGKILL, "killed by SIGKILL (out of memory?)"),
        (-signal.SIGABRT, "killed by SIGABRT"),
        (-200, "killed by signal 200"),
    ],
)
def test_an_exit_is_described_in_plain_words(returncode: int, words: str) -> None:
    assert describe_exit(returncode) == words


@pytest.mark.parametrize(
    ("now", "heartbeat", "started", "excused", "is_over"),
    [
        (100, 99, 50, 0, False),
        (100, 89, 50, 0, True),
        (100, 89, 50, 95, False),  # the supervisor itself was starved until 95
        (100, 0, 75, 0, False),  # booting
        (100, 0, 65, 0, True),
        (100, 60, 75, 0, False),  # the heartbeat of the process before
    ],
)
def test_patience_ends_with_a_stale_heartbeat(
    now: int, heartbeat: int, started: int, excused: int, is_over: bool
) -> None:
    assert (
        Patience().is_over(
            now_ns=now * SECOND,
            heartbeat_ns=heartbeat * SECOND,
            started_ns=started * SECOND,
            excused_ns=excused * SECOND,
        )
        is is_over
    )


def test_a_worker_that_the_gateway_killed_did_not_run_out_of_memory() -> None:
    assert describe_exit(-signal.SIGKILL, is_ours=True) == "killed by SIGKILL"

"""`gateway.supervisor.notify`: messages on a real datagram socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.supervisor.notify import Notifier
from tests.systemd import NotifySocket

PID = 4242


def test_without_systemd_nothing_is_said_and_nothing_fails() -> None:
    notifier = Notifier({}, PID)
    notifier.ready("2 workers")
    assert notifier.watchdog_interval == 0.0


def test_a_status_is_said_when_it_is_another_one(tmp_path: Path) -> None:
    with NotifySocket(tmp_path) as told:
        notifier = Notifier(told.environment, PID)
        notifier.ready("fine")
        notifier.status("fine")
        notifier.status("not ready")
        notifier.main_pid(17)
        assert [told.next() for _ in range(3)] == [
            {"READY": "1", "STATUS": "fine"},
            {"STATUS": "not ready"},
            {"MAINPID": "17"},
        ]


@pytest.mark.parametrize(("watched", "interval"), [(None, 1.5), (str(PID), 1.5), ("1", 0.0)])
def test_the_watchdog_watches_whom_it_names(watched: str | None, interval: float) -> None:
    environ = {"WATCHDOG_USEC": "3000000"} | ({"WATCHDOG_PID": watched} if watched else {})
    assert Notifier(environ, PID).watchdog_interval == interval
    assert environ == {"WATCHDOG_USEC": "3000000"}  # whoever takes over is watched in its place


def test_a_socket_that_is_gone_disturbs_nobody(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}, PID).ready("fine")

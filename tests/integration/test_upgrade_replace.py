"""`gw up --replace` beside a gateway under load: every request is answered, and what was known stays known."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, is_running, replace_gateway, start_gateway
from tests.loads import start_load, tell


class StatusClient:
    """Asks for the status and for /ready all the time, on a new connection each."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.failures: list[str] = []
        self.answers = 0
        self._gateway = gateway
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> StatusClient:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            try:
                assert self._gateway.status()["ready"]
                assert self._gateway.get("/ready").status == 200
                self.answers += 1
            except (OSError, HTTPException, ValueError, AssertionError) as error:
                self.failures.append(repr(error))


def test_no_request_fails_old_connections_and_new_ones_get_and_post_and_status(tmp_path: Path) -> None:
    with ExitStack() as stack:
        backends = [stack.enter_context(start_backend(name, latency=0.05)) for name in ("one", "two")]
        config = one_service(*(each.url for each in backends))
        old = stack.enter_context(start_gateway(tmp_path, config))
        old.wait_until(lambda: len(old.eligible()) == 2)
        pids = old.worker_pids()
        closing = (("Connection", "close"),)
        loads = [
            stack.enter_context(start_load(old.listen, connections=4)),
            stack.enter_context(start_load(old.listen, connections=2, headers=closing)),
            stack.enter_context(start_load(old.listen, connections=2, method="POST", body=20_000)),
        ]
        status = stack.enter_context(StatusClient(old))
        for load in loads:
            load.wait_for(20)
        new = stack.enter_context(replace_gateway(old, config))
        assert old.process.wait(20) == 0
        for load in loads:
            load.wait_for(20)
        reports = [load.stop() for load in loads]
        answers = status.answers
        new.wait_until(lambda: status.answers > answers)
        status.stop()
        assert not set(new.worker_pids()) & set(pids)
        assert not any(map(is_running, pids))
    for report in reports:
        tell("load", report.summary())
        assert report.failures == ()
    assert status.failures == []


def test_health_history_and_drains_are_known_from_the_start(tmp_path: Path) -> None:
    with ExitStack() as stack:
        one, two, three = (stack.enter_context(start_backend(name)) for name in ("one", "two", "three"))
        config = one_service(one.url, two.url, three.url, health="interval = 30\nunhealthy_threshold = 1")
        old = stack.enter_context(start_gateway(tmp_path, config))
        old.wait_until(lambda: len(old.eligible()) == 3)
        assert old.cli("drain", "users", two.address).returncode == 0
        before = old.instance(one.address)
        one.set_health(503)  # nobody looks before half a minute has passed but a gateway that knows nothing
        new = stack.enter_context(replace_gateway(old, config))
        assert old.process.wait(20) == 0
        new.wait_until(lambda: new.instance(two.address)["reason"] == "draining")
        transitions = new.events("instance transition")
        after = new.instance(one.address)
        assert after["history"][: len(before["history"])] == before["history"]
        assert [each["to"] for each in before["history"]] == ["not_probed", "eligible"]
        assert new.instance(two.address)["history"][-1]["who"] == "operator"
        assert new.instance(three.address)["eligible"]
        assert not transitions or ([each["instance"] for each in transitions], after["reason"]) == (
            [one.address],
            "unhealthy",
        )
        assert new.cli("undrain", "users", two.address).returncode == 0
        new.wait_until(lambda: new.instance(two.address)["eligible"])

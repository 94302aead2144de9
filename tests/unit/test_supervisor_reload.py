"""`gateway.supervisor.reload`: requests share loads, the last one is never lost, a bad file changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import trio

from gateway.admin.facts import ReloadError
from gateway.config.load import ConfigError, Loaded, load
from gateway.supervisor.reload import Reloader

LOADED = load(None, environ={})


class Loads:
    """Loads that wait to be let go, and what was applied."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = threading.Semaphore(0)
        self.applied: list[int] = []
        self.problems: list[str] = []
        self.told: list[str] = []  # "begin", and what `on_end` was told
        self.reloader = Reloader(self.load, self.apply, lambda: self.told.append("begin"), self.told.append)

    def load(self) -> Loaded:
        self.begun += 1
        assert self.go.acquire(timeout=10)
        if self.problems:
            raise ConfigError(self.problems)
        return LOADED

    def apply(self, loaded: Loaded) -> tuple[str, ...]:
        self.applied.append(self.begun)
        return ("gateway.listen",)


async def wait_until(claim: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not claim():
            await trio.sleep(0.001)


async def test_how_reloads_went_is_known(nursery: trio.Nursery) -> None:
    loads = Loads()
    first = loads.reloader.facts
    assert (first.succeeded, first.failed, first.is_last_good) == (0, 0, True)
    nursery.start_soon(loads.reloader.run)
    loads.go.release()
    await loads.reloader.reload()
    good = loads.reloader.facts
    assert (good.succeeded, good.failed, good.is_last_good) == (1, 0, True)
    assert good.last_success > first.last_success
    loads.problems = ["gateway.toml: no"]
    loads.go.release()
    with pytest.raises(ReloadError):
        await loads.reloader.reload()
    bad = loads.reloader.facts
    assert (bad.succeeded, bad.failed, bad.is_last_good, bad.last_success) == (1, 1, False, good.last_success)


async def test_a_reload_answers_what_needs_a_restart(nursery: trio.Nursery) -> None:
    loads = Loads()
    loads.go.release()
    nursery.start_soon(loads.reloader.run)
    assert await loads.reloader.reload() == ("gateway.listen",)
    assert loads.applied == [1]
    assert loads.told == ["begin", ""]


async def test_requests_during_a_load_share_one_more(nursery: trio.Nursery) -> None:
    loads = Loads()
    nursery.start_soon(loads.reloader.run)
    loads.reloader.request()
    await wait_until(lambda: loads.begun == 1)
    for _ in range(5):
        loads.reloader.request()
    loads.go.release(3)
    await wait_until(lambda: len(loads.applied) == 2)
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert loads.applied == [1, 2]


async def test_who_asks_during_a_load_is_answered_by_the_next_one(nursery: trio.Nursery) -> None:
    loads = Loads()
    nursery.start_soon(loads.reloader.run)
    loads.reloader.request()
    await wait_until(lambda: loads.begun == 1)
    seen: list[int] = []

    async def ask() -> None:
        await loads.reloader.reload()
        seen.append(loads.begun)

    nursery.start_soon(ask)
    await trio.testing.wait_all_tasks_blocked()
    loads.go.release(2)
    await wait_until(lambda: bool(seen))
    assert seen == [2]


async def test_a_bad_file_changes_nothing_and_names_every_problem(nursery: trio.Nursery) -> None:
    loads = Loads()
    loads.problems = ["gateway.toml: routes[0].path: must begin with /", "gateway.toml: workers: must be a number"]
    loads.go.release(2)
    nursery.start_soon(loads.reloader.run)
    with pytest.raises(ReloadError) as caught:
        await loads.reloader.reload()
    assert list(caught.value.problems) == loads.problems
    assert loads.applied == []
    loads.problems = []
    assert await loads.reloader.reload() == ("gateway.listen",)


async def test_whoever_leaves_before_the_answer_disturbs_nobody(nursery: trio.Nursery) -> None:
    loads = Loads()
    nursery.start_soon(loads.reloader.run)
    with trio.move_on_after(0.01):
        await loads.reloader.reload()
    loads.go.release(2)
    assert await loads.reloader.reload() == ("gateway.listen",)

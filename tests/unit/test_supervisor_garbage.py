"""What refers to itself goes within a second if it is new, within a minute or an hour if it is older."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from gateway.supervisor.garbage import HOUR, MINUTE, PERIOD, collect_garbage


class Loop:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    assert gc.isenabled()


async def test_what_is_new_goes_with_the_next_pass(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect_garbage)
        await trio.sleep(PERIOD / 2)
        assert not gc.isenabled(), "no pass in the middle of something"
        gone = weakref.ref(Loop())
        assert gone() is not None
        await trio.sleep(PERIOD)
        assert gone() is None
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("age", "passes"), [(PERIOD, MINUTE), (PERIOD * MINUTE, HOUR)])
async def test_what_has_survived_goes_with_a_later_pass(
    autojump_clock: trio.testing.MockClock, age: float, passes: int
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect_garbage)
        await trio.sleep(PERIOD / 2)
        lives = Loop()
        gone = weakref.ref(lives)
        await trio.sleep(age)
        del lives
        await trio.sleep(PERIOD)
        assert gone() is not None, "it was not looked at again so soon"
        await trio.sleep(PERIOD * passes)
        assert gone() is None
        nursery.cancel_scope.cancel()

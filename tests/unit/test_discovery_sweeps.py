"""When everything is asked for: after a write that nobody explains, and late after one that was explained."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from discovery.consul_sd.sweeps import EXPLAIN_WAIT, LATE_SWEEP, SWEEP_INTERVAL, Sweeps


class Swept:
    """Sweeps that note when they happen."""

    def __init__(self) -> None:
        self.at = list[float]()
        self.sweeps = Sweeps(self._sweep)

    async def _sweep(self) -> None:
        self.at.append(trio.current_time())


@pytest.fixture
async def swept(nursery: trio.Nursery) -> Swept:
    swept = Swept()
    nursery.start_soon(swept.sweeps.run)
    return swept


async def test_a_write_that_a_check_tells_of_as_well_sweeps_nothing_until_late(
    swept: Swept, autojump_clock: MockClock
) -> None:
    began = trio.current_time()
    for index in range(7, 13):
        swept.sweeps.explain(index)  # by a check, before or...
        swept.sweeps.wrote(index)
        await trio.sleep(0.4 * EXPLAIN_WAIT)
        swept.sweeps.wrote(100 + index)
        swept.sweeps.explain(100 + index)  # ...after the catalog
        await trio.sleep(0.4 * EXPLAIN_WAIT)
    await trio.sleep(LATE_SWEEP - 0.1 - (trio.current_time() - began))
    assert swept.at == []
    await trio.sleep(0.2)
    assert swept.at == [pytest.approx(began + LATE_SWEEP)]  # what may hide behind the first of them
    await trio.sleep(10 * LATE_SWEEP)
    assert len(swept.at) == 1


async def test_a_write_that_nobody_explains_sweeps_soon_but_not_often(swept: Swept, autojump_clock: MockClock) -> None:
    began = trio.current_time()
    swept.sweeps.wrote(7)
    await trio.sleep(EXPLAIN_WAIT + 0.1)
    assert swept.at == [pytest.approx(began + EXPLAIN_WAIT)]
    for index in range(8, 12):
        swept.sweeps.wrote(index)
        await trio.sleep(0.1)
    await trio.sleep(2 * SWEEP_INTERVAL)
    assert len(swept.at) == 2
    assert swept.at[1] - swept.at[0] >= SWEEP_INTERVAL


async def test_an_index_from_before_a_restart_explains_nothing(swept: Swept, autojump_clock: MockClock) -> None:
    swept.sweeps.explain(7)
    swept.sweeps.forget()
    swept.sweeps.wrote(7)
    await trio.sleep(EXPLAIN_WAIT + 0.1)
    assert len(swept.at) == 1


async def test_a_demand_is_met_at_once(swept: Swept, autojump_clock: MockClock) -> None:
    began = trio.current_time()
    swept.sweeps.demand()
    await trio.sleep(0.1)
    assert swept.at == [pytest.approx(began)]

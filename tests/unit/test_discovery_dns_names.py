"""Names are asked for again when their answers have lived, and an answer of nothing is weighed."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from discovery.dns_sd.names import GRACE, RETRY, Names
from discovery.dns_sd.resolver import Found, LookupFailed


class Lookup:
    """What the next questions are answered, and when they were asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Found[str] | LookupFailed] = {}
        self.asked: list[float] = []

    async def __call__(self, name: str) -> Found[str]:
        await trio.lowlevel.checkpoint()
        self.asked.append(trio.current_time())
        answer = self.answers[name]
        if isinstance(answer, LookupFailed):
            raise answer
        return answer


@pytest.fixture
def lookup() -> Lookup:
    return Lookup()


@pytest.fixture
async def names(lookup: Lookup, nursery: trio.Nursery) -> Names[str]:
    found = Names(lookup, lambda: None)
    nursery.start_soon(found.run)
    await trio.testing.wait_all_tasks_blocked()
    return found


async def test_an_answer_is_used_for_its_time(lookup: Lookup, names: Names[str], autojump_clock: MockClock) -> None:
    lookup.answers["web"] = Found(("10.0.0.2", "10.0.0.1"), 5.0)
    names.want(["web"])
    assert names.is_pending("web")
    await trio.sleep(1)
    assert names.values("web") == ("10.0.0.2", "10.0.0.1")
    lookup.answers["web"] = Found(("10.0.0.1", "10.0.0.2"), 7.0)
    await trio.sleep(5)
    assert names.values("web") == ("10.0.0.2", "10.0.0.1")  # another order is no change
    lookup.answers["web"] = Found(("10.0.0.3",), 5.0)
    await trio.sleep(7)
    assert names.values("web") == ("10.0.0.3",)
    first, second, third = lookup.asked
    assert (second - first, third - second) == pytest.approx((5.0, 7.0))


async def test_a_question_that_fails_keeps_the_last_answer(
    lookup: Lookup, names: Names[str], autojump_clock: MockClock
) -> None:
    lookup.answers["web"] = Found(("10.0.0.1",), 1.0)
    names.want(["web"])
    await trio.sleep(0.5)
    lookup.answers["web"] = LookupFailed("cannot be resolved: no")
    await trio.sleep(100)
    assert names.values("web") == ("10.0.0.1",)
    assert names.error() == "web: cannot be resolved: no"
    assert lookup.asked[-1] - lookup.asked[-2] == pytest.approx(RETRY)
    lookup.answers["web"] = Found(("10.0.0.1",), 1.0)
    await trio.sleep(RETRY)
    assert names.error() == ""


async def test_an_answer_of_nothing_counts_at_once(
    lookup: Lookup, names: Names[str], autojump_clock: MockClock
) -> None:
    lookup.answers["web"] = Found(("10.0.0.1",), 1.0)
    names.want(["web"])
    await trio.sleep(0.5)
    lookup.answers["web"] = Found((), 1.0)
    await trio.sleep(1)
    assert names.values("web") == ()
    assert (names.error(), names.note()) == ("", "web: no such name")


async def test_an_answer_of_nothing_after_failures_is_doubtful_for_the_grace(
    lookup: Lookup, names: Names[str], autojump_clock: MockClock
) -> None:
    lookup.answers["web"] = Found(("10.0.0.1",), 1.0)
    names.want(["web"])
    await trio.sleep(0.5)
    lookup.answers["web"] = LookupFailed("no")
    await trio.sleep(5)
    assert not names.is_doubtful("web")
    lookup.answers["web"] = Found((), 7.0)
    await trio.sleep(GRACE - 5)
    assert (names.values("web"), names.is_doubtful("web")) == (("10.0.0.1",), True)
    await trio.sleep(10)
    assert (names.values("web"), names.is_doubtful("web")) == ((), False)


async def test_one_that_comes_back_within_the_grace_is_not_doubtful(
    lookup: Lookup, names: Names[str], autojump_clock: MockClock
) -> None:
    lookup.answers["web"] = Found(("10.0.0.1",), 1.0)
    names.want(["web"])
    await trio.sleep(0.5)
    for answer in (LookupFailed("no"), Found((), 1.0), Found(("10.0.0.1",), 1.0)):
        lookup.answers["web"] = answer
        await trio.sleep(RETRY + 0.5)
    assert (names.values("web"), names.is_doubtful("web")) == (("10.0.0.1",), False)
    lookup.answers["web"] = Found((), 1.0)
    await trio.sleep(2)
    assert names.values("web") == ()


async def test_what_is_no_longer_wanted_is_forgotten(
    lookup: Lookup, names: Names[str], autojump_clock: MockClock
) -> None:
    lookup.answers |= {"a": Found(("10.0.0.1",), 1.0), "b": LookupFailed("no")}
    names.want(["a", "b"])
    await trio.sleep(0.5)
    assert not names.is_answered("b")
    names.want(["a"])
    assert names.error() == ""
    count = len(lookup.asked)
    await trio.sleep(10)
    assert len(lookup.asked) - count <= 11  # of "a" alone

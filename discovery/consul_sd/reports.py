"""How the watches of a source fare, told to all who must know: how fresh it is, and what the token may not see."""

from __future__ import annotations

from collections.abc import Callable

import trio

from discovery.consul_sd.client import Reply
from discovery.consul_sd.errors import ConsulError
from discovery.consul_sd.freshness import Freshness
from discovery.consul_sd.rights import Rights
from discovery.source import Emit

CONTACT_LIMIT = 10.0  # seconds without word from the leader before its data count as stale
STATE_PAUSE = 0.05  # seconds between two states, at least


class Reports:
    """Takes what watches tell of themselves, by their keys, and emits the state of the source."""

    def __init__(
        self, freshness: Freshness, rights: Rights, *, note: Callable[[], str], clock: Callable[[], float]
    ) -> None:
        """`note` says what a person should know though all answers are good; `clock` gives Unix time."""
        self._freshness = freshness
        self._rights = rights
        self._note = note
        self._clock = clock
        self._has_news = trio.Event()

    def add(self, key: str) -> None:
        """A watch begins."""
        self._freshness.add(key)

    def drop(self, key: str) -> None:
        """A watch is no longer wanted."""
        self._freshness.drop(key)
        self._rights.forget(key)
        self.publish()

    def succeeded(self, key: str, reply: Reply, *, is_doubtful: bool = False) -> None:
        """It has an answer; `is_doubtful`: there may be more, which the token hides."""
        self._freshness.succeeded(key, self._clock(), doubt=_doubt(reply))
        self._rights.succeeded(key, is_doubtful=is_doubtful)
        self.publish()

    def failed(self, key: str, error: ConsulError) -> None:
        """It has none."""
        self._freshness.failed(key, self._clock(), str(error))
        self._rights.failed(key, error)
        self.publish()

    def publish(self) -> None:
        """The state may be another."""
        self._has_news.set()

    async def run(self, emit: Emit) -> None:
        """Emits states until cancelled; not one with every answer: hundreds may come at once."""
        while True:
            await self._has_news.wait()
            self._has_news = trio.Event()
            state = self._freshness.state(self._note())
            if state is not None:
                emit(state)
            await trio.sleep(STATE_PAUSE)


def _doubt(reply: Reply) -> str:
    """Why an answer is used and yet not trusted; empty if it is."""
    if not reply.leader_known:
        return "Consul's servers have no leader: its data may be old"
    if reply.last_contact > CONTACT_LIMIT:
        return f"Consul's server has not heard of its leader for {reply.last_contact:.0f} s: its data may be old"
    return ""

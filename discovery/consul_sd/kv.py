"""The watch of a prefix in Consul's KV: its entries as one KeyAnswer, emitted on change only."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import trio

from discovery.consul_sd.client import ConsulClient, Reply
from discovery.consul_sd.decode import decode_keys
from discovery.consul_sd.entries import Entries
from discovery.consul_sd.errors import ConsulError
from discovery.consul_sd.saved import SavedKeys
from discovery.consul_sd.watch import Connect, watch
from discovery.source import Emit, KeyAnswer


class KeyWatch:
    """The watch of the prefix, with what it has emitted so far."""

    def __init__(
        self,
        prefix: str,
        *,
        source: str,
        grace: float,
        emit: Emit,
        on_success: Callable[[Reply], None],
        on_failure: Callable[[ConsulError], None],
    ) -> None:
        """`prefix` ends in "/"; `grace` in seconds."""
        self.prefix = prefix
        self.entries = Entries(grace)
        self._source = source
        self._emit = emit
        self._on_success = on_success
        self._on_failure = on_failure
        self._answer: KeyAnswer | None = None
        self._changed = trio.Event()

    async def run(self, connect: Connect, random: Random) -> None:
        """Watches until cancelled; what was emitted stays in force."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._expire)
            await watch(connect, self._query, self._on_reply, self._on_failure, random)

    @property
    def is_doubtful(self) -> bool:
        """May there be entries that the token hides?"""
        return self._answer is not None and not self.entries.is_complete

    def hold(self, is_held: bool) -> None:
        """Whether the token may not read the prefix."""
        self.entries.is_held = is_held
        self._changed.set()

    def withdraw(self) -> None:
        """The watch is over: takes back what the keys asked for."""
        if self._answer is not None and self._answer.entries:
            self._emit(KeyAnswer(self._source, self.prefix, ()))

    def saved(self) -> SavedKeys:
        """What is to outlive the gateway."""
        return SavedKeys.of(self.prefix, self.entries.current(trio.current_time()))

    def restore(self, saved: SavedKeys) -> None:
        """Before the first answer: goes on from what was known before, and emits it."""
        if saved.prefix == self.prefix:
            self.entries.restore(saved.decoded())
            self._publish()

    async def _query(self, client: ConsulClient, index: int) -> Reply:
        return await client.keys(self.prefix, index)

    def _on_reply(self, reply: Reply, is_unbroken: bool) -> None:
        is_sure = is_unbroken and not reply.is_repeat and not reply.is_filtered
        self.entries.apply(decode_keys(reply.data), trio.current_time(), is_unbroken=is_sure)
        self._publish()
        self._on_success(reply)

    def _publish(self) -> None:
        answer = KeyAnswer(self._source, self.prefix, self.entries.current(trio.current_time()))
        if answer != self._answer:
            self._answer = answer
            self._emit(answer)
        self._changed.set()

    async def _expire(self) -> None:
        """Gives up kept entries when their time is over."""
        while True:
            with trio.move_on_at(self.entries.next_expiry()):
                self._changed = trio.Event()
                await self._changed.wait()
                continue
            self._publish()

"""Asks for services over a few connections: first those of which a change has been seen, then the others.

A service is asked with the index of its own last answer where a change of it has been seen. A server that lags
behind then waits for the change instead of telling of the time before it, and the answer is unbroken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import NoReturn

import trio

from discovery.consul_sd.client import ConsulClient
from discovery.consul_sd.decode import DecodeError
from discovery.consul_sd.errors import ConsulError, Unreachable
from discovery.consul_sd.pacing import Backoff
from discovery.consul_sd.service import ServiceWatch
from discovery.consul_sd.watch import Connect

FETCHERS = 8
FETCH_WAIT = 1.0  # seconds that a server may take to learn of a change that another one told of


class Fetching:
    """Feeds the watches of services with answers to plain queries."""

    def __init__(
        self,
        services: Mapping[str, ServiceWatch],
        *,
        connect: Connect,
        random: Random,
        on_change: Callable[[int], None],
    ) -> None:
        """`connect` makes clients that wait `FETCH_WAIT`; `on_change` is told the index of every change that was asked
        for and known."""
        self._services = services
        self._connect = connect
        self._random = random
        self._on_change = on_change
        self._changed: dict[str, None] = {}  # to be asked, in this order...
        self._unsure: dict[str, None] = {}  # ...then these, of which no change has been seen
        self._has_work = trio.Event()

    def changed(self, service: str, index: int) -> None:
        """A change of it has been seen in an answer with this index."""
        each = self._services.get(service)
        if each is not None and each.index < index:  # else it is known: two watches may tell of one change
            self._changed[service] = None
            self._has_work.set()

    def unsure(self, service: str) -> None:
        """It may have changed."""
        self._unsure[service] = None
        self._has_work.set()

    async def run(self) -> None:
        """Asks until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(FETCHERS):
                nursery.start_soon(self._fetch_for_ever)

    async def _fetch_for_ever(self) -> NoReturn:
        backoff = Backoff(self._random)
        async with self._connect() as client:
            while True:
                while not (self._changed or self._unsure):
                    self._has_work = trio.Event()
                    await self._has_work.wait()
                is_change_seen = bool(self._changed)
                queue = self._changed or self._unsure
                name = next(iter(queue))
                self._changed.pop(name, None)
                self._unsure.pop(name, None)
                service = self._services.get(name)
                if service is None:
                    continue
                known = service.index
                try:
                    await self._fetch(client, service, known, known if is_change_seen else 0)
                except (ConsulError, DecodeError) as error:
                    service.on_error(error if isinstance(error, ConsulError) else Unreachable(f"Consul: {error}"))
                    await trio.sleep(backoff.delay())
                    self.unsure(name)
                else:
                    backoff.reset()

    async def _fetch(self, client: ConsulClient, service: ServiceWatch, known: int, index: int) -> None:
        """One query. `known` is the index of the last answer, 0 if that proves nothing; `index` is asked with."""
        reply = await client.health(service.service, index)
        if self._services.get(service.service) is not service:
            return  # dropped meanwhile
        if index:
            self._on_change(reply.index)
        is_unbroken = 0 < known == service.index and reply.index >= known
        service.on_reply(replace(reply, is_repeat=True) if reply.index == known else reply, is_unbroken)

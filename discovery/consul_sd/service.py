"""One service watched in Consul: its answers made into Answer and TaggedService, each emitted on change only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import trio

from discovery.consul_sd.client import ConsulClient, Reply
from discovery.consul_sd.decode import Registration, decode_health, unite
from discovery.consul_sd.errors import ConsulError
from discovery.consul_sd.membership import Membership
from discovery.consul_sd.saved import SavedService
from discovery.consul_sd.watch import Connect, watch
from discovery.dns_sd.names import Names, is_numeric
from discovery.dns_sd.resolver import Resolver
from discovery.health_tags import read_overrides
from discovery.model import Instance
from discovery.source import Answer, Emit, TaggedService
from discovery.tags import InstanceTags, read_tags

ROUTES_KEPT = 600.0  # seconds for which a service that is gone altogether keeps the routes of its tags


class ServiceWatch:
    """The watch of one service, with what it has emitted so far."""

    def __init__(
        self,
        service: str,
        *,
        source: str,
        grace: float,
        tag_prefixes: tuple[str, ...],
        resolver: Resolver,
        emit: Emit,
        on_success: Callable[[str, Reply], None],
        on_failure: Callable[[str, ConsulError], None],
        on_names: Callable[[], None],
        on_gone: Callable[[str], None],
    ) -> None:
        """`tag_prefixes` is empty if tags are none of our business. `on_gone` is called when routes that were
        kept for a service gone altogether have been given up; `on_names` when names were resolved or not."""
        self.service = service
        self.index = 0  # of the last answer, from which the next query may go on; 0: from nothing
        self.nodes = frozenset[str]()  # on which it has instances
        self._source = source
        self._tag_prefixes = tag_prefixes
        self._emit = emit
        self._on_success = on_success
        self._on_failure = on_failure
        self._on_names = on_names
        self._on_gone = on_gone
        self._members = Membership(grace)
        self._names: Names[str] = Names(resolver.addresses, self._on_resolved)
        self._has_answer = False
        self._is_filtered = False
        self._is_over = False
        self._answer: Answer | None = None
        self._tagged: TaggedService | None = None
        self._saved: SavedService | None = None
        self._gone_at: float | None = None  # when the last instance went, while routes of its tags are kept
        self._changed = trio.Event()

    @property
    def has_routes(self) -> bool:
        """Are there routes or options in force that its tags asked for?"""
        return self._tagged is not None

    def note(self) -> str:
        """What a person should know though the answers are good; empty if nothing."""
        error = self._names.error() or self._names.note() if self._names.is_used else ""
        if not error and self._is_filtered:
            error = "Consul leaves out instances that this token may not read: give it service:read and node:read"
        return f"service {self.service}: {error}" if error else ""

    def saved(self) -> SavedService:
        """What is to outlive the gateway; the same object while nothing changes."""
        if self._saved is None:
            self._saved = SavedService(self._members.current(trio.current_time()), self._tagged)
        return self._saved

    def restore(self, saved: SavedService) -> None:
        """Before the first answer: goes on from what was known before, and emits it."""
        self._members.restore(saved.registrations)
        self._has_answer = True
        if self._tag_prefixes and saved.tagged is not None:
            self._publish_tags(saved.tagged)
        self._publish()

    async def run(self) -> None:
        """Keeps what is known up to date with time, until cancelled; the answers come from elsewhere."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._names.run)
            nursery.start_soon(self._expire)

    async def watch(self, connect: Connect, random: Random) -> None:
        """Asks Consul for the answers, on a connection of its own, until cancelled."""
        await watch(connect, self._query, self.on_reply, self.on_error, random, self.index)

    @property
    def is_doubtful(self) -> bool:
        """May there be instances that the token hides?"""
        return self._has_answer and (self._is_filtered or not self._members.is_complete)

    def hold(self, is_held: bool) -> None:
        """Whether the token may not read the service."""
        if is_held != self._members.is_held:
            self._members.is_held = is_held
            self._changed.set()

    def configure(self, grace: float, tag_prefixes: tuple[str, ...]) -> None:
        """Other settings."""
        self._members.grace = grace
        if tag_prefixes != self._tag_prefixes:
            self._tag_prefixes = tag_prefixes
            self._publish()

    def withdraw(self) -> None:
        """The watch is over: takes back what its tags asked for, and its instances."""
        self._is_over = True
        if self._answer is not None and self._answer.instances:
            self._emit(Answer(self._source, self.service, ()))
        self._publish_tags(None)

    async def _query(self, client: ConsulClient, index: int) -> Reply:
        return await client.health(self.service, index)

    def on_error(self, error: ConsulError) -> None:
        """There is no answer."""
        self.index = 0
        self._on_failure(self.service, error)

    def on_reply(self, reply: Reply, is_unbroken: bool) -> None:
        """An answer, and whether it is unbroken (see `watch`). Raises DecodeError."""
        registrations = decode_health(reply.data)
        now = trio.current_time()
        is_sure = is_unbroken and reply.leader_known
        self._members.apply(registrations, now, is_unbroken=is_sure, is_filtered=reply.is_filtered or reply.is_repeat)
        self.index = 0 if reply.index < self.index else reply.index
        self._has_answer = True
        self._is_filtered = reply.is_filtered
        self._publish()
        self._on_success(self.service, reply)

    def _on_resolved(self) -> None:
        self._publish()
        self._on_names()

    def _publish(self) -> None:
        """Emits what has changed of what counts now."""
        if self._is_over or not self._has_answer:
            return
        self._saved = None
        now = trio.current_time()
        members = self._members.current(now)
        self.nodes = frozenset(each.node for each in members)
        self._names.want(each.instance.host for each in members if not is_numeric(each.instance.host))
        answer = Answer(self._source, self.service, unite(self._instances(members)))
        is_waiting = not answer.instances and any(self._names.is_pending(each.instance.host) for each in members)
        if answer != self._answer and not is_waiting:
            self._answer = answer
            self._emit(answer)
        if members:
            self._gone_at = None
            self._publish_tags(self._read_tags(members))
        elif self._tagged is not None and self._gone_at is None:
            self._gone_at = now
        self._changed.set()

    def _instances(self, members: tuple[Registration, ...]) -> Iterator[Instance]:
        for member in members:
            instance = replace(member.instance, health=read_overrides(member.tags, self._tag_prefixes))
            if is_numeric(instance.host):
                yield instance
            else:
                for address in self._names.values(instance.host):
                    yield replace(instance, host=address, name=instance.host)

    def _read_tags(self, members: tuple[Registration, ...]) -> TaggedService | None:
        if not self._tag_prefixes:
            return None
        tagged = [InstanceTags(each.instance.id, each.tags, each.instance.authority) for each in members]
        reading = read_tags(self.service, tagged, self._tag_prefixes)
        if not (reading.routes or reading.options or reading.problems):
            return None
        return TaggedService(self._source, self.service, reading.routes, reading.options, reading.problems)

    def _publish_tags(self, tagged: TaggedService | None) -> None:
        if tagged != self._tagged:
            self._tagged, self._saved = tagged, None
            self._emit(tagged or TaggedService(self._source, self.service, (), (), ()))

    async def _expire(self) -> None:
        """Gives up provisional instances and kept routes when their time is over."""
        while True:
            gone = float("inf") if self._gone_at is None else self._gone_at + ROUTES_KEPT
            with trio.move_on_at(min(self._members.next_expiry(), gone)):
                self._changed = trio.Event()
                await self._changed.wait()
                continue
            if trio.current_time() >= gone:
                self._gone_at = None
                self._publish_tags(None)
                self._on_gone(self.service)
            self._publish()

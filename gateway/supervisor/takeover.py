"""The side that replaces: finds who is to be replaced, takes the listening sockets, and sends them off in the end.

Two may be found to have what this gateway wants to listen on: a running gateway, which is replaced if that is asked
for, and workers whose supervisor died, which are always. Until `complete` they serve as if nothing were; if this
process ends before, they go on.

Everything here blocks, for some milliseconds: it runs before the gateway's loop has anything to do, or in a thread.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio

from gateway.handover import sockets
from gateway.handover.messages import (
    Ask,
    Description,
    HandoverError,
    Kind,
    decode_answer,
    decode_description,
    encode_ask,
)
from gateway.supervisor import heritage
from gateway.supervisor.heritage import Heritage
from gateway.supervisor.listeners import Adopted, ListenError, Listeners, canonical
from gateway.supervisor.registry import Registry
from gateway.supervisor.workers import WorkerPool

ANSWER_WITHIN: Final = 5.0  # seconds
FELLOWS_WITHIN: Final = 1.0  # seconds in which all orphans of one supervisor should have noticed that they are
GONE_WITHIN: Final = 3.0  # seconds in which a gateway that is stopping may go
ANSWERED_WITHIN: Final = 60.0  # seconds in which sources must answer, before another gateway is replaced
PROBED_WITHIN: Final = 5.0  # seconds that then may pass until new instances have been probed
_AGAIN: Final = 0.02  # seconds between looks

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Predecessor:
    """One process that is replaced, and what it gave."""

    name: str
    sock: socket.socket
    description: Description
    state: bytes = b""
    admin: socket.socket | None = None
    listeners: dict[str, tuple[socket.socket, ...]] = field(default_factory=dict)  # by address

    def take(self) -> None:
        """Raises HandoverError, OSError."""
        sockets.send(self.sock, encode_ask(Ask.TAKE))
        packet, _ = sockets.receive(self.sock)
        self.description = description = decode_description(packet)
        descriptors: list[int] = []
        while len(descriptors) < description.descriptors:
            packet, more = sockets.receive(self.sock)
            decode_answer(packet)
            descriptors += more
        rest = iter(descriptors)
        self.state = sockets.load(next(rest))
        if description.admin is not None:
            self.admin = socket.socket(fileno=next(rest))
        for each in description.listeners:
            taken = tuple(socket.socket(fileno=next(rest)) for _ in range(each.sockets))
            for sock in taken:
                sock.setblocking(False)
            self.listeners[each.address] = taken

    def send_off(self, registration: Sequence[str]) -> bytes:
        """It takes no more connections and drains; what it knew in the end. Raises HandoverError, OSError."""
        sockets.send(self.sock, encode_ask(Ask.READY, registration=list(registration)))
        packet, descriptors = sockets.receive(self.sock)
        decode_answer(packet)
        if not descriptors:
            raise HandoverError("it ended before it could be told")
        return sockets.load(descriptors[0])

    def close(self) -> None:
        """Leave it alone: a predecessor that was not sent off goes on."""
        self.sock.close()
        if self.admin is not None:
            self.admin.close()
        for taken in self.listeners.values():
            for sock in taken:
                sock.close()


class Takeover:
    """All that is taken over, which may be nothing."""

    def __init__(self, predecessors: Sequence[Predecessor] = ()) -> None:
        self._predecessors = tuple(predecessors)

    def __bool__(self) -> bool:
        return bool(self._predecessors)

    @property
    def running(self) -> Predecessor | None:
        """The gateway that is replaced, if it still has its supervisor."""
        return next((each for each in self._predecessors if each.description.kind is Kind.SUPERVISOR), None)

    def adopted(self) -> Adopted:
        """The listening sockets."""
        by_address: dict[str, tuple[socket.socket, ...]] = {}
        bound: dict[str, str] = {}
        for each in self._predecessors:
            for address, taken in each.listeners.items():
                by_address[address] = (*by_address.get(address, ()), *taken)
            bound |= {listening.asked: listening.address for listening in each.description.listeners}
        return Adopted(by_address, bound)

    def admin(self, wanted: str) -> socket.socket | None:
        """The admin interface's listening socket, if that is where it is wanted; the caller's to close."""
        running = self.running
        if running is None or running.admin is None or running.description.admin is None:
            return None
        listening, found = running.description.admin, running.admin
        if wanted != listening.asked and _canonical(wanted) != listening.address:
            return None
        running.admin = None
        return found

    def heritage(self) -> Heritage:
        """What the gateway that is replaced knows."""
        return Heritage() if self.running is None else _decode(self.running.state) or Heritage()

    def close_unwanted(self, wanted: Listeners) -> None:
        """Close what was taken and is not used: connections queued there would wait for nobody."""
        used = {sock for listener in wanted.all for sock in listener.sockets}
        for each in self._predecessors:
            for taken in each.listeners.values():
                for sock in taken:
                    if sock not in used:
                        sock.close()
            each.listeners.clear()  # the others are the listeners' to close
            if each.admin is not None:
                each.admin.close()
                each.admin = None

    def complete(self, registration: Sequence[str]) -> Heritage | None:
        """This gateway serves: the others drain. What was known in the end, if somebody knew; blocks."""
        last: Heritage | None = None
        for each in self._predecessors:
            about = {"kind": each.description.kind, "replaced_pid": each.description.pid}
            try:
                state = each.send_off(registration)
            except (HandoverError, OSError) as error:
                log.warning("who was to be replaced is gone already", error=str(error), **about)
            else:
                log.info("replaced: it takes no more connections and drains", **about)
                if each.description.kind is Kind.SUPERVISOR:
                    last = _decode(state)
            each.close()
        return last

    def close(self) -> None:
        """Take over nothing."""
        for each in self._predecessors:
            each.close()


async def wait_informed(uninformed: Callable[[], Sequence[str]], registry: Registry, pool: WorkerPool) -> str:
    """Until every source has answered and every instance has been probed once; "", or why that is not so in time.

    `uninformed` says what sources have not answered. Returns as soon as the gateway is to stop.
    """
    began = time.monotonic()
    answered_at = math.inf
    while not pool.is_stopping:
        now = time.monotonic()
        missing = uninformed()
        if missing and now > began + ANSWERED_WITHIN:
            return f"it is not ready after {ANSWERED_WITHIN:.0f} s ({'; '.join(missing)}); the running one goes on"
        if not missing:
            answered_at = min(answered_at, now)
            is_pending = registry.is_unprobed or any(member.is_unjudged for _, member in registry.members())
            if not is_pending or now > answered_at + PROBED_WITHIN:
                break
        await trio.sleep(_AGAIN)
    return ""


def find(listen: Sequence[str], admin: str, *, replace: bool, named: str = "") -> Takeover:
    """Takes the sockets of whoever listens where this gateway wants to; `named`: of that gateway, in any case.

    Orphans are found at any rate, a running gateway if it is to be replaced. Raises HandoverError.
    """
    with ExitStack() as stack:
        found: list[Predecessor] = []
        if replace:
            running = _find_running(listen, admin, named)
            if running is None:
                log.info("nothing to replace: no gateway of this user listens here", listen=list(listen), admin=admin)
            else:
                stack.callback(running.close)
                found.append(running)
        wanted = set(filter(None, map(_canonical, listen)))
        for orphan in _find_orphans(wanted):
            stack.callback(orphan.close)
            found.append(orphan)
        taken: list[Predecessor] = []
        for each in found:
            about = {"kind": each.description.kind, "replaced_pid": each.description.pid}
            try:
                each.take()
            except (HandoverError, OSError) as error:
                if each.description.kind is Kind.SUPERVISOR:
                    raise HandoverError(
                        f"the running gateway, process {each.description.pid}: {_words(error)}"
                    ) from error
                log.warning("an orphaned worker cannot be taken over", error=_words(error), **about)
                continue
            log.info("taking over", addresses=list(each.listeners), version=each.description.version, **about)
            taken.append(each)
        stack.pop_all()
    return Takeover(taken)


def _find_running(listen: Sequence[str], admin: str, named: str) -> Predecessor | None:
    names = [named] if named else [name for name in sockets.find_names() if name.endswith("/supervisor")]
    wanted = set(filter(None, map(_canonical, listen)))
    where = _canonical(admin)
    refused: dict[str, str] = {}
    best: Predecessor | None = None
    for name in names:
        try:
            each = _meet(name)
        except (HandoverError, OSError) as error:
            refused[name] = _words(error)
            continue
        is_ours = each.description.admin is not None and each.description.admin.address == where
        if named or is_ours or (best is None and any(known.address in wanted for known in each.description.listeners)):
            if best is not None:
                best.close()
            best = each
            if named or is_ours:
                break
        else:
            each.close()
    if best is None:
        _let_go(refused)
    return best


def _let_go(refused: Mapping[str, str]) -> None:
    """Who refuses to say where it listens may be anybody; one that is stopping is gone soon. Raises HandoverError."""
    deadline = time.monotonic() + GONE_WITHIN
    while left := [name for name in refused if name in sockets.find_names()]:
        if time.monotonic() > deadline:
            raise HandoverError(f"the gateway at {left[0]}: {refused[left[0]]}")
        time.sleep(0.05)


def _find_orphans(wanted: set[str]) -> Iterable[Predecessor]:
    """Those that listen on a wanted address. Fellows of one that was found are waited for, a little."""
    met: dict[str, Predecessor] = {}
    strangers: set[str] = set()
    deadline = time.monotonic() + FELLOWS_WITHIN
    while True:
        for name in sockets.find_names():
            if "/orphan/" not in name or name in met or name in strangers:
                continue
            try:
                each = _meet(name)
            except (HandoverError, OSError) as error:
                strangers.add(name)
                log.warning("an orphaned worker does not answer", name=name, error=_words(error))
                continue
            if wanted.isdisjoint(known.address for known in each.description.listeners):
                strangers.add(name)
                each.close()
            else:
                met[name] = each
        groups: dict[str, list[Predecessor]] = {}
        for name, each in met.items():
            groups.setdefault(sockets.group_of(name), []).append(each)
        is_complete = all(len(group) >= group[0].description.fellows for group in groups.values())
        if is_complete or time.monotonic() > deadline:
            return met.values()
        time.sleep(_AGAIN)


def _meet(name: str) -> Predecessor:
    """Raises HandoverError, OSError."""
    sock = sockets.call(name, ANSWER_WITHIN)
    try:
        sockets.send(sock, encode_ask(Ask.DESCRIBE))
        packet, _ = sockets.receive(sock)
        return Predecessor(name, sock, decode_description(packet))
    except BaseException:
        sock.close()
        raise


def _canonical(address: str) -> str:
    """The address as a bound socket shows it; "" for one that is none: who binds it will say so."""
    try:
        return canonical(address)
    except ListenError:
        return ""


def _words(error: Exception) -> str:
    return f"no answer within {ANSWER_WITHIN:.0f} s" if isinstance(error, TimeoutError) else str(error)


def _decode(state: bytes) -> Heritage | None:
    try:
        return heritage.decode(state)
    except ValueError as error:
        log.warning("what the replaced gateway knew is not used: instances are probed first", error=str(error))
        return None

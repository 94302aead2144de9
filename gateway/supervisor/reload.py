"""Reading the configuration again. One at a time; requests that come meanwhile share the next one.

A request is answered by a load that *began after it*: whoever changes the file and then asks can
never be told of the old file, and however many signals arrive during a load, one more load
follows, so the last one is never lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import structlog
import trio

from discovery.consul_sd.errors import ConsulError
from discovery.consul_sd.tls import tls_context
from gateway.admin.facts import ReloadError, ReloadFacts
from gateway.config.load import ConfigError, Loaded

log = structlog.get_logger(__name__)

Result = tuple[str, ...] | ReloadError


class Reloader:
    """`load` reads the configuration, in a thread as it may block; `apply` puts it in force.

    `apply` returns the keys whose change needs a restart; it may refuse with ConfigError, with nothing changed.
    `on_begin` is called before every load, `on_end` after it, with "" or why nothing was changed.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        apply: Callable[[Loaded], tuple[str, ...]],
        on_begin: Callable[[], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._load = load
        self._apply = apply
        self._on_begin = on_begin
        self._on_end = on_end
        self._waiting: list[trio.MemorySendChannel[Result]] = []
        self._wanted = trio.Event()
        self.facts = ReloadFacts(0, 0, is_last_good=True, last_success=time.time())

    def request(self) -> None:
        """Ask for a reload and do not wait for it; its outcome is in the log."""
        self._wanted.set()

    async def reload(self) -> tuple[str, ...]:
        """Ask for a reload and wait for it. Returns the keys that need a restart; raises ReloadError."""
        send, receive = trio.open_memory_channel[Result](1)
        self._waiting.append(send)
        self.request()
        async with receive:
            result = await receive.receive()
        if isinstance(result, ReloadError):
            raise result
        return result

    async def run(self) -> None:
        """Serve requests until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted, waiting, self._waiting = trio.Event(), self._waiting, []
            self._on_begin()
            result = await self._once()
            self._on_end(f"not reloaded: {result.problems[0]}" if isinstance(result, ReloadError) else "")
            for send in waiting:
                try:
                    send.send_nowait(result)
                except trio.BrokenResourceError:
                    log.debug("whoever asked for the reload has left")

    async def _once(self) -> Result:
        try:
            needs_restart = self._apply(await trio.to_thread.run_sync(self._load))
        except ConfigError as error:
            self.facts = replace(self.facts, failed=self.facts.failed + 1, is_last_good=False)
            log.error("configuration not reloaded, nothing was changed", problems=error.problems)
            return ReloadError(error.problems)
        self.facts = ReloadFacts(
            self.facts.succeeded + 1, self.facts.failed, is_last_good=True, last_success=time.time()
        )
        if needs_restart:
            log.warning("configuration reloaded; some changes need a restart", keys=needs_restart)
        else:
            log.info("configuration reloaded")
        return needs_restart


def usable(loaded: Loaded) -> Loaded:
    """The configuration, unless what it names outside itself cannot be used. Raises ConfigError."""
    if loaded.consul is not None:
        try:
            tls_context(loaded.consul)
        except ConsulError as error:
            raise ConfigError([str(error)]) from error
    return loaded

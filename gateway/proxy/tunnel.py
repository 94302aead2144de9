"""After a 101: bytes both ways, with back-pressure and one idle timeout (RFC 9110 7.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.proxy.context import Context
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.upstream import Upstream

TUNNEL_IDLE: Final = 3600.0  # seconds, unless the route's stream_idle_timeout is longer


class Tunnel:
    """Relays between the two connections of an upgraded exchange."""

    __slots__ = ("_ctx", "_down", "_exchange", "_idle", "_up", "bytes_in")

    def __init__(self, exchange: Exchange, down: Downstream, up: Upstream, ctx: Context, idle: float) -> None:
        self._exchange = exchange
        self._down = down
        self._up = up
        self._ctx = ctx
        self._idle = max(TUNNEL_IDLE, idle)
        self.bytes_in = 0
        self._touch()

    def begin(self, head: bytes, rest: bytes) -> None:
        """Send the 101, then what either side has sent ahead; `rest` came behind the instance's head."""
        self._up.switch_to_tunnel()
        self._down.transport.write(head)
        early = self._down.begin_tunnel()
        if rest:
            self.on_upstream_data(rest)
        if early:
            self.on_client_data(early)

    def on_client_data(self, data: bytes) -> None:
        self._touch()
        self.bytes_in += len(data)
        if not self._up.transport.write(data):
            self._down.transport.pause()

    def on_upstream_data(self, data: bytes) -> None:
        self._touch()
        self._exchange.bytes_out += len(data)
        if not self._down.transport.write(data):
            self._up.transport.pause()

    def on_client_drained(self) -> None:
        self._touch()
        self._up.transport.resume()

    def on_upstream_drained(self) -> None:
        self._touch()
        self._down.transport.resume()

    def on_client_eof(self) -> None:
        """Either side's end ends the tunnel, once what it sent before has been passed on."""
        self._exchange.end_tunnel()

    def on_upstream_eof(self) -> None:
        self._exchange.end_tunnel()

    def on_upstream_lost(self) -> None:
        self._exchange.end_tunnel()

    def _touch(self) -> None:
        self._ctx.deadlines.arm(self._up, self._ctx.now + self._idle)

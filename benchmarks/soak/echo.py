"""An instance that accepts upgrades and sends back every byte of them: nginx, the other instance, does neither."""

import base64
import contextlib
import hashlib
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator

from benchmarks.load.wire import Head, read_head

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_PIECE = 1 << 16


def accept_of(key: str) -> str:
    """`Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()


class _Connection(socketserver.BaseRequestHandler):
    request: socket.socket

    def handle(self) -> None:
        while (head := read_head(self.request)) is not None:
            if "upgrade" in head.fields:
                self._tunnel(head)
                return
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def _tunnel(self, head: Head) -> None:
        accept = accept_of(head.fields.get("sec-websocket-key", ""))
        answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.request.sendall(f"{answer}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode() + head.rest)
        while piece := self.request.recv(_PIECE):
            self.request.sendall(piece)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke is the proxy's end of one that its client broke; anything else is printed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextlib.contextmanager
def echo() -> Iterator[int]:
    """Serves in a thread of this process; gives the port."""
    with _Server(("127.0.0.1", 0), _Connection) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()

"""An upstream that reads every request's body to its end before it answers: `python -m benchmarks.load.sink PORT...`.

nginx, the other upstream, answers an upload without reading it, or stores it. This one counts it, and with
`X-Verify` in the request digests it.
"""

import hashlib
import socket
import socketserver
import sys
import threading

from benchmarks.load.wire import Head, discard, read_head
from benchmarks.load.workloads import SMALL

VERIFY = "X-Verify"
ECHOED = {
    "for": "X-Forwarded-For",
    "proto": "X-Forwarded-Proto",
    "forwarded_host": "X-Forwarded-Host",
    "host": "Host",
    "request_id": "X-Request-ID",
    "route": "X-Route",
}
"""What an echo says about a request: one `name=value` a line; `port` and `served` (on this connection) follow."""

_PIECE = 1 << 20


class _Connection(socketserver.BaseRequestHandler):
    request: socket.socket

    def handle(self) -> None:
        served = 0
        while (head := read_head(self.request)) is not None:
            served += 1
            body = self._answer(head, served)
            self.request.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def _answer(self, head: Head, served: int) -> bytes:
        remaining = head.length - len(head.rest)
        if VERIFY.lower() in head.fields:
            digest = hashlib.sha256(head.rest)
            while remaining:
                piece = self.request.recv(min(remaining, _PIECE))
                if not piece:
                    raise ConnectionError("an upload ended before its end")
                digest.update(piece)
                remaining -= len(piece)
            return digest.hexdigest().encode()
        discard(self.request, remaining)
        if head.first.split()[1].endswith("/echo"):
            said = {name: head.fields.get(field.lower(), "") for name, field in ECHOED.items()}
            said |= {"port": str(self.request.getsockname()[1]), "served": str(served)}
            return "\n".join(f"{name}={value}" for name, value in said.items()).encode()
        return b"x" * SMALL


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is the load's end; anything else is printed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def main(ports: list[int]) -> None:
    """Serves until it is ended."""
    servers = [_Server(("127.0.0.1", port), _Connection) for port in ports]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main([int(port) for port in sys.argv[1:]])

"""systemd as a service meets it: a notify socket that is read, and sockets passed to the process that is started."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

# Puts the passed descriptors where they belong and becomes the command that follows, so that LISTEN_PID is its own.
LAUNCHER = """
import os, sys
count = int(sys.argv[1])
high = [os.dup2(int(fd), 100 + n) for n, fd in enumerate(sys.argv[2:2 + count])]
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n, inheritable=True)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=":".join(["gw.socket"] * count))
os.execv(sys.argv[2 + count], sys.argv[2 + count:])
"""


def launcher(sockets: Sequence[socket.socket]) -> tuple[str, ...]:
    """The command that passes these sockets to the one it is given."""
    return (sys.executable, "-S", "-c", LAUNCHER, str(len(sockets)), *(str(sock.fileno()) for sock in sockets))


def listening(*, reuse_port: bool = False) -> socket.socket:
    """A socket that systemd might pass, on a free port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock


def address_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"{host}:{port}"


class NotifySocket:
    """NOTIFY_SOCKET, with every message that arrived."""

    def __init__(self, folder: Path | None) -> None:
        """Without a folder its name is abstract."""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(folder / "notify") if folder else b"")
        self._sock.settimeout(15)
        name = self._sock.getsockname()
        self.address = name if folder else "@" + name[1:].decode()
        self.environment = {"NOTIFY_SOCKET": self.address}

    def __enter__(self) -> NotifySocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    def next(self) -> dict[str, str]:
        """The next message; TimeoutError if none comes."""
        return dict(line.split("=", 1) for line in self._sock.recv(4096).decode().splitlines())

    def wait_for(self, name: str) -> dict[str, str]:
        """The next message that says this; others are passed over."""
        while True:
            message = self.next()
            if name in message:
                return message

    def is_silent(self, seconds: float) -> bool:
        """Nothing comes for so long, once what came before is read."""
        self._sock.settimeout(0.0)
        try:
            while True:
                self._sock.recv(4096)
        except BlockingIOError:
            self._sock.settimeout(seconds)
        try:
            self._sock.recv(4096)
        except TimeoutError:
            return True
        finally:
            self._sock.settimeout(15)
        return False

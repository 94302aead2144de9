"""Socket activation: listening sockets that systemd, or another launcher like it, has made already.

    LISTEN_PID       whom they are for: this process
    LISTEN_FDS       how many, from descriptor 3 on
    LISTEN_FDNAMES   their names, separated by colons; only for messages here

A socket is recognised by the address it is bound to, which must be one of `gateway.listen`. An IPv6 socket on
all addresses that takes IPv4 as well (what `ListenStream=8080` makes) stands for `0.0.0.0`, too.
See sd_listen_fds(3); https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

from discovery.model import join_address
from gateway.supervisor.listeners import Adopted, ListenError, resolve

FIRST_FD: Final = 3  # SD_LISTEN_FDS_START
VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


@dataclass(frozen=True, slots=True)
class Passed:
    """One passed socket."""

    sock: socket.socket
    name: str
    address: str  # as bound

    @property
    def takes_both(self) -> bool:
        """IPv4 as well as IPv6, on all addresses of this machine."""
        if self.sock.family != socket.AF_INET6 or not self.address.startswith("[::]:"):
            return False
        return not self.sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def take_passed(environ: MutableMapping[str, str], pid: int) -> tuple[Passed, ...]:
    """The sockets passed to the process `pid`. Takes the variables away: they are not for its children.

    Raises ListenError for what is no listening TCP socket.
    """
    found = {name: environ.pop(name, "") for name in VARIABLES}
    if found["LISTEN_PID"] != str(pid):
        return ()
    if not found["LISTEN_FDS"].isdecimal():
        raise ListenError(f"LISTEN_FDS is {found['LISTEN_FDS']!r}: it must be the number of the sockets passed")
    names = found["LISTEN_FDNAMES"].split(":")
    count = int(found["LISTEN_FDS"])
    return tuple(take(FIRST_FD + n, names[n] if n < len(names) else "unknown") for n in range(count))


def take(fd: int, name: str) -> Passed:
    """A passed descriptor. Raises ListenError if it is no listening TCP socket; then it is closed if it is any."""
    what = f"descriptor {fd} (name {name!r}) was passed by systemd, but"
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise ListenError(f"{what} it is no socket: {error.strerror}") from error
    fault = ""
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        fault = "it is no TCP socket: write ListenStream=HOST:PORT in the .socket unit"
    elif not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        fault = "it is not listening: write Accept=no in the .socket unit"
    if fault:
        sock.close()
        raise ListenError(f"{what} {fault}")
    sock.setblocking(False)
    host, port = sock.getsockname()[:2]
    return Passed(sock, name, join_address(host, port))


def match(passed: Sequence[Passed], listen: Sequence[str]) -> Adopted:
    """The passed sockets by the addresses they are for. Raises ListenError if one is for none of `listen`."""
    by_address: dict[str, tuple[socket.socket, ...]] = {}
    left = list(passed)
    for wanted in listen:
        _, where = resolve(wanted)
        address = join_address(where[0], where[1])
        for each in left:
            if each.address == address or (each.takes_both and address == f"0.0.0.0:{where[1]}"):
                by_address[address] = (each.sock,)
                left.remove(each)
                break
    if left:
        raise ListenError(
            "systemd passed a socket for "
            + ", ".join(f"{each.address} (name {each.name!r})" for each in left)
            + f", but gateway.listen is {', '.join(listen)}: "
            "make ListenStream= of the .socket unit and gateway.listen agree"
        )
    return Adopted(by_address)

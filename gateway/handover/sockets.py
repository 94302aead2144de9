"""Meeting points of gateways: abstract unix sockets, and descriptors passed over them.

An abstract name leaves no file behind, ends with its socket, and lives in the network namespace, as the ports do
that are handed over. Anybody may bind or call any such name, so both sides ask the kernel who the other is
(SO_PEERCRED): only processes of the same user meet. Names are found in /proc/net/unix:

    @gw/<uid>/<group>/supervisor          a running gateway
    @gw/<uid>/<group>/orphan/<worker>     a worker of it that its supervisor's death has orphaned
"""

from __future__ import annotations

import array
import os
import re
import secrets
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway.handover.messages import DESCRIPTORS, PACKET_BYTES, HandoverError, encode_answer

BACKLOG: Final = 16
NAMES: Final = Path("/proc/net/unix")
_NAME: Final = re.compile(r" @(gw/(\d+)/([0-9a-f-]+)/(?:supervisor|orphan/\d+))$", re.MULTILINE)
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid
_SPACE: Final = socket.CMSG_SPACE(DESCRIPTORS * array.array("i").itemsize)


def new_group() -> str:
    """A name for one gateway and its workers that no other one on this machine has."""
    return f"{os.getpid():x}-{secrets.token_hex(4)}"


def supervisor_name(group: str) -> str:
    return f"gw/{os.getuid()}/{group}/supervisor"


def orphan_name(group: str, worker: int) -> str:
    return f"gw/{os.getuid()}/{group}/orphan/{worker}"


def group_of(name: str) -> str:
    return name.split("/")[2]


def names_in(table: str, uid: int) -> tuple[str, ...]:
    """The names of one user's gateways in the text of /proc/net/unix, each once, sorted."""
    return tuple(sorted({name for name, owner, _ in _NAME.findall(table) if int(owner) == uid}))


def find_names() -> tuple[str, ...]:
    """The names of this user's gateways in this network namespace."""
    try:
        return names_in(NAMES.read_text(errors="replace"), os.getuid())
    except OSError:  # no /proc here: then nobody is found
        return ()


def listen(name: str) -> socket.socket:
    """A non-blocking socket that can be called by its name. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        sock.bind(f"\0{name}")
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def call(name: str, timeout: float) -> socket.socket:
    """A blocking connection to who listens there. Raises OSError, or HandoverError if that is another user."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.settimeout(timeout)
        sock.connect(f"\0{name}")
        check_peer(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def check_peer(sock: socket.socket) -> int:
    """The process at the other end. Raises HandoverError if it is not of this user (or root)."""
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid not in (os.getuid(), 0):
        raise HandoverError(f"process {pid} is another user's ({uid}): gateways are handed over to the same user only")
    return int(pid)


def send(sock: socket.socket, packet: bytes, descriptors: Sequence[int] = ()) -> None:
    """One packet, with at most DESCRIPTORS descriptors. Raises OSError."""
    if descriptors:
        rights = array.array("i", descriptors)
        sock.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_NOSIGNAL)
    else:
        sock.send(packet, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One packet and its descriptors, closed on exec; b"" at the end. Raises OSError, or HandoverError: cut short."""
    packet, ancillary, flags, _ = sock.recvmsg(PACKET_BYTES, _SPACE, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
        for fd in descriptors:
            os.close(fd)
        raise HandoverError("a packet arrived cut short (too few file descriptors allowed? see ulimit -n)")
    return packet, list(descriptors)


def batches(descriptors: Sequence[int]) -> Iterator[tuple[bytes, Sequence[int]]]:
    """Packets that carry the descriptors."""
    for start in range(0, len(descriptors), DESCRIPTORS):
        yield encode_answer(), descriptors[start : start + DESCRIPTORS]


def store(content: bytes) -> int:
    """A memory without a name that holds the content; its descriptor. Raises OSError."""
    fd = os.memfd_create("gw-handover", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(content)
    except BaseException:
        os.close(fd)
        raise
    return fd


def load(fd: int) -> bytes:
    """What `store` stored. Closes the descriptor. Raises OSError."""
    with os.fdopen(fd, "rb") as file:
        file.seek(0)  # the position is shared with who wrote it
        return file.read()

"""The last known view of a source on disk: versioned, checksummed, replaced as a whole.

The file is one line that says what it is, and the body, whose meaning is its source's own:

    gw-discovery 1 sha256:<of the body, in hexadecimal>
    {...}

It is written beside its place, synced and renamed, so that whatever ends the process or the machine
leaves the old file or the new one. It is readable by its owner only, as Consul may hold secrets.
Writing happens in a thread: at most once a second when something changed, less often when the view is so large that
this would cost more than `SHARE` of a core, at most every 30 s when only time has passed, and once more at the end.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog
import trio

OFF: Final = "off"  # instead of a path: nothing is kept
SHORTEST: Final = 1.0  # seconds between writes
LONGEST: Final = 30.0  # seconds that may pass before newer times alone are written
SHARE: Final = 0.01  # of a core, that writing may cost

_HEAD: Final = b"gw-discovery 1 sha256:"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")

log = structlog.get_logger(__name__)


class CacheError(Exception):
    """A file that cannot be used; the text is a sentence fit for the log."""


def default_path(environ: Mapping[str, str], gateway: str, *origin: str) -> Path:
    """Where the view is kept unless a path is configured: a file of its own for each gateway and origin.

    systemd's $STATE_DIRECTORY, else gw/ in $XDG_STATE_HOME, else ~/.local/state/gw. Raises RuntimeError where
    there is no home directory.
    """
    folder, xdg = environ.get("STATE_DIRECTORY", "").partition(":")[0], environ.get("XDG_STATE_HOME", "")
    base = Path(folder) if folder else (Path(xdg) if xdg else Path.home() / ".local" / "state") / "gw"
    key = hashlib.sha256("\0".join((gateway, *origin)).encode()).hexdigest()[:12]
    return base / f"{_UNSAFE.sub('_', gateway)[:64]}-{key}.discovery"


def load(path: Path) -> bytes | None:
    """The body of a file; None if there is none. Raises CacheError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CacheError(f"it cannot be read: {error.strerror}") from error
    head, _, body = content.partition(b"\n")
    if not head.startswith(_HEAD):
        raise CacheError("it is not a gw-discovery file of version 1")
    if head.removeprefix(_HEAD) != _digest(body):
        raise CacheError("its checksum is wrong")
    return body


def save(path: Path, body: bytes) -> None:
    """Replaces the file. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"%s%s\n%s" % (_HEAD, _digest(body), body))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # or the rename may not outlive the machine
    finally:
        os.close(folder)


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


class CacheWriter:
    """Writes a file behind its changes."""

    def __init__(self, where: Callable[[], Path | None], snapshot: Callable[[], Callable[[], bytes]]) -> None:
        """`where` the file is now; None: nowhere. `snapshot` is called in the loop and takes the view, quickly; what it
        returns encodes it, in a thread."""
        self._where = where
        self._snapshot = snapshot
        self._changed = trio.Event()
        self._is_older = False  # newer times alone are to be written
        self._error = ""  # the last one said

    def note(self, *, is_news: bool) -> None:
        """What the file should hold is another; `is_news` is false if only times are."""
        if is_news:
            self._changed.set()
        else:
            self._is_older = True

    async def run(self) -> None:
        """Writes until cancelled; what is not written then is written at the end."""
        try:
            while True:
                with trio.move_on_after(LONGEST):
                    await self._changed.wait()
                spent = await self._write() if self._is_pending else 0.0
                await trio.sleep(min(LONGEST, max(SHORTEST, spent / SHARE)))
        finally:
            if self._is_pending:
                with trio.CancelScope(shield=True):
                    await self._write()

    @property
    def _is_pending(self) -> bool:
        return self._changed.is_set() or self._is_older

    async def _write(self) -> float:
        """Returns the seconds of CPU that it took."""
        self._changed, self._is_older = trio.Event(), False
        path = self._where()
        if path is None:
            return 0.0
        began = time.thread_time()
        encode = self._snapshot()
        spent = time.thread_time() - began

        def write() -> None:
            nonlocal spent
            began = time.thread_time()
            try:
                save(path, encode())
            finally:
                spent += time.thread_time() - began

        try:
            await trio.to_thread.run_sync(write)
        except OSError as error:
            if str(error) != self._error:
                self._error = str(error)
                log.warning(
                    "what discovery knows cannot be saved: a restart while its source is down would start from nothing",
                    file=str(path),
                    error=self._error,
                )
        else:
            self._error = ""
        return spent

"""The ACL token: from the settings, or from a file that something else renews.

The file is looked at before every request (one stat) and read when it changed. A token that Consul has
just refused is read again whatever the stat says: two changes within one tick of a file system's clock look alike.
"""

from __future__ import annotations

from pathlib import Path

from discovery.consul_sd.errors import Forbidden
from discovery.settings import ConsulSettings

LONGEST = 4096  # bytes of a token file; a token is 36


class Token:
    """The token to send now."""

    def __init__(self, settings: ConsulSettings) -> None:
        self._file = Path(settings.token_file) if settings.token_file else None
        self._value = settings.token
        self._seen: tuple[int, int, int] | None = None  # of the file when it was read: time, size, inode

    def current(self) -> str:
        """The token, "" for none. Raises Forbidden if its file cannot be used."""
        if self._file is not None:
            try:
                stat = self._file.stat()
                seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if seen != self._seen:
                    self._value = self._read(self._file)
                    self._seen = seen
            except OSError as error:
                raise Forbidden(f"consul.token_file {self._file}: {error.strerror}") from error
        return self._value

    def renew(self) -> bool:
        """Consul refused the token: read the file again; True if there is another one now."""
        refused, self._seen = self._value, None
        return self._file is not None and self.current() != refused

    def _read(self, file: Path) -> str:
        with file.open("rb") as stream:
            text = stream.read(LONGEST).decode("ascii", errors="replace").strip()
        if not text or not all("!" <= character <= "~" for character in text):
            raise Forbidden(f"consul.token_file {file}: must hold one token of visible ASCII characters")
        return text

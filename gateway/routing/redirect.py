"""Redirects that the gateway answers itself, with Fabio's pseudo-variables in their URL. Pure.

$path   the request's path, less `strip` and after `prepend`; then its query too, unless the URL has its own
$host   the request's Host
"""

from __future__ import annotations

from typing import Final

_PATH: Final = b"$path"
_HOST: Final = b"$host"


class Redirect:
    """One route's redirect."""

    __slots__ = ("_has_path", "_location", "code", "uses_host")

    def __init__(self, code: int, location: str) -> None:
        self.code = code
        written = location.encode("ascii")
        authority_end = min(at for at in (written.find(b"/", 8), written.find(b"?", 8), len(written)) if at >= 0)
        authority, rest = written[:authority_end], written[authority_end:]
        if authority.endswith(_PATH):  # https://example.com$path
            authority, rest = authority.removesuffix(_PATH), _PATH + rest
        path, mark, query = rest.partition(b"?")
        path = path.replace(b"/" + _PATH, _PATH, 1)  # the request's path brings its own slash
        self._has_path = _PATH in path
        self.uses_host = _HOST in authority
        self._location = (authority, path or b"/", mark + query)

    def location(self, host: bytes, path: bytes, query: bytes) -> bytes:
        """The URL to send the client to. `path` begins with a slash, `query` is empty or begins with "?"."""
        authority, own_path, own_query = self._location
        own_path = own_path.replace(_PATH, path, 1)
        return authority.replace(_HOST, host, 1) + own_path + (own_query or (query if self._has_path else b""))

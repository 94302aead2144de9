"""Routes as a request meets them: everything that can be worked out before the request comes, is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from gateway.routing.normal import is_plain, normal_path, normal_pattern
from gateway.snapshot.model import RouteRecord

if TYPE_CHECKING:
    from gateway.routing.gate import Gate


class PatternKind(IntEnum):
    """How a pattern matches; lower wins over higher."""

    EXACT = 0  # /a/b
    TEMPLATE = 1  # /a/{name}
    PREFIX = 2  # /a/*, /a/{name}/*
    TEXT = 3  # /a**: whatever begins with /a; among prefixes the longer wins, of equals the other kind


class Pattern:
    """A route's path, taken apart.

    A path's segments are what stands between its slashes: `/a/b` has two, `/` has one, which is empty.
    A prefix is kept without its `/*`, so `/*` has none.
    """

    __slots__ = ("depth", "kind", "literal", "names", "rank", "segments")

    def __init__(self, text: str) -> None:
        is_text = text.endswith("**")
        written = normal_pattern(text.removesuffix("**"))
        is_prefix = not is_text and written.endswith(b"/*")
        self.literal = written[:-2] if is_prefix else written  # what a path without names has to begin with or be
        self.segments = tuple(self.literal.split(b"/")[1:])
        self.names = tuple(_is_name(segment) for segment in self.segments)
        self.depth = len(self.segments)
        has_names = any(self.names)
        if is_text:
            self.kind = PatternKind.TEXT
        else:
            self.kind = PatternKind.PREFIX if is_prefix else PatternKind.TEMPLATE if has_names else PatternKind.EXACT
        # Sorts the more specific pattern first: kind, longer before shorter, static segment before {name}. A text
        # and a prefix of one depth that both match a path end in one segment of it, the prefix at its end.
        end = len(self.literal) if is_text else len(text)
        self.rank = (min(self.kind, PatternKind.PREFIX), -self.depth, is_text, -end if is_text else 0, self.names)

    @property
    def has_names(self) -> bool:
        return any(self.names)

    @property
    def key(self) -> tuple[PatternKind, tuple[bytes, ...]]:
        """Equal for patterns that match the same paths (`/users/{id}` and `/users/{name}`)."""
        pairs = zip(self.segments, self.names, strict=True)
        return self.kind, tuple(b"{}" if is_name else segment for segment, is_name in pairs)


def _is_name(segment: bytes) -> bool:
    return len(segment) > 2 and segment.startswith(b"{") and segment.endswith(b"}")


class CompiledRoute:
    """One route, ready for use. Immutable by agreement: slots are cheaper to read than properties."""

    __slots__ = (
        "_prepend",
        "_skip",
        "_strip",
        "cell",
        "gate",
        "header_block",
        "header_names",
        "host",
        "host_is_instance",
        "label",
        "log_sample",
        "logged",
        "methods",
        "only",
        "pattern",
        "per_try_timeout",
        "record",
        "retry_count",
        "rewrites_path",
        "service",
        "stream_idle_timeout",
        "strip_path",
        "timeout",
    )

    def __init__(self, record: RouteRecord, pattern: Pattern) -> None:
        self.record = record
        self.pattern = pattern
        self.cell = record.cell
        self.service = record.service
        self.methods = frozenset(method.encode("ascii") for method in record.methods) if record.methods else None
        self.strip_path = record.strip_path
        self.timeout = record.timeout  # seconds, as the two below
        self.per_try_timeout = record.per_try_timeout
        self.stream_idle_timeout = record.stream_idle_timeout
        self.retry_count = record.retry_count
        handling = record.handling
        self.gate: Gate | None = None  # what comes before the route, where anything does (see `table`)
        share = record.share
        # The instances to choose from, by host:port as registered; None: all of the service's.
        self.only = frozenset(share.instances) if share is not None and share.instances else None
        self.host_is_instance = handling.host == "dst"
        self.host = b"" if self.host_is_instance else handling.host.encode()  # the Host to send; empty: the client's
        self._strip = normal_pattern(handling.strip)
        self._prepend = handling.prepend.encode()
        self.rewrites_path = record.strip_path or bool(handling.strip or handling.prepend)
        # The headers added to the forwarded request, as they go on the wire.
        headers = record.headers
        if handling.strip:
            headers = (*headers, ("X-Forwarded-Prefix", handling.strip))
        self.header_block = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers)
        self.header_names = frozenset(name.lower().encode() for name, _ in headers)
        self.label = record.host + record.path  # for metrics and logs
        self.logged = b'"route":%b' % json.dumps(self.label).encode()  # in access log lines
        self.log_sample = record.log_sample
        # How much of a path strip_path removes: bytes, or (negative) segments where names make the bytes vary.
        self._skip = -pattern.depth if pattern.has_names else len(pattern.literal)

    def upstream_path(self, path: bytes) -> bytes:
        """The path to forward: as it came, or with strip_path what is left of it after the matched prefix.

        A path that had to be normalised to match is cut in its normal form, since its raw form does
        not begin with the prefix. An exact pattern leaves nothing, which is "/". A text to strip is
        cut off where the path begins with it.
        """
        if not self.strip_path:
            return self._rewritten(path) if self.rewrites_path else path
        if self.pattern.kind is not PatternKind.PREFIX:
            return b"/"
        if not is_plain(path):
            path = normal_path(path)
        skip = self._skip
        if skip >= 0:
            return path[skip:] or b"/"
        cut = 0
        for _ in range(-skip):
            cut = path.find(b"/", cut + 1)
            if cut < 0:
                return b"/"
        return path[cut:]

    def _rewritten(self, path: bytes) -> bytes:
        strip = self._strip
        if strip:
            normal = path if is_plain(path) else normal_path(path)
            if normal.startswith(strip):
                path = normal[len(strip) :]
                if not path.startswith(b"/"):
                    path = b"/" + path
        return self._prepend + path

    def __repr__(self) -> str:
        return f"<CompiledRoute {self.label} -> {self.service}>"


class MethodNotAllowed:
    """The path has a route, the method has none: 405 with Allow."""

    __slots__ = ("allow", "route")

    def __init__(self, allow: bytes, route: CompiledRoute) -> None:
        self.allow = allow  # value of the Allow header, e.g. b"GET, POST"
        self.route = route  # the first route of the pattern, for metrics and logs

    def __repr__(self) -> str:
        return f"<MethodNotAllowed {self.allow.decode()} at {self.route.label}>"


class RefusedRoute:
    """A route that cannot be honoured: 404, whatever less specific route there is."""

    __slots__ = ("route",)

    def __init__(self, route: CompiledRoute) -> None:
        self.route = route

    def __repr__(self) -> str:
        return f"<RefusedRoute {self.route.label}>"


Matched: TypeAlias = CompiledRoute | MethodNotAllowed | RefusedRoute | None


class Leaf:
    """All routes with one host and pattern; they differ by method alone.

    `by_method.get(method, otherwise)` is the answer for a request: no branch, nothing allocated.
    A route that names the method goes before one that takes all of them; of two equals the first.
    """

    __slots__ = ("by_method", "depth", "is_prefix", "otherwise", "pattern", "routes")

    def __init__(self, pattern: Pattern, routes: Sequence[CompiledRoute]) -> None:
        self.pattern = pattern
        self.depth = pattern.depth
        self.is_prefix = pattern.kind is PatternKind.PREFIX
        self.routes = tuple(routes)
        self.by_method: dict[bytes, CompiledRoute] = {}
        takes_all: CompiledRoute | RefusedRoute | None = None
        for route in routes:
            if route.record.is_refused:
                takes_all = takes_all or RefusedRoute(route)
            elif route.methods is None:
                takes_all = takes_all or route
                continue
            for name in route.record.methods:
                self.by_method.setdefault(name.encode("ascii"), route)
        self.otherwise: CompiledRoute | MethodNotAllowed | RefusedRoute = takes_all or MethodNotAllowed(
            b", ".join(self.by_method), self.routes[0]
        )

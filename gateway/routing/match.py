"""Finding the route of a request, at a cost that does not depend on how many routes there are.

Order of precedence: an exact host, then wildcard hosts with the longest suffix first, then no host;
within a host an exact pattern, then templates, then prefixes, the longer prefix first; where two are
of one length, the one with a static segment where the other has a {name}. A host whose patterns do
not match the path passes the request on to the next host; a pattern that matches the path but not
the method does not pass it on. A host with a port is tried before all others.

Every host has a dict of exact paths and a dict of prefixes without names, which is asked for the
path's own prefixes from the longest that any pattern has: its cost is bound by that pattern's length,
however many slashes a path holds. Patterns with names are in a trie of segments, walked level by
level with all nodes reached so far in order of precedence; no branch is walked twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.routing.compiled import CompiledRoute, Leaf, Matched, PatternKind
from gateway.routing.normal import normal_path
from gateway.routing.text_prefixes import TextPrefixes

_LONG: Final = 512  # bytes of a path


class Node:
    """A place in the trie of patterns with names: what may follow, and what ends here."""

    __slots__ = ("name", "prefix", "static", "template")

    def __init__(self) -> None:
        self.static: dict[bytes, Node] = {}
        self.name: Node | None = None  # after a {name} segment
        self.template: Leaf | None = None  # /a/{b}
        self.prefix: Leaf | None = None  # /a/{b}/*


class HostTable:
    """The patterns of one host (`api.example.com`, `*.example.com`, or "" for any)."""

    __slots__ = ("depth", "exact", "host", "longest", "prefixes", "root", "texts")

    def __init__(self, host: str) -> None:
        self.host = host
        self.exact: dict[bytes, Leaf] = {}
        self.prefixes: dict[bytes, Leaf] = {}  # without names, by what precedes "/*"
        self.longest = -1  # bytes of the longest key in prefixes
        self.root: Node | None = None  # patterns with names
        self.depth = 0  # segments of the longest of them
        self.texts: TextPrefixes | None = None

    def add(self, leaf: Leaf) -> None:
        pattern = leaf.pattern
        if pattern.kind is PatternKind.TEXT:
            self.texts = self.texts or TextPrefixes()
            self.texts.add(leaf)
        elif pattern.has_names:
            self._add_to_trie(leaf)
        elif leaf.is_prefix:
            self.prefixes[pattern.literal] = leaf
            self.longest = max(self.longest, len(pattern.literal))
        else:
            self.exact[pattern.literal] = leaf

    def _add_to_trie(self, leaf: Leaf) -> None:
        pattern = leaf.pattern
        self.depth = max(self.depth, pattern.depth)
        node = self.root = self.root or Node()
        for segment, is_name in zip(pattern.segments, pattern.names, strict=True):
            if is_name:
                node.name = node.name or Node()
                node = node.name
            else:
                node = node.static.setdefault(segment, Node())
        if leaf.is_prefix:
            node.prefix = leaf
        else:
            node.template = leaf

    def find(self, path: bytes) -> Leaf | None:
        """The most specific pattern that matches a path in normal form and is not exact."""
        texts = self.texts
        leaf = self._find_by_segments(path)
        if texts is None or (leaf is not None and not leaf.is_prefix):
            return leaf
        text: Leaf | None = texts.find(path)
        return leaf if text is None or (leaf is not None and leaf.depth >= text.depth) else text

    def _find_by_segments(self, path: bytes) -> Leaf | None:
        named: Leaf | None = None
        if self.root is not None:
            named = self._find_named(self.root, path)
            if named is not None and not named.is_prefix:
                return named
        # The longest piece that a prefix can equal, then what precedes its last slash, and so on to "".
        piece = path if len(path) <= self.longest else path[: self.longest + 1].rpartition(b"/")[0]
        prefixes = self.prefixes
        while True:
            leaf = prefixes.get(piece)
            if leaf is not None:
                return leaf if named is None or leaf.depth >= named.depth else named
            if not piece:
                return named
            piece = piece.rpartition(b"/")[0]

    def _find_named(self, root: Node, path: bytes) -> Leaf | None:
        """The same among patterns with names."""
        # A bound on the pieces makes split slower by its mere presence: only where it may save some.
        segments = path.split(b"/") if len(path) < _LONG else path.split(b"/", self.depth + 1)
        node = root
        longest_prefix: Leaf | None = None
        for at in range(1, len(segments)):
            segment = segments[at]
            child = node.static.get(segment)
            if segment and node.name is not None:
                if child is not None:
                    return _find_in_branches(node, segments[at:], longest_prefix)
                child = node.name
            if child is None:
                return longest_prefix
            if child.prefix is not None:
                longest_prefix = child.prefix
            node = child
        return node.template or longest_prefix

    def leaves(self, path: bytes) -> list[Leaf]:
        """Every pattern that matches the path, the most specific first. For people, not for requests."""
        found = [leaf for leaf in (self.exact.get(path),) if leaf is not None]
        found += (self.prefixes[path[:cut]] for cut in _boundaries(path) if path[:cut] in self.prefixes)
        if self.texts is not None:
            found += self.texts.all(path)
        segments = path.split(b"/")[1:]
        nodes = [self.root] if self.root is not None else []
        for depth, segment in enumerate(segments, 1):
            reached = [node.static[segment] for node in nodes if segment in node.static]
            reached += (node.name for node in nodes if segment and node.name is not None)
            found += (node.prefix for node in reached if node.prefix is not None)
            if depth == len(segments):
                found += (node.template for node in reached if node.template is not None)
            nodes = reached
        return sorted(found, key=lambda leaf: leaf.pattern.rank)


def _find_in_branches(start: Node, segments: list[bytes], longest_prefix: Leaf | None) -> Leaf | None:
    """The walk from where it forks. `nodes` stays in order of precedence: from the left, static before {name}."""
    nodes = [start]
    for segment in segments:
        reached = []
        for node in nodes:
            child = node.static.get(segment)
            if child is not None:
                reached.append(child)
            if segment and node.name is not None:
                reached.append(node.name)
        if not reached:
            return longest_prefix
        longest_prefix = next((node.prefix for node in reached if node.prefix is not None), longest_prefix)
        nodes = reached
    return next((node.template for node in nodes if node.template is not None), longest_prefix)


def _boundaries(path: bytes) -> Iterator[int]:
    """Where a prefix of the path may end: before it, before each slash, and at its end."""
    yield 0
    yield from (at for at, byte in enumerate(path) if at and byte == 0x2F)
    yield len(path)


class RouteTable:
    """All routes of a generation. Immutable once compiled (`table.compile_table`)."""

    __slots__ = ("_exact_hosts", "_longest_suffix", "_no_host", "_wildcards", "ports")

    def __init__(
        self,
        exact_hosts: dict[bytes, tuple[HostTable, ...]],
        wildcards: dict[bytes, tuple[HostTable, ...]],
        no_host: tuple[HostTable, ...],
        ports: dict[bytes, HostTable],
    ) -> None:
        """Each value is the chain of host tables to try, in order; wildcards are keyed by ".example.com".

        `ports` are hosts with a port, "example.com:8080".
        """
        self.ports = ports
        self._exact_hosts = exact_hosts
        self._wildcards = wildcards
        self._no_host = no_host
        self._longest_suffix = max(map(len, wildcards), default=0)

    def match(self, host: bytes, path: bytes, method: bytes) -> Matched:
        """The route that takes a request.

        `host` is lower-cased and without port (b"" if unknown); `path` is raw and without query;
        `method` is case-sensitive. None: no pattern matches (404).
        """
        if 0x25 in path or 0x2E in path:  # "%" or ".": a tenth of the cost of looking for bytes in bytes
            path = normal_path(path)
        chain = self._exact_hosts.get(host)
        if chain is None:
            chain = self.hosts(host) if self._wildcards else self._no_host
        for table in chain:
            leaf = table.exact.get(path) or table.find(path)
            if leaf is not None:
                return leaf.by_method.get(method, leaf.otherwise)
        return None

    def hosts(self, host: bytes) -> tuple[HostTable, ...]:
        """The host tables that hold for a host, the most specific first."""
        chain = self._exact_hosts.get(host)
        if chain is not None:
            return chain
        wildcards = self._wildcards
        if wildcards:
            if host.endswith(b"."):
                host = host[:-1]  # fully qualified, the same host; exact hosts are listed under both
            # A suffix starts at a dot, after at least one byte, and is no longer than the longest there is.
            at = host.find(b".", max(1, len(host) - self._longest_suffix))
            while at > 0:
                chain = wildcards.get(host[at:])
                if chain is not None:
                    return chain
                at = host.find(b".", at + 1)
        return self._no_host

    def match_port(self, host: bytes, host_field: bytes, path: bytes, method: bytes) -> Matched:
        """The route among those for a host with a port; `host_field` is the Host as the client wrote it."""
        table = self.ports.get(_with_port(host, host_field))
        return None if table is None else _ask(table, normal_path(path), method)

    def match_after(self, route: CompiledRoute, host: bytes, host_field: bytes, path: bytes, method: bytes) -> Matched:
        """The route for a request that `route` has passed on: that of a less specific host."""
        path = normal_path(path)
        is_after = False
        for table in self.chain(host, host_field):
            if is_after:
                answer = _ask(table, path, method)
                if answer is not None:
                    return answer
            elif table.host == route.record.host:
                is_after = True
        return None

    def chain(self, host: bytes, host_field: bytes) -> tuple[HostTable, ...]:
        """The host tables that hold for a host with its port, the most specific first."""
        table = self.ports.get(_with_port(host, host_field))
        return self.hosts(host) if table is None else (table, *self.hosts(host))


def _ask(table: HostTable, path: bytes, method: bytes) -> Matched:
    leaf = table.exact.get(path) or table.find(path)
    return None if leaf is None else leaf.by_method.get(method, leaf.otherwise)


def _with_port(host: bytes, host_field: bytes) -> bytes:
    """`name:port`; without a port it is 80, as for any http URL."""
    port = host_field[len(host) + 1 :].lstrip(b"0")
    return host + b":" + (port or b"80")

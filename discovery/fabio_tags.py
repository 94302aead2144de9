"""The tags of Fabio's that one service's instances carry, as parts of splits. Pure.

Fabio's targets are instances, each with its own options: a path belongs to those that carry its tag and
to no others. Instances of one service that say the same of a path are one part of the path's split; what
parts there are over all services is only known once all routes are together (`merge`). A tag that
is refused costs its instance its place in that route. Where nobody has one, the route is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from discovery.model import Origin, OriginKind, Problem, RouteSpec, Share
from discovery.urlprefix import Refused, UrlPrefix, read_urlprefix


class FabioTags:
    """Collects tags; `routes` once they are all there."""

    def __init__(self, service: str, authorities: Iterable[str]) -> None:
        """`authorities`: host:port of all instances of the service, those without tags too."""
        self.problems: list[Problem] = []
        # What Fabio's tags restrict: a gw. route to the same place would go around it. (host, path/*) -> who says so.
        self.closed: dict[tuple[str, str], str] = {}
        self._service = service
        self._authorities = frozenset(authorities)
        self._parts: dict[UrlPrefix, tuple[Origin, set[str]]] = {}
        self._refused: dict[tuple[str, str], Origin] = {}

    def read(self, instance: str, authority: str, tag: str, text: str) -> None:
        """One tag of one instance; `text` is what follows the tag's prefix."""
        origin = Origin(OriginKind.TAG, f"service {self._service}, instance {instance}, tag {tag}")
        if not text.strip():
            self.problems.append(Problem(origin, "has no path, as in urlprefix-/path"))
            return
        try:
            read = read_urlprefix(text)
        except Refused as error:
            self.problems.append(Problem(origin, f"{error}; its route is refused"))
            if error.key is not None:
                self._refused.setdefault(error.key, origin)
                self._close(*error.key, instance, tag)
            return
        if read.handling.allow or read.handling.deny:
            self._close(read.host, read.path, instance, tag)
        self._parts.setdefault(read, (origin, set()))[1].add(authority)

    def _close(self, host: str, path: str, instance: str, tag: str) -> None:
        below = path.removesuffix("*").removesuffix("*").rstrip("/") + "/*"
        self.closed.setdefault((host, below), f"instance {instance}, tag {tag}")

    def routes(self) -> Iterator[RouteSpec]:
        """A part for every way in which instances take a path, then what nobody takes and must stay closed."""
        taken: set[tuple[str, str]] = set()
        for read, (origin, authorities) in self._parts.items():
            taken.add((read.host, read.path))
            only = () if authorities == self._authorities else tuple(sorted(authorities))
            yield RouteSpec(
                read.path,
                self._service,
                origin,
                host=read.host,
                options=read.options,
                handling=read.handling,
                share=Share(read.fraction, only),
            )
        for (host, path), origin in self._refused.items():
            if (host, path) not in taken:
                yield RouteSpec(path, self._service, origin, host=host, is_refused=True)

"""Prefixes as text: /foo takes /foo, /foobar and /foo/bar (Fabio's rule). The longest wins. Pure.

Sorted, what precedes a path is its longest prefix, or begins with it: between a text and whatever begins
with it nothing stands that does not. So one binary search and a walk along prefixes of prefixes find it.
"""

from __future__ import annotations

from bisect import bisect_right

from gateway.routing.compiled import Leaf


class TextPrefixes:
    """The prefixes of one host."""

    __slots__ = ("_leaves", "_shorter", "_texts")

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._leaves: list[Leaf] = []
        self._shorter: list[int] = []  # the longest other text that each begins with: its index, or -1

    def add(self, leaf: Leaf) -> None:
        """Add a pattern whose text is not there yet."""
        text = leaf.pattern.literal
        at = bisect_right(self._texts, text)
        self._texts.insert(at, text)
        self._leaves.insert(at, leaf)

    def finish(self) -> None:
        """All are added."""
        self._shorter = []
        for at, text in enumerate(self._texts):
            shorter = at - 1
            while shorter >= 0 and not text.startswith(self._texts[shorter]):
                shorter = self._shorter[shorter]
            self._shorter.append(shorter)

    def find(self, path: bytes) -> Leaf | None:
        """The longest that the path begins with."""
        at = bisect_right(self._texts, path) - 1
        while at >= 0:
            if path.startswith(self._texts[at]):
                return self._leaves[at]
            at = self._shorter[at]
        return None

    def all(self, path: bytes) -> list[Leaf]:
        """All that the path begins with. For people, not for requests."""
        return [leaf for text, leaf in zip(self._texts, self._leaves, strict=True) if path.startswith(text)]

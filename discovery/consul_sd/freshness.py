"""How far Consul can be trusted now, from how each watch fares. Pure; times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from discovery.source import SourceState

REFRESH = 10.0  # seconds between states that say nothing but a newer success


@dataclass(slots=True)
class _Standing:
    """How one watch fares."""

    has_answered: bool = False
    failing_since: float | None = None
    error: str = ""


class Freshness:
    """The state of a source made of many watches: stale while any of them fails."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._watches: dict[str, _Standing] = {}
        self._last_success: float | None = None
        self._stale_since: float | None = None  # of this spell, though the watch that failed first may be well again
        self._emitted: SourceState | None = None
        self._is_restored = False

    def restore(self, last_success: float | None) -> None:
        """What is known is from before; until every watch has answered it is stale, since that success."""
        self._last_success = self._stale_since = last_success
        self._is_restored = True

    @property
    def last_success(self) -> float | None:
        """When any watch last had an answer, before a restart if need be."""
        return self._last_success

    def add(self, watch: str) -> None:
        """A watch has started; before the source is first fresh, it is waited for."""
        self._watches[watch] = _Standing()

    def drop(self, watch: str) -> None:
        """A watch is no longer wanted; its failures no longer count."""
        self._watches.pop(watch, None)

    def succeeded(self, watch: str, now: float, *, doubt: str = "") -> None:
        """A watch has an answer; `doubt` says why it is used and yet not trusted (no leader)."""
        standing = self._watches.get(watch)
        if standing is None:  # dropped while the answer was on its way
            return
        standing.has_answered = True
        standing.error = doubt
        if doubt:
            standing.failing_since = now if standing.failing_since is None else standing.failing_since
        else:
            standing.failing_since = None
            self._last_success = now

    def failed(self, watch: str, now: float, error: str) -> None:
        """A watch has no answer."""
        standing = self._watches.get(watch)
        if standing is None:
            return
        standing.error = error
        if standing.failing_since is None:
            standing.failing_since = now

    def state(self, note: str = "") -> SourceState | None:
        """The state to emit, if there is anything new in it. `note` is an error that leaves the source fresh."""
        failing = [each for each in self._watches.values() if each.failing_since is not None]
        has_answered = all(each.has_answered for each in self._watches.values())
        self._is_restored &= not has_answered
        if not failing and self._emitted is None and not has_answered and not self._is_restored:
            return None  # not first fresh yet
        if self._is_restored:
            return self._news(self._restored_state(failing[0].error if failing else ""))
        since = min((each.failing_since for each in failing if each.failing_since is not None), default=None)
        self._stale_since = since if since is None or self._stale_since is None else self._stale_since
        state = SourceState(
            self._source,
            stale=bool(failing),
            stale_since=self._stale_since,
            last_success=self._last_success,
            error=failing[0].error if failing else note,
        )
        return self._news(state)

    def _restored_state(self, error: str) -> SourceState:
        return SourceState(
            self._source,
            stale=True,
            stale_since=self._stale_since,
            last_success=self._last_success,
            error=error or "Consul has not answered yet; what it said before the gateway's restart is used",
            is_restored=True,
        )

    def _news(self, state: SourceState) -> SourceState | None:
        if self._emitted is not None and not self._is_news(state, self._emitted):
            return None
        self._emitted = state
        return state

    @staticmethod
    def _is_news(state: SourceState, before: SourceState) -> bool:
        if replace(state, last_success=before.last_success) != before:
            return True
        # Either way: the clock may have been set back.
        return abs((state.last_success or 0.0) - (before.last_success or 0.0)) >= REFRESH

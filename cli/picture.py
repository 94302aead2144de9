"""Everything that one frame of the dashboard is drawn from, and how it comes about from what is heard. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from cli.layout import printable
from cli.rates import Rates, Window

if TYPE_CHECKING:
    from gateway.admin.series import GatewaySeries, SeriesBody, ServiceSeries
    from gateway.admin.status import Status

PAST: Final = 120  # seconds of the past that sparklines show
RESTART_IS_NEWS: Final = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Silence:
    """A gateway that answered before does not any more."""

    where: str
    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The gateway at one moment."""

    status: Status
    rates: Rates
    series: SeriesBody | None = None  # the past; None: not asked for
    silence: Silence | None = None
    restarted: bool = False  # just now, before our eyes

    def gateway_past(self) -> GatewaySeries | None:
        return self.series["gateway"] if self.series else None

    def service_past(self, name: str) -> ServiceSeries | None:
        every = self.series["services"] if self.series else []
        return next((each for each in every if each["name"] == name), None)


def only(status: Status, service: str | None) -> Status:
    """The status with no other service than this one; with all for None."""
    if service is None:
        return status
    left = [each for each in status["services"] if each["name"] == service]
    return {**status, "services": left}


@dataclass(slots=True)
class Story:
    """What was heard of one gateway so far, through silences and restarts. Times are any steady clock's seconds."""

    where: str
    service: str | None = None  # the only one that matters
    picture: Picture | None = None
    _window: Window = field(default_factory=Window)
    _silent_since: float | None = None

    @property
    def present(self) -> Picture:
        """What is known now; something must have been heard."""
        assert self.picture is not None
        return self.picture

    def heard(self, status: Status, series: SeriesBody | None) -> None:
        """An answer. A gateway that started anew is told apart by when it started."""
        before = self.picture
        is_another = before is not None and before.status["started_at"] != status["started_at"]
        is_news = status["uptime_seconds"] < RESTART_IS_NEWS
        self.picture = Picture(
            printable(only(status, self.service)),
            self._window.add(status),
            series,
            restarted=is_news and (is_another or (before is not None and before.restarted)),
        )
        self._silent_since = None

    def silent(self, why: str, asked: float, now: float) -> None:
        """No answer to what was asked at `asked`."""
        if self.picture is None:
            return
        self._silent_since = asked if self._silent_since is None else self._silent_since
        self.picture = replace(self.picture, silence=Silence(self.where, now - self._silent_since, why))

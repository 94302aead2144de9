"""Asks a gateway again and again, in a thread of its own: keys must work while an answer is waited for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cli.admin_client import AdminAddress, AdminClient, NobodyAnswers, Refused
from cli.picture import PAST

if TYPE_CHECKING:
    from gateway.admin.series import SeriesBody
    from gateway.admin.status import Status


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, or why there is none."""

    asked: float  # time.monotonic()
    status: Status | None
    series: SeriesBody | None
    why: str = ""


def ask(client: AdminClient, services: tuple[str, ...]) -> Heard:
    """One look, with the past of these services."""
    asked = time.monotonic()
    try:
        return Heard(asked, client.status(), _past(client, services))
    except (NobodyAnswers, Refused) as error:
        return Heard(asked, None, None, str(error).partition("\n")[0])


def _past(client: AdminClient, services: tuple[str, ...]) -> SeriesBody | None:
    """None from a gateway that is older than these commands and keeps none."""
    try:
        return client.series(PAST, services)
    except Refused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None


class Poller:
    """To be used as a context. `interesting` are the services whose past is asked for; set it at any time."""

    def __init__(self, where: AdminAddress, interval: float, on_heard: Callable[[], None]) -> None:
        self.interesting: tuple[str, ...] = ()
        self._where = where
        self._interval = interval
        self._on_heard = on_heard
        self._found: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._failure: Exception | None = None
        self._telling = threading.Lock()  # what `on_heard` writes to is closed once the context has been left
        # An answer may take seconds to fail; nobody who quits waits for it.
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._telling:
            self._is_over.set()

    def take(self) -> list[Heard]:
        """What came since the last call. Raises what ended the thread, if something did."""
        if self._failure is not None:
            raise self._failure
        found = []
        while not self._found.empty():
            found.append(self._found.get())
        return found

    def _run(self) -> None:
        with AdminClient(self._where) as client:
            while not self._is_over.wait(self._interval):
                try:
                    self._found.put(ask(client, self.interesting))
                except Exception as error:
                    self._failure = error  # a fault of ours: told where it is seen
                with self._telling:
                    if self._is_over.is_set():
                        return
                    self._on_heard()
                if self._failure is not None:
                    return

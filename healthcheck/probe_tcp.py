"""One TCP probe: does the address accept a connection? It is closed at once, nothing is sent."""

from __future__ import annotations

import trio

from discovery.settings import HealthSettings
from healthcheck import dial
from healthcheck.model import Verdict


class TcpProbe:
    """The probe of one address; call it for a verdict. About 0.1 ms of CPU."""

    __slots__ = ("_address", "_timeout")

    def __init__(self, address: str, settings: HealthSettings) -> None:
        self._address = address
        self._timeout = settings.timeout

    async def __call__(self) -> Verdict:
        """Probe once. Raises dial.ProbeNotSent when this machine could not send it, and nothing else."""
        started = trio.current_time()
        ok, detail = False, f"timed out after {float(self._timeout)} s"
        with trio.move_on_after(self._timeout):
            try:
                (await dial.connect(*dial.split_address(self._address))).close()
                ok, detail = True, f"connected in {(trio.current_time() - started) * 1000.0:.0f} ms"
            except OSError as error:
                detail = dial.words(error)
            except ValueError:  # not host:port, or a name no resolver takes (UnicodeError)
                detail = f"{self._address!r} is not an address"
        return Verdict(ok=ok, detail=detail, duration=trio.current_time() - started)

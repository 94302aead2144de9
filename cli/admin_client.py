"""Talks to a running gateway through its admin interface, and says plainly when that fails."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypedDict, cast
from urllib.parse import quote

import httpx

if TYPE_CHECKING:
    from gateway.admin.explanation import Explained
    from gateway.admin.progress import Progress
    from gateway.admin.series import SeriesBody
    from gateway.admin.status import RouteTables, ServiceTables, Status
    from gateway.admin.why import StoriesAnswer
    from gateway.config.describe import Config

DEFAULT_ADMIN: Final = "127.0.0.1:9901"
CONFIG_FILE: Final = "gateway.toml"
TIMEOUT: Final = 5.0  # seconds for each of connecting, sending, receiving
_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  # listened on; not an address to call


@dataclass(frozen=True, slots=True)
class AdminAddress:
    """Where a running gateway should answer, and who says so."""

    address: str  # host:port
    origin: str  # "--admin", "GW_ADMIN", "./gateway.toml", "the default"
    token: str = field(default="", repr=False)  # sent to whoever answers there; "" for none

    def __str__(self) -> str:
        return f"{self.address} ({self.origin})"


class NobodyAnswers(Exception):
    """No gateway answers at the address. The message says which, where it came from and what to do."""


class Refused(Exception):
    """The gateway answered with an error: `message` for a person, `problems` one sentence each."""

    def __init__(self, message: str, *, reason: str = "", problems: tuple[str, ...] = (), status: int = 0) -> None:
        super().__init__(message)
        self.status = status  # of its answer; 0: that was none of a gateway's
        self.reason = reason
        self.problems = problems


def find_admin(option: str | None, environ: Mapping[str, str], folder: Path) -> AdminAddress:
    """The first of: `--admin`, GW_ADMIN, `admin` in gateway.toml of `folder`, the default.

    Its token is GW_ADMIN_TOKEN, else `admin_token` of that file.
    """
    written, excuse = _read_file(folder / CONFIG_FILE, environ)
    token = environ.get("GW_ADMIN_TOKEN") or written.get("admin_token", "")
    if option:
        return AdminAddress(_callable(option), "--admin", token)
    if environ.get("GW_ADMIN"):
        return AdminAddress(_callable(environ["GW_ADMIN"]), "GW_ADMIN", token)
    if "admin" in written:
        return AdminAddress(_callable(written["admin"]), f"./{CONFIG_FILE}", token)
    return AdminAddress(DEFAULT_ADMIN, f"the default{excuse}", token)


def _read_file(path: Path, environ: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """What a file says under [gateway] of the admin interface, and why it says no address."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError) as error:  # a broken file must not keep anyone from looking at what runs
        return {}, f", since ./{CONFIG_FILE} cannot be read: {error}"
    section = tables.get("gateway")
    found: dict[str, str] = {}
    for key in ("admin", "admin_token"):
        text = section.get(key) if isinstance(section, dict) else None
        if isinstance(text, str) and "${" in text:
            from gateway.config.document import substitute

            text = substitute(text, environ, ("gateway", key), [])
        if isinstance(text, str):
            found[key] = text
    return found, f", since ./{CONFIG_FILE} names no admin address"


def _callable(text: str) -> str:
    """An address to connect to, from one to listen on (or from a URL, which people paste)."""
    address = text.strip().removeprefix("http://").rstrip("/")
    host, colon, port = address.rpartition(":")
    return _EVERY_ADDRESS.get(host, host or "127.0.0.1") + colon + port if colon else address


class Drained(TypedDict):
    """The answer to a drain or its end."""

    service: str
    instance: str
    draining: bool
    changed: bool  # False: it was so already
    generation: int  # from this one on it holds


class Reloaded(TypedDict):
    """The answer to a reload."""

    reloaded: bool
    generation: int
    needs_restart: list[str]  # keys that take effect only after a restart


class AdminClient:
    """One gateway's admin interface. Methods raise NobodyAnswers and Refused."""

    def __init__(self, where: AdminAddress) -> None:
        self.where = where
        try:
            # trust_env: a proxy meant for the world outside must not stand between us and the gateway.
            self._http = httpx.Client(base_url=f"http://{where.address}", timeout=TIMEOUT, trust_env=False)
        except httpx.InvalidURL as error:
            raise NobodyAnswers(f"{where} is not an address to call: {error}. Write HOST:PORT.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def status(self) -> Status:
        return cast("Status", self._ask("GET", "/api/status"))

    def routes(self) -> RouteTables:
        return cast("RouteTables", self._ask("GET", "/api/routes"))

    def services(self) -> ServiceTables:
        return cast("ServiceTables", self._ask("GET", "/api/services"))

    def series(self, seconds: int, services: Sequence[str]) -> SeriesBody:
        """The past so many seconds of the gateway and of these services."""
        query = httpx.QueryParams([("seconds", str(seconds)), *(("service", name) for name in services)])
        return cast("SeriesBody", self._ask("GET", f"/api/series?{query}"))

    def progress(self, service: str, timeout: float) -> Progress:
        """How far the newest state has come, and one service ("": none); `timeout` in seconds."""
        query = f"?{httpx.QueryParams(service=service)}" if service else ""
        return cast("Progress", self._ask("GET", f"/api/progress{query}", timeout=timeout))

    def config(self) -> Config:
        """The configuration in force."""
        return cast("Config", self._ask("GET", "/api/config"))

    def explain(self, asked: Mapping[str, object]) -> Explained:
        return cast("Explained", self._ask("POST", "/api/explain", asked=asked))

    def why(self, request_id: str) -> StoriesAnswer:
        """What is remembered of requests with this id, newest first. Refused where that is nothing."""
        return cast("StoriesAnswer", self._ask("GET", f"/api/why?request_id={quote(request_id, safe='')}"))

    def failures(self, last: int) -> StoriesAnswer:
        """The last so many failures and retries, newest first."""
        return cast("StoriesAnswer", self._ask("GET", f"/api/why?last={last}"))

    def reload(self) -> Reloaded:
        return cast("Reloaded", self._ask("POST", "/api/reload", timeout=60.0))  # names may take a while to resolve

    def down(self) -> dict[str, object]:
        return self._ask("POST", "/api/down")

    def drain(self, service: str, instance: str, by: str, *, undo: bool = False) -> Drained:
        """Take an instance out of balancing, or with `undo` put it back."""
        asked = {"service": service, "instance": instance, "by": by}
        return cast("Drained", self._ask("POST", "/api/undrain" if undo else "/api/drain", asked=asked))

    def _ask(
        self, method: str, path: str, timeout: float = TIMEOUT, asked: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        try:
            response = self._http.request(method, path, timeout=timeout, json=asked, headers=self._headers(method))
        except httpx.ConnectError as error:
            raise NobodyAnswers(self._nobody(_innermost(error))) from error
        except httpx.TimeoutException as error:
            raise NobodyAnswers(self._nobody(f"no answer within {timeout:g} s")) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise NobodyAnswers(self._nobody(_innermost(error))) from error
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(f"What answers at {self.where} is not a gateway's admin interface. Is the address right?")
        if response.is_success:
            return body
        problems, code = body.get("problems", []), response.status_code
        detail = body.get("detail") or body.get("title") or f"status {response.status_code}"
        raise Refused(str(detail), reason=str(body.get("reason", "")), problems=tuple(map(str, problems)), status=code)

    def _headers(self, method: str) -> dict[str, str]:
        """The token goes only where it is needed."""
        token = self.where.token
        if method != "POST" or not token:
            return {}
        if not all("!" <= character <= "~" for character in token):  # checked here: httpx would print it
            raise Refused("The admin token (GW_ADMIN_TOKEN, or admin_token) has characters that no token can have.")
        return {"Authorization": f"Bearer {token}"}

    def _nobody(self, why: str) -> str:
        return (
            f"No gateway answers at {self.where}: {why}.\n"
            "Start one with `gw up`, or say where it is with --admin HOST:PORT or the variable GW_ADMIN."
        )


def _innermost(error: BaseException) -> str:
    """The system's own words, e.g. "connection refused", from under httpx's layers."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror[0].lower() + cause.strerror[1:]
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__

"""Consul's API as a few typed, awaitable calls over python-consul. The only importer of python-consul.

python-consul takes its transport as an object with get/put/post/delete and a callback that decodes the
response. The transport here returns coroutines, so every call of the library can be awaited on trio.
It also mends what version 1.1.0 lacks:

- the token travels in X-Consul-Token, never in a URL, so URLs are safe to log;
- reads are stale reads, which work without a leader;
- every request has timeouts, and a blocking query one beyond the server's own wait;
- a reply carries its index as a number and the headers that say how far it can be trusted;
- failures are three exceptions: Unreachable, Forbidden, Rejected.

One ConsulClient holds at most one connection and serves one caller at a time: a shared httpx pool
scans all its connections for each request, which with hundreds of long polls costs minutes of CPU
(encode/httpcore#1035). `import consul` takes 100 ms and loads requests, hence only on first use.
"""

from __future__ import annotations

import functools
import json
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from discovery.settings import ConsulSettings

WAIT = 30.0  # seconds a blocking query may hang; short, as Consul keeps the slot of a client that left until then
CONNECT_TIMEOUT = 2.0
REPLY_TIMEOUT = 10.0  # for a plain call, and for a blocking query beyond its wait
READS = ("/v1/health/", "/v1/catalog/", "/v1/kv/")
MAX_DETAIL = 200  # characters of a body quoted in an error


class ConsulError(Exception):
    """A call that failed; the text is a sentence fit for status and log."""


class Unreachable(ConsulError):
    """No usable answer: no connection, a timeout, a server error, or something that is not Consul.

    `crowded` says that waiting longer is the right answer: Consul closed a new connection without a
    word, or said 429, as it does past limits.http_max_conns_per_client (200 per address).
    """

    def __init__(self, sentence: str, *, crowded: bool = False) -> None:
        super().__init__(sentence)
        self.crowded = crowded


class Forbidden(ConsulError):
    """The token is unknown or may not do this (401, 403)."""


class Rejected(ConsulError):
    """Consul understood and refuses (any other 4xx): asking again will not help."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a read."""

    index: int  # at least 1
    data: Any  # the decoded JSON
    leader_known: bool = True  # false: the servers have lost their leader
    last_contact: float = 0.0  # seconds since the answering server heard of its leader
    is_filtered: bool = False  # results were left out for want of permissions


def base_url(address: str) -> str:
    """The address as a URL; Consul's own tools also write it without a scheme."""
    return (address if "://" in address else f"http://{address}").rstrip("/")


def tls_context(settings: ConsulSettings) -> ssl.SSLContext:
    """The TLS settings, to be shared by every client (each would load the trust store again).

    Raises ConsulError, naming the file, if one cannot be used.
    """
    if not base_url(settings.address).startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used; httpx would load its own trust store
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:
        raise ConsulError(f"consul.ca_file {settings.ca_file}: {error}") from error
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file or None)
        except OSError as error:
            raise ConsulError(f"consul.cert_file {settings.cert_file}: {error}") from error
    return context


class _Transport:
    """python-consul's HTTPClient, answering with coroutines."""

    def __init__(self, http: httpx.AsyncClient, wait: float) -> None:
        self._http = http
        self._plain = httpx.Timeout(REPLY_TIMEOUT, connect=CONNECT_TIMEOUT)
        # the server adds up to wait/16 so that not all watches end at once
        self._blocking = httpx.Timeout(REPLY_TIMEOUT, connect=CONNECT_TIMEOUT, read=wait * 17 / 16 + REPLY_TIMEOUT)
        self._is_fresh = True  # no answer yet on this connection

    def get(self, callback: Callable[[Any], Any], path: str, params: Any = None) -> Coroutine[Any, Any, Any]:
        return self._send("GET", callback, path, params or [])

    def put(
        self, callback: Callable[[Any], Any], path: str, params: Any = None, data: str = ""
    ) -> Coroutine[Any, Any, Any]:
        return self._send("PUT", callback, path, params or [], data)

    async def _send(
        self,
        method: str,
        callback: Callable[[Any], Any],
        path: str,
        params: Sequence[tuple[str, Any]],
        data: str = "",
    ) -> Any:
        headers = [("X-Consul-Token", str(value)) for key, value in params if key == "token"]
        query = httpx.QueryParams([(key, str(value)) for key, value in params if key != "token"])
        if method == "GET" and path.startswith(READS):
            query = query.set("stale", "")
        timeout = self._blocking if "wait" in query else self._plain
        # httpx quotes what is left in the path, but would take a "?" or "#" of a name for its own
        target = quote(path, safe="/:")
        try:
            response = await self._http.request(
                method, target, params=query, content=data, headers=headers, timeout=timeout
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            dropped = isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError))
            crowded = dropped and self._is_fresh
            self._is_fresh = True
            raise Unreachable(f"Consul at {self._http.base_url}: {_say(error)}", crowded=crowded) from error
        self._is_fresh = False
        _raise_for_status(response, f"{method} {path}")
        return _decode(response, callback, f"{method} {path}")


def _say(error: Exception) -> str:
    """An httpx error in words; some have no text of their own."""
    match error:
        case httpx.ConnectTimeout():
            return f"no connection within {CONNECT_TIMEOUT:g} s"
        case httpx.TimeoutException():
            return "no answer in time"
        case httpx.ConnectError():
            return f"cannot connect: {error}"
        case _:
            return str(error) or type(error).__name__


def _raise_for_status(response: httpx.Response, what: str) -> None:
    """Raises for anything but 200, and 404 with an index (nothing there, but watchable)."""
    status = response.status_code
    if status == 200 or (status == 404 and "X-Consul-Index" in response.headers):
        return
    sentence = f"Consul answered {what} with {status}: {' '.join(response.text.split())[:MAX_DETAIL]}"
    if status in (401, 403):
        raise Forbidden(sentence)
    if status == 429:
        raise Unreachable(sentence, crowded=True)
    if 400 <= status < 500:
        raise Rejected(sentence)
    raise Unreachable(sentence)


def _decode(response: httpx.Response, callback: Callable[[Any], Any], what: str) -> Any:
    """What the library's callback makes of the response; an (index, data) pair becomes a Reply."""
    headers = httpx.Headers(response.headers)
    headers.setdefault("X-Consul-Index", "1")
    library = _library()
    try:
        result = callback(library.base.Response(response.status_code, headers, response.text))
        if not isinstance(result, tuple):
            return result
        index, data = result
        return Reply(
            index=max(int(index), 1),
            data=data,
            # agents that stream leave both headers out, which says nothing
            leader_known=headers.get("X-Consul-KnownLeader", "true") != "false",
            last_contact=int(headers.get("X-Consul-LastContact", "0")) / 1000,
            is_filtered=headers.get("X-Consul-Results-Filtered-By-ACLs", "") == "true",
        )
    except (ValueError, KeyError, TypeError, library.ConsulException) as error:
        raise Unreachable(f"the answer to {what} is not Consul's: {error}") from error


@functools.cache
def _library() -> Any:
    import consul  # late: it loads requests, 100 ms that only a gateway with Consul should pay

    return consul


@functools.cache
def _consul_class() -> Any:
    """base.Consul without its constructor, which lets the environment override explicit arguments."""
    base = _library().base

    class TrioConsul(base.Consul):  # type: ignore[misc, name-defined]  # python-consul carries no types
        def __init__(self, transport: _Transport, datacenter: str) -> None:
            self.http = transport
            self.token = None  # the client's default header carries it
            self.dc = datacenter or None
            self.consistency = "default"  # the transport adds `stale` itself
            self.agent = base.Consul.Agent(self)
            self.catalog = base.Consul.Catalog(self)
            self.health = base.Consul.Health(self)

    return TrioConsul


class ConsulClient:
    """One connection to Consul; an async context manager. Every call may raise ConsulError."""

    def __init__(self, settings: ConsulSettings, *, tls: ssl.SSLContext | None = None, wait: float = WAIT) -> None:
        """`tls` as made by `tls_context`; `wait` is how long a blocking query may hang, in seconds."""
        self._wait = f"{wait * 1000:.0f}ms"  # Consul wants a unit
        self._http = httpx.AsyncClient(
            base_url=base_url(settings.address),
            headers={"X-Consul-Token": settings.token} if settings.token else {},
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None),
            verify=tls if tls is not None else tls_context(settings),
            trust_env=False,
        )
        self._consul = _consul_class()(_Transport(self._http, wait), settings.datacenter)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def health(self, service: str, index: int = 0) -> Reply:
        """All instances of a service with their checks; with an index, once they have changed since."""
        reply: Reply = await self._consul.health.service(service, index=index or None, wait=self._wait)
        return reply

    async def services(self, index: int = 0) -> Reply:
        """The names of all services with their tags; with an index, once they have changed since."""
        reply: Reply = await self._consul.catalog.services(index=index or None, wait=self._wait)
        return reply

    async def register(self, definition: Mapping[str, object]) -> None:
        """Registers a service with the agent; `definition` is in Consul's own spelling.

        Checks of an earlier registration that are not in this one go, or they would keep it critical.
        """
        await self._consul.http.put(
            _library().base.CB.bool(),
            "/v1/agent/service/register",
            params=[("replace-existing-checks", "true")],
            data=json.dumps(definition),
        )

    async def deregister(self, service_id: str) -> None:
        """Removes a service from the agent it was registered with."""
        await self._consul.agent.service.deregister(service_id)

    async def agent_services(self) -> Mapping[str, Any]:
        """What is registered with this very agent, by id."""
        services: Mapping[str, Any] = await self._consul.agent.services()
        return services

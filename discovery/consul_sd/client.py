"""Consul's API as a few typed, awaitable calls over python-consul. The only importer of python-consul.

python-consul takes its HTTP client as an object with get/put/post/delete and a callback that decodes the
response. The one here (`transport`) returns coroutines, so every call of the library can be awaited on trio.
Its maintained fork, py-consul, has the same import name, and its parts in other places and with more
arguments; both work. What python-consul 1.1.0 lacks is mended here and in `transport`: the token as a header,
stale reads, timeouts, a reply with its index as a number and the headers that say how far it can be
trusted, failures as the exceptions of `errors`.

One ConsulClient holds at most one connection and serves one caller at a time (see `transport`). `import consul`
takes 100 ms and loads requests, hence only on first use.
"""

from __future__ import annotations

import functools
import json
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from discovery.consul_sd.errors import Forbidden, Rejected, Unreachable
from discovery.consul_sd.permissions import Permission, missing
from discovery.consul_sd.tls import tls_context
from discovery.consul_sd.transport import Transport
from discovery.settings import ConsulSettings

WAIT = 30.0  # seconds a blocking query may hang; short, as Consul keeps the slot of a client that left until then


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a read."""

    index: int  # at least 1
    data: Any  # the decoded JSON
    leader_known: bool = True  # false: the servers have lost their leader
    last_contact: float = 0.0  # seconds since the answering server heard of its leader
    is_filtered: bool = False  # results were left out for want of permissions
    is_repeat: bool = False  # the index is the one asked with: nothing changed, and what it lacks is hidden, not gone


class _LibraryTransport:
    """The library's HTTPClient, answering with coroutines. `more`: what py-consul gives besides (headers, raw)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(
        self, callback: Callable[[Any], Any], path: str, params: Any = None, **more: object
    ) -> Coroutine[Any, Any, Any]:
        return self._call("GET", callback, path, params or [])

    def put(
        self, callback: Callable[[Any], Any], path: str, params: Any = None, data: Any = "", **more: object
    ) -> Coroutine[Any, Any, Any]:
        return self._call("PUT", callback, path, params or [], data)

    async def _call(
        self,
        method: str,
        callback: Callable[[Any], Any],
        path: str,
        params: Sequence[tuple[str, Any]],
        data: str = "",
    ) -> Any:
        response = await self._transport.send(method, path, params, data)
        return _decode(response, callback, f"{method} {path}")


def _decode(response: httpx.Response, callback: Callable[[Any], Any], what: str) -> Any:
    """What the library's callback makes of the response; an (index, data) pair becomes a Reply."""
    headers = httpx.Headers(response.headers)
    headers.setdefault("X-Consul-Index", "1")
    library = _library()
    try:
        result = callback(library.base.Response(response.status_code, headers, response.text))
        if not isinstance(result, tuple):
            return result
        return _reply(headers, result[1])
    except (ValueError, KeyError, TypeError, library.ConsulException) as error:
        raise Unreachable(f"the answer to {what} is not Consul's: {error}") from error


def _reply(headers: httpx.Headers, data: Any) -> Reply:
    """Raises ValueError for a header that is not a number."""
    return Reply(
        index=max(int(headers.get("X-Consul-Index", "1")), 1),
        data=data,
        # agents that stream leave both headers out, which says nothing
        leader_known=headers.get("X-Consul-KnownLeader", "true") != "false",
        last_contact=int(headers.get("X-Consul-LastContact", "0")) / 1000,
        is_filtered=headers.get("X-Consul-Results-Filtered-By-ACLs", "") == "true",
    )


@functools.cache
def _library() -> Any:
    import consul  # late: it loads requests, 100 ms that only a gateway with Consul should pay

    return consul


@functools.cache
def _consul_class() -> Any:
    """base.Consul without its constructor, which lets the environment override explicit arguments."""
    base = _library().base

    def part(name: str) -> Any:
        return getattr(base.Consul, name, None) or getattr(base, name)  # python-consul's place, py-consul's

    class TrioConsul(base.Consul):  # type: ignore[misc, name-defined]  # python-consul carries no types
        def __init__(self, transport: _LibraryTransport, datacenter: str) -> None:
            self.http = transport
            self.token = None  # the transport sends it
            self.dc = datacenter or None
            self.consistency = "default"  # the transport adds `stale` itself
            self.agent = part("Agent")(self)
            self.catalog = part("Catalog")(self)
            self.health = part("Health")(self)
            self.kv = part("KV")(self)

        def prepare_headers(self, token: str | None) -> dict[str, str]:
            """Asked for by py-consul."""
            return {}

    return TrioConsul


class ConsulClient:
    """One connection to Consul; an async context manager. Every call may raise ConsulError."""

    def __init__(self, settings: ConsulSettings, *, tls: ssl.SSLContext | None = None, wait: float = WAIT) -> None:
        """`tls` as made by `tls_context`; `wait` is how long a blocking query may hang, in seconds."""
        self._wait = f"{wait * 1000:.0f}ms"  # Consul wants a unit
        self._transport = Transport(settings, tls if tls is not None else tls_context(settings), wait)
        self._consul = _consul_class()(_LibraryTransport(self._transport), settings.datacenter)

    async def __aenter__(self) -> Self:
        await self._transport.http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.http.__aexit__(kind, error, trace)

    async def health(self, service: str, index: int = 0) -> Reply:
        """All instances of a service with their checks; with an index, once they have changed since."""
        reply: Reply = await self._consul.health.service(service, index=index or None, wait=self._wait)
        return reply

    async def services(self, index: int = 0) -> Reply:
        """The names of all services with their tags; with an index, once they have changed since."""
        reply: Reply = await self._consul.catalog.services(index=index or None, wait=self._wait)
        return reply

    async def nodes(self, index: int = 0) -> Reply:
        """All nodes; with an index, once they have changed since."""
        reply: Reply = await self._consul.catalog.nodes(index=index or None, wait=self._wait)
        return reply

    async def node(self, node: str) -> Reply:
        """The services of a node; its data are bytes, as they are seldom news (see `node_services`)."""
        return await self._raw(f"/v1/catalog/node/{node}", 0)

    async def checks(self, node: str = "", index: int = 0) -> Reply:
        """All checks of a node, or of all services and nodes; with an index, once they have changed since.

        Its data are bytes: thousands of checks of which few are news are not decoded one and all (see `checks`)."""
        return await self._raw(f"/v1/health/node/{node}" if node else "/v1/health/state/any", index)

    async def _raw(self, what: str, index: int) -> Reply:
        params: list[tuple[str, Any]] = [("index", index), ("wait", self._wait)] if index else []
        datacenter = self._consul.dc
        response = await self._transport.send("GET", what, [*params, *([("dc", datacenter)] if datacenter else [])])
        try:
            return _reply(response.headers, response.content)
        except ValueError as error:
            raise Unreachable(f"the answer to GET {what} is not Consul's: {error}") from error

    async def keys(self, prefix: str, index: int = 0) -> Reply:
        """All entries of the KV store below a prefix, values as bytes; with an index, once they have changed since."""
        reply: Reply = await self._consul.kv.get(prefix, index=index or None, recurse=True, wait=self._wait)
        return reply

    async def denied(self, permissions: Sequence[Permission]) -> tuple[Permission, ...]:
        """Which of these the token lacks; none where Consul checks nothing, or cannot say."""
        body = json.dumps([each.query() for each in permissions])
        what = "/v1/internal/acl/authorize"
        try:
            response = await self._transport.send("POST", what, [], body)
            return missing(permissions, response.json())
        except (Forbidden, Rejected):
            return ()  # without ACLs, an unknown token (which the watches report), an agent too old for the question
        except ValueError as error:
            raise Unreachable(f"the answer to POST {what} is not Consul's: {error}") from error

    async def register(self, definition: Mapping[str, object]) -> None:
        """Registers a service with the agent; `definition` is in Consul's own spelling.

        Checks of an earlier registration that are not in this one go, or they would keep it critical.
        """
        await self._transport.send(
            "PUT", "/v1/agent/service/register", [("replace-existing-checks", "true")], json.dumps(definition)
        )

    async def deregister(self, service_id: str) -> None:
        """Removes a service from the agent it was registered with."""
        await self._consul.agent.service.deregister(service_id)

    async def agent_services(self) -> Mapping[str, Any]:
        """What is registered with this very agent, by id."""
        services: Mapping[str, Any] = await self._consul.agent.services()
        return services

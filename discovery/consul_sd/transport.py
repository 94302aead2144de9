"""HTTP to Consul: one connection, timeouts, the token, and failures as the three of `errors`.

- The token travels in X-Consul-Token, never in a URL, so URLs are safe to log.
- Reads are stale reads, which work without a leader.
- Every request has timeouts, and a blocking query one beyond the server's own wait.

A shared httpx pool scans all its connections for each request, which with hundreds of long polls costs minutes
of CPU (encode/httpcore#1035): hence one connection for one caller.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx

from discovery.consul_sd.errors import Forbidden, Rejected, Unreachable
from discovery.consul_sd.permissions import in_words, needed_for
from discovery.consul_sd.tls import base_url, describe_tls_failure
from discovery.consul_sd.token import Token
from discovery.settings import ConsulSettings

CONNECT_TIMEOUT = 2.0
REPLY_TIMEOUT = 10.0  # for a plain call, and for a blocking query beyond its wait
READS = ("/v1/health/", "/v1/catalog/", "/v1/kv/")
MAX_DETAIL = 200  # characters of a body quoted in an error


class Transport:
    """One connection to Consul; an async context manager's insides (`client.ConsulClient` is the outside)."""

    def __init__(self, settings: ConsulSettings, tls: ssl.SSLContext, wait: float) -> None:
        """`wait` is how long a blocking query may hang, in seconds."""
        self._settings = settings
        self._token = Token(settings)
        self.http = httpx.AsyncClient(
            base_url=base_url(settings.address),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None),
            verify=tls,
            headers={"Accept-Encoding": "identity"},  # the agent is near: packing took it longer than sending
            trust_env=False,
        )
        self._plain = httpx.Timeout(REPLY_TIMEOUT, connect=CONNECT_TIMEOUT)
        # the server adds up to wait/16 so that not all watches end at once
        self._blocking = httpx.Timeout(REPLY_TIMEOUT, connect=CONNECT_TIMEOUT, read=wait * 17 / 16 + REPLY_TIMEOUT)
        self._is_fresh = True  # no answer yet on this connection

    async def send(self, method: str, path: str, params: Sequence[tuple[str, Any]], data: str = "") -> httpx.Response:
        """The answer, if it is a good one. Raises ConsulError."""
        response = await self._send(method, path, params, data)
        if response.status_code == 403 and self._token.renew():
            response = await self._send(method, path, params, data)
        _raise_for_status(response, f"{method} {path}", path, has_token=bool(self._token.current()))
        return response

    async def _send(self, method: str, path: str, params: Sequence[tuple[str, Any]], data: str) -> httpx.Response:
        query = httpx.QueryParams([(key, str(value)) for key, value in params if key != "token"])
        if method == "GET" and path.startswith(READS):
            query = query.set("stale", "")
        token = self._token.current()
        try:
            response = await self.http.request(
                method,
                # httpx quotes what is left in the path, but would take a "?" or "#" of a name for its own
                quote(path, safe="/:"),
                params=query,
                content=data,
                headers={"X-Consul-Token": token} if token else {},
                timeout=self._blocking if "wait" in query else self._plain,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            dropped = isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError))
            tls_failure = describe_tls_failure(error, self._settings)
            crowded = dropped and self._is_fresh and not tls_failure
            self._is_fresh = True
            sentence = f"Consul at {self.http.base_url}: {tls_failure or _say(error)}"
            raise Unreachable(sentence, crowded=crowded) from error
        self._is_fresh = False
        return response


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


def _raise_for_status(response: httpx.Response, what: str, path: str, *, has_token: bool) -> None:
    """Raises for anything but 200, and 404 with an index (nothing there, but watchable)."""
    status = response.status_code
    if status == 200 or (status == 404 and "X-Consul-Index" in response.headers):
        return
    said = " ".join(response.text.split())[:MAX_DETAIL]
    sentence = f"Consul answered {what} with {status}: {said}"
    if status in (401, 403):
        raise Forbidden(f"{sentence}; {_remedy(said, path, has_token=has_token)}")
    if status == 429:
        raise Unreachable(sentence, crowded=True)
    if 400 <= status < 500:
        raise Rejected(sentence)
    raise Unreachable(sentence)


def _remedy(said: str, path: str, *, has_token: bool) -> str:
    needed = in_words(needed_for(path))
    needs = f" with {needed}" if needed else ""
    if not has_token:
        return f"give a token{needs} (consul.token, consul.token_file or CONSUL_HTTP_TOKEN)"
    if "not found" in said.lower():
        return f"Consul does not know this token (deleted, or of another cluster): give one{needs}"
    return f"the token needs a policy{needs}" if needs else "the token may not do this"

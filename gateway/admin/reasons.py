"""What each reason means and what to do about it, for operators: `gw why` and the documentation say it in these words.

The client reads `Reason.sentence` instead, which tells nothing of the inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.errors import Reason


@dataclass(frozen=True, slots=True)
class Meaning:
    """One sentence or two each."""

    cause: str
    cure: str


MEANINGS: Final[dict[Reason, Meaning]] = {
    Reason.MALFORMED_REQUEST: Meaning(
        "What the client sent is not HTTP/1.1 as RFC 9112 has it; nothing of it reached a backend.",
        "Look at the detail for what is wrong, and at the client or the proxy before it for who writes that.",
    ),
    Reason.BAD_PROXY_HEADER: Meaning(
        "The gateway expects the PROXY protocol, and the connection did not begin with its header.",
        "Have the load balancer in front send it, or set proxy_protocol = false under [gateway].",
    ),
    Reason.BAD_HOST: Meaning(
        "The Host field was missing, there several times, or not a host name.",
        "Correct the client: HTTP/1.1 wants exactly one Host.",
    ),
    Reason.AMBIGUOUS_LENGTH: Meaning(
        "The request gave its body's length in two ways that could be read apart, as request smuggling does.",
        "Correct the client or the proxy before it: one Content-Length, or chunked, never both.",
    ),
    Reason.NO_ROUTE: Meaning(
        "No route in force matches this host and path.",
        "Compare with `gw routes`; `gw explain METHOD URL` says what was considered. A route from Consul is there only "
        "while its service is registered with its tag.",
    ),
    Reason.ACCESS_DENIED: Meaning(
        "The route's allow or deny rules refuse this client's address.",
        "If it should be let in, correct the rules; behind a proxy, name that proxy in trusted_proxies.",
    ),
    Reason.METHOD_NOT_ALLOWED: Meaning(
        "A route matches the path, but none of its pattern takes this method.",
        "Add the method to the route's methods, or correct the client.",
    ),
    Reason.HEADER_TIMEOUT: Meaning(
        "The client did not finish the head of its request within header_timeout.",
        "Rare ones are slow or attacking clients; for slow networks raise header_timeout under [limits].",
    ),
    Reason.BODY_TIMEOUT: Meaning(
        "The client stopped sending its body for longer than the route's stream_idle_timeout.",
        "Look for a client or network that stalls; raise stream_idle_timeout if such pauses are meant.",
    ),
    Reason.BODY_TOO_LARGE: Meaning(
        "The request's body is over body_bytes.",
        "Raise body_bytes under [limits], or have the client send less.",
    ),
    Reason.TARGET_TOO_LONG: Meaning(
        "The request line alone is over the limit for heads.",
        "Shorten the URL, or raise header_bytes under [limits].",
    ),
    Reason.HEADER_TOO_LARGE: Meaning(
        "The request's head is over header_bytes or has more fields than headers allows, often for its cookies.",
        "Shorten it at the client, or raise header_bytes or headers under [limits].",
    ),
    Reason.CLIENT_CLOSED: Meaning(
        "The client closed its connection before it had the whole answer.",
        "See how long the attempt took: clients give up on slow answers. Compare the client's timeout with the "
        "service's latencies.",
    ),
    Reason.TRANSFER_CODING: Meaning(
        "The request's body has a transfer coding other than chunked.",
        "Have the client send it with a length or chunked.",
    ),
    Reason.VERSION: Meaning(
        "The request has a version of HTTP other than 1.0 and 1.1.",
        "Have the client speak HTTP/1.1; HTTP/2 has to end before the gateway.",
    ),
    Reason.CONNECT_REFUSED: Meaning(
        "Nothing listens at the instance's address: its process is down, or the port is wrong.",
        "See the instance's own log and `gw services --history`; if it is not meant to be there, deregister it.",
    ),
    Reason.CONNECT_FAILED: Meaning(
        "The instance could not be connected to: no route to it, or the gateway lacks ports or descriptors.",
        "The detail has the system's error; check the network between here and the instance.",
    ),
    Reason.CONNECT_TIMEOUT: Meaning(
        "The instance did not take the connection within connect_timeout: its host is away, a firewall drops "
        "packets, or its queue is full.",
        "Check host and firewall; if the instance is overloaded, add instances or set max_in_flight.",
    ),
    Reason.UPSTREAM_RESET: Meaning(
        "The instance closed the connection before it had answered: it crashed, restarted, or closes idle connections.",
        "See the instance's log at that time. If attempts are marked stale, set keepalive_idle below the instance's "
        "own idle timeout.",
    ),
    Reason.RESPONSE_TIMEOUT: Meaning(
        "The instance did not begin its answer within the route's timeout (or per_try_timeout).",
        "Find out why it is slow; raise the route's timeout if such answers take that long rightly.",
    ),
    Reason.BAD_RESPONSE: Meaning(
        "What the instance answered is not HTTP/1.1 that can be passed on.",
        "The detail says what is wrong with it; check that the port speaks plain HTTP.",
    ),
    Reason.RESPONSE_TRUNCATED: Meaning(
        "The instance's answer ended before the length it had announced; the client's connection was cut, so that "
        "it can tell.",
        "See the instance's log at that time: it crashed, or closed while it was sending.",
    ),
    Reason.STREAM_IDLE_TIMEOUT: Meaning(
        "No byte came either way for the route's stream_idle_timeout after the answer had begun.",
        "Raise stream_idle_timeout for streams with long pauses, or have them send something now and then.",
    ),
    Reason.NO_HEALTHY_INSTANCE: Meaning(
        "The service had no instance that may take traffic: none is known, or all are unhealthy, ejected or draining.",
        "`gw services` shows each instance's reason, `gw services --history` when that began and who decided.",
    ),
    Reason.OVERLOADED: Meaning(
        "Every instance of the service had max_in_flight requests under way.",
        "Add instances, find out why requests take long, or raise max_in_flight.",
    ),
    Reason.CONNECTION_LIMIT: Meaning(
        "The worker had as many client connections as it may have.",
        "Raise connections under [limits] (each takes two descriptors), add workers, or shorten idle_timeout.",
    ),
    Reason.INTERNAL: Meaning(
        "The gateway itself failed at this request.",
        "Its log has the traceback at that time: please report it.",
    ),
}

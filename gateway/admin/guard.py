"""Who may operate the gateway through its admin interface, and who may look at it from a browser. Pure.

Reading is open to whoever reaches the address; a browser must also call it by a name that cannot be somebody else's
(DNS rebinding: a page of evil.example resolves its own name to 127.0.0.1 and reads as if it were ours). Operating:

| | no token | `admin_token` set |
|---|---|---|
| a program (no Origin, no Sec-Fetch-Site) | may | with `Authorization: Bearer TOKEN` |
| the gateway's own page | with `admin_write` | with the token |
| any other page | never | never |

The page sends a header of its own, which another origin could only add after a preflight that nobody here answers.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final

from gateway.admin.facts import Access
from gateway.admin.handlers import Reply, problem

PAGE_HEADER: Final = "x-gw-page"
_SCHEME: Final = "bearer "


def is_loopback(address: str) -> bool:
    """Of an address as bound, host:port: only this machine reaches it."""
    ip = _ip(_host(address))
    return ip is not None and ip.is_loopback


def exposure(address: str, access: Access) -> str:
    """What is dangerous about listening on `address` (as bound), and what to do; "" if nothing is."""
    if is_loopback(address) or access.token:
        return ""
    return (
        f"the admin interface listens on {address}, which is not loopback, and no token is set: whoever reaches it can "
        "drain instances, reload and stop this gateway. Set admin_token under [gateway], or admin to a loopback address"
    )


def refuse_host(bound: str, host: str | None) -> Reply | None:
    """The answer to a request whose Host is not a name of ours, None for one that is. HTTP/1.0 may have no Host."""
    if host is None or not is_loopback(bound):
        return None
    name = _host(host).lower()
    if name in ("localhost", "127.0.0.1", "::1", _host(bound).lower()):
        return None
    detail = "Call the admin interface localhost, or by the address it listens on: no other name is its own."
    return problem(403, "host_refused", detail)


def refuse_post(access: Access, headers: Mapping[str, str]) -> Reply | None:
    """The answer to a request that may not operate the gateway, None for one that may. Names are in lower case."""
    is_browser = "origin" in headers or "sec-fetch-site" in headers
    if is_browser and (refused := _refuse_browser(access, headers)):
        return refused
    if not access.token:
        return None
    given = headers.get("authorization", "")
    if not given:
        detail = "This gateway has an admin_token: send it as `Authorization: Bearer TOKEN`, or set GW_ADMIN_TOKEN."
        return problem(401, "token_required", detail)
    is_right = given[: len(_SCHEME)].lower() == _SCHEME and hmac.compare_digest(
        given[len(_SCHEME) :].strip().encode(), access.token.encode()
    )
    return None if is_right else problem(401, "token_wrong", "That is not this gateway's admin_token.")


def _refuse_browser(access: Access, headers: Mapping[str, str]) -> Reply | None:
    """Anything but our own page, with leave to operate."""
    host = headers.get("host", "")
    is_ours = (
        headers.get("origin") in (f"http://{host}", f"https://{host}")
        and headers.get("sec-fetch-site", "same-origin") == "same-origin"
        and PAGE_HEADER in headers
    )
    if not is_ours:
        return problem(403, "browser_refused", "Web pages may not operate the gateway.")
    if access.token:
        return None
    if not access.write:
        detail = "This page is read-only: set admin_write = true or admin_token under [gateway], then reload."
        return problem(403, "read_only", detail)
    name = _host(host)
    if name.lower() != "localhost" and _ip(name) is None:
        # A name is whatever DNS says it is; only a token tells our page from one that was rebound to us.
        detail = "Without admin_token, open the page by its IP address: a name could be anybody's."
        return problem(403, "host_refused", detail)
    return None


def _host(address: str) -> str:
    """Of host:port, [v6]:port or a host alone."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0]


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None

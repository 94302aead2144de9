"""The grammar of single configuration values: addresses, URLs, hosts, paths, methods, header fields.

Every `check_*` takes the text a person wrote and returns its normal form, or raises ValueError
with what would be right ("must be ..."); key and value are added where the error is rendered.
`Untyped` marks text from places that know strings only, so that it may become a number.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_FIELD_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")  # RFC 9110 section 5.5, without obs-text
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")  # RFC 1123 section 2.1, and "_"
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?")
_UNBRACKETED: Final = re.compile(r"([^:\[\]]*)(?::([0-9]{1,5}))?")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([/?#].*)?", re.DOTALL)
# RFC 3986 section 3.3 without "*", "{" and "}", which mean something in a route's path.
_PATH_TEXT: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=:@/]|%[0-9A-Fa-f]{2})*")
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DATACENTER: Final = re.compile(r"[a-z0-9_-]{1,64}")
_SEGMENT_NAME: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?")

# Fields a route may not set: of the connection (RFC 9110 section 7.6.1), of the body's framing,
# or written by the gateway itself on every forwarded request.
RESERVED_FIELDS: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
        "te", "trailer", "transfer-encoding", "upgrade", "content-length", "expect", "host",
        "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "traceparent", "tracestate",
    }
)  # fmt: skip


class Untyped(str):
    """Text from a place without types (an environment variable, a tag): may stand for a number or a boolean."""

    __slots__ = ()


def to_integer(value: object) -> object:
    """`Untyped` text that spells a whole number becomes it; anything else is left for the schema to judge."""
    return int(value) if isinstance(value, Untyped) and _INTEGER.fullmatch(value) else value


def to_number(value: object) -> object:
    """As `to_integer`, for numbers with a fraction."""
    return float(value) if isinstance(value, Untyped) and _NUMBER.fullmatch(value) else value


def to_boolean(value: object) -> object:
    """As `to_integer`, for true and false in any case."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, Untyped) else value


def to_list(value: object) -> object:
    """As `to_integer`, for a list: "a,b"."""
    return [part.strip() for part in value.split(",")] if isinstance(value, Untyped) else value


def split_host_port(text: str) -> tuple[str, int | None]:
    """("host", port or None) of "host", "host:port", "[::1]" or "[::1]:port"; the host is checked, lower case."""
    match = _BRACKETED.fullmatch(text)
    if match is not None:
        try:
            host = str(ipaddress.IPv6Address(match[1]))
        except ValueError:
            raise ValueError("must have a valid IPv6 address between the brackets") from None
    else:
        match = _UNBRACKETED.fullmatch(text)
        if match is None:
            raise ValueError("must be HOST:PORT, with an IPv6 address in brackets, such as [::1]:8080")
        host = check_hostname(match[1])
    port = None if match[2] is None else int(match[2])
    if port is not None and port > 65535:
        raise ValueError("must have a port of at most 65535")
    return host, port


def check_hostname(text: str) -> str:
    """A host name (RFC 1123) or IPv4 address, in lower case."""
    labels = text.split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("must have a valid host name (ASCII; write an international name in its xn-- form)")
    if labels[-1].isdigit():
        try:
            ipaddress.IPv4Address(text)
        except ValueError:
            raise ValueError("must have a valid IPv4 address or a host name") from None
    return text.lower()


def _join(host: str, port: int | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


def check_bind(text: str) -> str:
    """HOST:PORT to listen on; port 0 lets the system choose."""
    if re.fullmatch(":[0-9]+", text):
        raise ValueError(f"must be HOST:PORT; for every IPv4 address write 0.0.0.0{text}, for IPv6 too [::]{text}")
    host, port = split_host_port(text) if ":" in text else ("", None)
    if port is None:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8080")
    return _join(host, port)


def _split_url(text: str, schemes: tuple[str, ...], unlike: str) -> tuple[str, str, int | None]:
    """(scheme, host, port or None) of a URL that consists of them only. `unlike`: why other schemes are refused."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(f"must be a URL, such as {schemes[0]}://127.0.0.1:8000")
    scheme, authority, rest = match[1].lower(), match[2], match[3]
    if scheme not in schemes:
        raise ValueError(unlike)
    if "@" in authority:
        raise ValueError(f"must not hold a user name or password; write {schemes[0]}://HOST:PORT")
    if rest not in (None, "/"):
        raise ValueError(f"must end after the port: a path, query or fragment has no place in {schemes[0]}://HOST:PORT")
    host, port = split_host_port(authority)
    if port == 0:
        raise ValueError("must have a port from 1 to 65535")
    return scheme, host, port


def split_instance_url(text: str) -> tuple[str, int]:
    """(host, port) of an instance: http:// only, no path; port 80 unless said."""
    unlike = "must be an http:// URL: other schemes, https:// too, are not supported towards instances"
    _, host, port = _split_url(text, ("http",), unlike)
    return host, 80 if port is None else port


def check_instance_url(text: str) -> str:
    """http://HOST:PORT of an instance, with the port always written."""
    return f"http://{_join(*split_instance_url(text))}"


def check_consul_address(text: str) -> str:
    """http://HOST:PORT or https://HOST:PORT of a Consul agent; HOST:PORT alone means http://."""
    if "://" not in text:
        host, port = split_host_port(text)
        if not port:
            raise ValueError("must be a URL or HOST:PORT, such as http://127.0.0.1:8500")
        return f"http://{_join(host, port)}"
    scheme, host, port = _split_url(text, ("http", "https"), "must be an http:// or https:// URL")
    return f"{scheme}://{_join(host, port)}"


def check_route_host(text: str) -> str:
    """A host name or address without port, or *.domain, in lower case; "" for any host."""
    if text == "":
        return ""
    wild = "*." if text.startswith("*.") else ""
    name = text[len(wild) :]
    if "*" in name:
        raise ValueError("must be a host name, or *. and a domain, such as *.example.com")
    host, port = split_host_port(name)
    if port is not None:
        raise ValueError("must be a host without a port: a route takes its host on any port")
    if wild and (":" in host or host.rpartition(".")[2].isdigit()):
        raise ValueError("must not be a wildcard under an IP address")
    return wild + _join(host, None)


def check_route_path(text: str) -> str:
    """An exact path, a prefix ending in /*, with whole {name} segments."""
    if not text.startswith("/"):
        raise ValueError('must begin with "/"')
    body = text.removesuffix("/*")
    names = [segment for segment in body.split("/") if "{" in segment or "}" in segment]
    for segment in names:
        if not _SEGMENT_NAME.fullmatch(segment):
            raise ValueError("must have {name} as a whole segment between slashes, such as /users/{id}/posts")
    if len(set(names)) < len(names):
        raise ValueError("must not use the name of a {name} segment twice")
    if "*" in body:
        raise ValueError('may hold "*" only as the last segment, as in /api/*')
    if not {".", ".."}.isdisjoint(body.split("/")):
        raise ValueError('must not have "." or ".." segments')
    if not _PATH_TEXT.fullmatch("/".join(segment for segment in body.split("/") if segment not in names)):
        raise ValueError("must be a URL path without query; write other characters percent-encoded, such as %20")
    return _ESCAPE.sub(_plain, text)


def _plain(escape: re.Match[str]) -> str:
    """An escape in its normal form (RFC 3986 section 6.2.2), so that equal paths are written equally."""
    character = chr(int(escape[1], 16))
    if character in _UNRESERVED:
        raise ValueError(f"must not escape {character}: write it instead of {escape[0]}")
    return escape[0].upper()


def check_method(text: str) -> str:
    """A request method (RFC 9110 section 9.1: a token, case-sensitive); lower case is a mistake nobody means."""
    if not _TOKEN.fullmatch(text):
        raise ValueError("must be a request method, such as GET")
    if text != text.upper():
        raise ValueError(f"must be in upper case: {text.upper()}")
    return text


def check_field_name(text: str) -> str:
    """The name of a request header field that a route may add."""
    if not _TOKEN.fullmatch(text):
        raise ValueError("must have valid header field names, such as X-Api-Version")
    if text.lower() in RESERVED_FIELDS:
        raise ValueError(f"must not set {text}: that field belongs to the connection or to the gateway itself")
    return text


def check_field_value(text: str) -> str:
    """The value of a request header field: visible ASCII, spaces and tabs inside."""
    if not _FIELD_VALUE.fullmatch(text):
        raise ValueError("must be visible ASCII characters, with spaces and tabs only between them")
    return text


def check_hash_on(text: str) -> str:
    """client_ip, path, header:NAME or cookie:NAME."""
    kind, colon, name = text.partition(":")
    named = bool(colon) and kind in ("header", "cookie") and _TOKEN.fullmatch(name) is not None
    if not named and text not in ("client_ip", "path"):
        raise ValueError("must be client_ip, path, header:NAME or cookie:NAME")
    return text


def check_network(text: str) -> str:
    """A CIDR, or one address."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        wider = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8 or fd00::/8") from None
    raise ValueError(f"must be a network without host bits: {wider}")


def check_name(text: str) -> str:
    """A name that people read and type: printable, no space around it."""
    if not text or len(text) > 255 or not text.isprintable() or text != text.strip():
        raise ValueError("must be 1 to 255 printable characters without spaces around them")
    return text


def check_gateway_name(text: str) -> str:
    """As a name, and a header field value: it is sent as X-Gateway."""
    return check_field_value(check_name(text))


def check_secret(text: str) -> str:
    """A token that goes into a header field, or "" for none."""
    if not all("!" <= character <= "~" for character in text):
        raise ValueError("must be visible ASCII characters without spaces")
    return text


def check_datacenter(text: str) -> str:
    """The name of a Consul datacenter; Consul allows no other characters."""
    if not _DATACENTER.fullmatch(text):
        raise ValueError("must be a datacenter's name: lower-case letters, digits, - and _, such as dc1")
    return text


def check_failover(datacenters: tuple[str, ...]) -> tuple[str, ...]:
    """Datacenters in the order in which they are used."""
    if not all(datacenters):
        raise ValueError("must name datacenters")
    if len(set(datacenters)) < len(datacenters):
        raise ValueError("must not name anything twice")
    return datacenters


def check_log_target(text: str) -> str:
    """stdout, off, or a file's path."""
    if not text or not text.isprintable():
        raise ValueError('must be a path, "stdout" or "off"')
    return text


def split_dns(text: str) -> tuple[str, int]:
    """(name, port) of a service in DNS; port 0 for the name of SRV records, else 80 unless said."""
    host, port = split_host_port(text)
    if host.startswith("_"):
        if port is not None:
            raise ValueError("must be without a port: SRV records carry it")
        return host, 0
    if ":" in host or host.rpartition(".")[2].isdigit():
        raise ValueError("must be a name; an address has its place in instances")
    if port == 0:
        raise ValueError("must have a port from 1 to 65535")
    return host, 80 if port is None else port


def check_dns(text: str) -> str:
    """NAME:PORT, with the port always written, or the name of SRV records; "" for none."""
    host, port = split_dns(text) if text else ("", 0)
    return _join(host, port or None)


def check_dns_server(text: str) -> str:
    """ADDRESS:PORT of a DNS server, port 53 unless said; "" for none."""
    if text == "":
        return ""
    host, port = split_host_port(text)
    if ":" not in host and not host.rpartition(".")[2].isdigit():
        raise ValueError("must be an IP address with an optional port, such as 127.0.0.1:8600")
    return _join(host, 53 if port is None else port)


def check_address(text: str) -> str:
    """A host name or address without port, or "" for none."""
    if text == "":
        return ""
    host, port = split_host_port(f"[{text}]" if text.count(":") > 1 else text)
    if port is not None:
        raise ValueError("must be a host name or an IP address, without a port")
    return host


def check_state_file(text: str) -> str:
    """A file's path, off, or "" for the default."""
    if not text.isprintable() or text.endswith("/"):
        raise ValueError('must be the path of a file, "off", or empty for the default')
    return text


def check_kv_prefix(text: str) -> str:
    """A folder in Consul's KV, always with the slash at its end; "" for none."""
    if not text:
        return ""
    if not text.strip("/") or text.startswith("/") or not text.isprintable():
        raise ValueError("must be a folder in Consul's KV without leading slash, such as gw/")
    return text if text.endswith("/") else f"{text}/"


@dataclass(frozen=True, slots=True)
class OneOf:
    """A check for one word of a few, in any case; `aliases` are other spellings of them."""

    words: tuple[str, ...]
    aliases: Mapping[str, str]

    def __call__(self, text: str) -> str:
        word = self.aliases.get(text.lower(), text.lower())
        if word not in self.words:
            raise ValueError(f"must be one of {', '.join(self.words)}")
        return word

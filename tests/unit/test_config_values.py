"""The grammar of single values: what is accepted, in which normal form, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.config import probe_values, values


@pytest.mark.parametrize(
    ("check", "text", "normal"),
    [
        (values.check_bind, "0.0.0.0:8080", "0.0.0.0:8080"),
        (values.check_bind, "[::1]:80", "[::1]:80"),
        (values.check_bind, "[0:0::1]:0", "[::1]:0"),
        (values.check_bind, "LocalHost:0", "localhost:0"),
        (values.check_instance_url, "http://user-service:8000", "http://user-service:8000"),
        (values.check_instance_url, "HTTP://My_Host/", "http://my_host:80"),
        (values.check_instance_url, "http://[FE80::1]:1", "http://[fe80::1]:1"),
        (values.check_consul_address, "localhost:8500", "http://localhost:8500"),
        (values.check_consul_address, "https://consul.example.com", "https://consul.example.com"),
        (values.check_route_host, "", ""),
        (values.check_route_host, "*.Example.com", "*.example.com"),
        (values.check_route_host, "[::1]", "[::1]"),
        (values.check_route_path, "/", "/"),
        (values.check_route_path, "/*", "/*"),
        (values.check_route_path, "/users/{id}/posts/{post_id}/*", "/users/{id}/posts/{post_id}/*"),
        (values.check_route_path, "/a%2fb//c;x=1", "/a%2Fb//c;x=1"),
        (values.check_method, "PURGE", "PURGE"),
        (values.check_field_name, "X-Gateway-Version", "X-Gateway-Version"),
        (values.check_field_value, "a \t b", "a \t b"),
        (values.check_field_value, "", ""),
        (values.check_hash_on, "header:X-User", "header:X-User"),
        (values.check_hash_on, "path", "path"),
        (values.check_network, "10.0.0.1", "10.0.0.1/32"),
        (values.check_network, "fd00::/8", "fd00::/8"),
        (values.check_kv_prefix, "a/gw", "a/gw/"),
        (values.check_dns, "Web.Test", "web.test:80"),
        (values.check_dns, "web:8080", "web:8080"),
        (values.check_dns, "_http._tcp.test", "_http._tcp.test"),
        (values.check_dns, "", ""),
        (values.check_dns_server, "10.0.0.1", "10.0.0.1:53"),
        (values.check_dns_server, "[::1]:8600", "[::1]:8600"),
        (values.check_dns_server, "", ""),
        (values.check_address, "fd00::1", "fd00::1"),
        (values.check_address, "Host", "host"),
        (values.check_address, "", ""),
        (values.check_state_file, "off", "off"),
        (values.check_state_file, "", ""),
        (probe_values.check_probe_path, "/health?full=1", "/health?full=1"),
    ],
)
def test_accepted(check: Callable[[str], str], text: str, normal: str) -> None:
    assert check(text) == normal
    assert check(normal) == normal


@pytest.mark.parametrize(
    ("check", "text", "words"),
    [
        (values.check_bind, "8080", "HOST:PORT"),
        (values.check_bind, ":8080", "0.0.0.0:8080"),
        (values.check_bind, "::1:80", "in brackets"),
        (values.check_bind, "[::1", "in brackets"),
        (values.check_bind, "[::g]:80", "in brackets"),
        (values.check_bind, "[1:2]:80", "valid IPv6"),
        (values.check_bind, "127.0.0.1:70000", "at most 65535"),
        (values.check_bind, "127.0.0.1:٣", "HOST:PORT"),
        (values.check_bind, "300.0.0.1:80", "valid IPv4"),
        (values.check_bind, "-a.b:80", "valid host name"),
        (values.check_bind, "a..b:80", "valid host name"),
        (values.check_instance_url, "https://a:1", "not supported towards instances"),
        (values.check_instance_url, "unix://a", "http://"),
        (values.check_instance_url, "a:80", "must be a URL"),
        (values.check_instance_url, "http://a/x", "must end after the port"),
        (values.check_instance_url, "http://a?x", "must end after the port"),
        (values.check_instance_url, "http://u:p@a", "user name or password"),
        (values.check_instance_url, "http://a:0", "port from 1"),
        (values.check_instance_url, "http://", "valid host name"),
        (values.check_instance_url, "http://a\n", "valid host name"),
        (values.check_consul_address, "localhost", "http://127.0.0.1:8500"),
        (values.check_consul_address, "ftp://a", "http:// or https://"),
        (values.check_route_host, "a.com:80", "without a port"),
        (values.check_route_host, "a.*.com", "*.example.com"),
        (values.check_route_host, "*.", "valid host name"),
        (values.check_route_host, "*.10.0.0.1", "wildcard"),
        (values.check_route_host, "bücher.de", "xn--"),
        (values.check_route_path, "", 'begin with "/"'),
        (values.check_route_path, "api", 'begin with "/"'),
        (values.check_route_path, "/a*", "last segment"),
        (values.check_route_path, "/*/b", "last segment"),
        (values.check_route_path, "/a/x{id}", "whole segment"),
        (values.check_route_path, "/a/{}", "whole segment"),
        (values.check_route_path, "/{a}/{a}", "twice"),
        (values.check_route_path, "/a?b=1", "without query"),
        (values.check_route_path, "/a b", "%20"),
        (values.check_route_path, "/ä", "percent-encoded"),
        (values.check_route_path, "/a%2", "percent-encoded"),
        (values.check_route_path, "/%68ealth", "write it instead of %68"),
        (values.check_route_path, "/a/../b", "segments"),
        (values.check_method, "get", "GET"),
        (values.check_method, "GET POST", "request method"),
        (values.check_field_name, "X Y", "field names"),
        (values.check_field_name, "content-LENGTH", "to the gateway itself"),
        (values.check_field_name, "X-Request-ID", "to the gateway itself"),
        (values.check_field_value, "a\r\nb", "visible ASCII"),
        (values.check_field_value, " a", "visible ASCII"),
        (values.check_hash_on, "header:", "header:NAME"),
        (values.check_hash_on, "query:a", "header:NAME"),
        (values.check_network, "10.0.0.1/8", "10.0.0.0/8"),
        (values.check_network, "lan", "must be a network"),
        (values.check_kv_prefix, "/", "folder"),
        (values.check_dns, "10.0.0.1:80", "instances"),
        (values.check_dns, "[::1]:80", "instances"),
        (values.check_dns, "web:0", "from 1"),
        (values.check_dns, "_http._tcp.test:80", "SRV records carry it"),
        (values.check_dns_server, "dns.test:53", "an IP address"),
        (values.check_address, "host:80", "without a port"),
        (values.check_state_file, "/var/lib/", "path of a file"),
        (values.check_state_file, "a\nb", "path of a file"),
        (probe_values.check_probe_path, "health", 'begin with "/"'),
        (values.check_name, " a", "without spaces around"),
        (values.check_gateway_name, "é", "visible ASCII"),
        (values.check_log_target, "a\0b", "a path"),
    ],
)
def test_refused(check: Callable[[str], str], text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|may) ") as caught:
        check(text)
    assert words in str(caught.value)


def test_only_text_without_types_becomes_a_number() -> None:
    assert values.to_integer("3") == "3"
    assert values.to_integer(values.Untyped("3")) == 3
    assert values.to_number(values.Untyped("2.5e1")) == 25.0
    assert values.to_number(values.Untyped("nan")) == "nan"
    assert values.to_boolean(values.Untyped("True")) is True
    assert values.to_boolean(values.Untyped("yes")) == "yes"

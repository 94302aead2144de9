"""Every way a configuration can be wrong, and the sentence that says so."""

from __future__ import annotations

import tomllib

import pytest

from gateway.config.problems import key_text
from gateway.config.validate import examine

SERVICE = '[[services]]\nname = "users"\ninstances = ["http://127.0.0.1:9001"]\n'


def faults(text: str) -> list[str]:
    """`key: message` of every fault in a configuration."""
    config, found = examine(tomllib.loads(text))
    assert (config is None) == bool(found)
    return [f"{key_text(fault.path)}: {fault.message}" for fault in found]


def route(path: str, extra: str = "") -> str:
    return f'[[routes]]\npath = "{path}"\nservice = "users"\n{extra}\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[x]", "x: unknown key; the keys here are: gateway, limits, log, consul, dns, tracing, services, routes"),
        ("[gateway]\nworker = 1", 'gateway.worker: unknown key (did you mean "workers"?)'),
        (
            SERVICE + "health = { intervall = 1 }",
            'services[0].health.intervall: unknown key (did you mean "interval"?)',
        ),
        ("gateway = 1", "gateway: must be a table; it is 1"),
        ("services = 1979-05-27", "services: must be an array; it is a date or time"),
        ("[gateway]\nworkers = 1.0", "gateway.workers: must be a whole number; it is 1.0"),
        ("[gateway]\nworkers = true", "gateway.workers: must be a whole number; it is true"),
        ("[gateway]\nworkers = 0x" + "f" * 9999, "gateway.workers: must be at most 256; it is a number too large"),
        ("[gateway]\ndrain_timeout = nan", "gateway.drain_timeout: must be at most 86400; it is nan"),
        ("[gateway]\ndrain_timeout = -1", "gateway.drain_timeout: must be at least 0; it is -1"),
        ("[gateway]\nserver_header = 1", "gateway.server_header: must be true or false; it is 1"),
        ("[gateway]\nlisten = []", "gateway.listen: must have at least 1 entries; it has 0"),
        ("[limits]\nheader_timeout = 0", "limits.header_timeout: must be more than 0; it is 0"),
        ('[log]\nformat = "xml"', 'log.format: must be one of json, console; it is "xml"'),
        ("[[services]]\nname = 1\nconsul = ''\n[consul]", "services[0].name: must be a string; it is 1"),
        ("[[routes]]\ntarget_url = 'http://a'", "routes[0].path: is required"),
        (
            SERVICE + "[services.health]\nexpected_status = [200]",
            "services[0].health.expected_status: must be [low, high], or a list of codes and ranges such as "
            '["200-299", "404"]; it is an array',
        ),
    ],
)
def test_what_the_schema_says(text: str, fault: str) -> None:
    assert fault in faults(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            '[gateway]\nlisten = ["127.0.0.1:80", "127.0.0.1:80"]',
            "gateway.listen[1]: 127.0.0.1:80 is listed already, at gateway.listen[0]; remove one of them",
        ),
        (
            '[gateway]\nlisten = ["0.0.0.0:9901"]',
            "gateway.admin: 127.0.0.1:9901 is taken by gateway.listen (0.0.0.0:9901); give it a port of its own",
        ),
        (
            '[consul]\naddress = "https://c"\ncert_file = "c.pem"',
            "consul.cert_file: needs consul.key_file as well",
        ),
        (
            '[consul]\nca_file = "ca.pem"',
            "consul.ca_file: is for an https:// address only; consul.address is http://127.0.0.1:8500",
        ),
        (
            '[consul]\ntoken = "t"\ntoken_file = "f"',
            "consul.token_file: stands beside consul.token; keep one of them",
        ),
        (
            '[consul]\n[[services]]\nname = "a"\nconsul = "a"\ndatacenter = "dc1"\nfailover = ["dc2", "dc1"]',
            'services[0].failover: names "dc1", the service\'s own datacenter; list others only',
        ),
        (
            SERVICE + 'failover = ["dc2"]',
            "services[0].failover: is for services of Consul: give consul, its name there, as well",
        ),
        (
            '[consul]\n[[services]]\nname = "a"\nconsul = "a"\nfailover = ["dc2", "dc2"]',
            "services[0].failover: must not name anything twice; it is an array",
        ),
        (
            '[consul]\ndatacenter = "DC 1"',
            "consul.datacenter: must be a datacenter's name: lower-case letters, digits, - and _, such as dc1; "
            'it is "DC 1"',
        ),
        (SERVICE + SERVICE, 'services[1].name: "users" is the name of services[0] already; names are unique'),
        (
            '[[services]]\nname = "a"',
            "services[0]: has neither consul nor dns nor instances: name the service in Consul or DNS, "
            "or list instances",
        ),
        (
            '[[services]]\nname = "a"\nconsul = "a"',
            "services[0].consul: there is no Consul: add a [consul] table, or give --consul or CONSUL_HTTP_ADDR",
        ),
        (
            '[[services]]\nname = "a"\ninstances = ["http://b", {url = "http://B:80/", weight = 2}]',
            "services[0].instances[1]: http://b:80 is instances[0] already; use weight for a larger share",
        ),
        ("[dns]\nmin_ttl = 40", "dns.min_ttl: 40 s is more than max_ttl, 30 s"),
        (
            SERVICE + '[[routes]]\npath = "/"\nservice = "user"',
            'routes[0].service: unknown service "user"; services are: users (did you mean "users"?)',
        ),
        (
            '[[routes]]\npath = "/"\nservice = "user"',
            'routes[0].service: unknown service "user"; there are no [[services]]',
        ),
        (SERVICE + route("/", 'target_url = "http://a"'), "routes[0]: has both service and target_url; keep one"),
        ('[[routes]]\npath = "/"', "routes[0]: has neither service nor target_url: say where its requests go"),
        (
            '[[services]]\nname = "a:80"\ninstances = ["http://a"]\n[[routes]]\npath = "/"\ntarget_url = "http://a"',
            'routes[0].target_url: http://a:80 would be a service named as one in [[services]]; write service = "NAME"',
        ),
        (
            SERVICE + '[services.health]\ntype = "tcp"\nbody_contains = "UP"',
            'services[0].health.body_contains: is for type = "http" only; type is "tcp"',
        ),
        (
            SERVICE + "[services.health]\nexpect = 'PONG'",
            'services[0].health.expect: is for type = "tcp" only; type is "http"',
        ),
        (
            SERVICE + "[services.health]\ntls_verify = false",
            "services[0].health.tls_verify: has no effect without tls = true",
        ),
        (
            SERVICE + "[services.health]\ntls = true\ntls_verify = false\ntls_ca_file = 'ca.pem'",
            "services[0].health.tls_ca_file: has no effect with tls_verify = false",
        ),
        (
            SERVICE + "[services.health]\nbody_regex = '('",
            "services[0].health.body_regex: must be a regular expression: missing ), unterminated subpattern at "
            'position 0; it is "("',
        ),
        (
            SERVICE + "[services.health]\nexpected_status = ['2xx']",
            "services[0].health.expected_status: must be [low, high], or a list of codes and ranges such as "
            '["200-299", "404"]; it is an array',
        ),
        (
            SERVICE + "[services.health]\nheaders = { Authorization = 'schlüssel' }",
            "services[0].health.headers.Authorization: must be visible ASCII characters, with spaces and tabs only "
            "between them",
        ),
        (
            SERVICE + route("/", "timeout = 3\nper_try_timeout = 4.5"),
            "routes[0].per_try_timeout: 4.5 s is more than timeout, 3 s, which includes all attempts",
        ),
        (
            SERVICE + route("/ready"),
            "routes[0].path: can never match: /ready is answered by the gateway itself",
        ),
        (
            SERVICE + route("/a/{x}/*", 'host = "Example.com"') + route("/a/{y}/*", 'host = "example.com"'),
            "routes[1]: can never match: routes[0] has the same host and path (example.com/a/{y}/*) "
            "and takes all its traffic; change or remove one of them",
        ),
        (
            SERVICE + route("/a", 'methods = ["GET", "POST"]') + route("/a", 'methods = ["PUT", "POST"]'),
            "routes[1]: routes[0] has the same host and path (/a) and takes POST from it; "
            "list each method in one route only",
        ),
        (
            SERVICE + route("/a", 'methods = ["GET", "POST"]') + route("/a", 'methods = ["GET"]'),
            "routes[1]: can never match: routes[0] has the same host and path (/a) "
            "and takes all its traffic; change or remove one of them",
        ),
        (
            SERVICE + route("/a%2fb") + route("/a%2Fb"),
            "routes[1]: can never match: routes[0] has the same host and path (/a%2Fb) "
            "and takes all its traffic; change or remove one of them",
        ),
    ],
)
def test_what_no_schema_can_say(text: str, fault: str) -> None:
    assert faults(text) == [fault]


@pytest.mark.parametrize(
    "text",
    [
        SERVICE + route("/a/*") + route("/a") + route("/*") + route("/a/{x}") + route("/a/b"),
        SERVICE + route("/a", 'methods = ["GET"]') + route("/a", 'methods = ["POST"]') + route("/a"),
        SERVICE + route("/a") + route("/a", 'methods = ["GET"]'),
        SERVICE + route("/a", 'host = "a.example.com"') + route("/a", 'host = "*.example.com"') + route("/a"),
        SERVICE + route("/health/*") + route("/ready/x"),
        '[gateway]\nlisten = ["127.0.0.1:0", "127.0.0.1:0", "[::1]:80"]\nadmin = "127.0.0.1:0"',
        SERVICE + "[services.health]\ntype = 'grpc'\nservice = 'users.v1'\ntls = true\ntls_ca_file = 'ca.pem'",
        SERVICE + "[services.health]\ntype = 'tcp'\npath = '/x'\nexpected_status = [200, 399]\nsend = 'a'\nport = 1",
        '[gateway]\nlisten = ["0.0.0.0:80", "[::]:81"]\nadmin = "localhost:82"',
    ],
)
def test_what_is_right(text: str) -> None:
    assert faults(text) == []


def test_all_faults_come_at_once_in_the_order_of_the_file() -> None:
    text = """
    [gateway]
    workers = "8"
    admin = "0.0.0.0:8080"
    [[services]]
    name = "users"
    balance = "fair"
    [[services]]
    consul = "x"
    [[routes]]
    path = "a"
    service = "users"
    [[routes]]
    path = "/b"
    timeout = 0
    """
    assert [fault.split(": ")[0] for fault in faults(text)] == [
        "gateway.workers",
        "gateway.admin",
        "services[0].balance",
        "services[0]",
        "services[1].name",
        "services[1].consul",
        "routes[0].path",
        "routes[1].timeout",
        "routes[1]",
    ]


def test_a_faulty_service_still_counts_for_its_routes() -> None:
    assert [fault.split(": ")[0] for fault in faults(SERVICE + "slow_start = -1\n" + route("/"))] == [
        "services[0].slow_start"
    ]


def test_keys_that_toml_would_quote_are_quoted() -> None:
    assert key_text(("routes", 0, "headers", "a b")) == 'routes[0].headers."a b"'

"""A document of Consul's KV: TOML or JSON, judged as the file is."""

from __future__ import annotations

import pytest

from discovery.model import RouteSpec, ServiceSpec, StaticTarget
from discovery.settings import ProbeType
from gateway.config.kv import Entry, key_origin, read_entry
from gateway.config.load import ConfigError


def read(key: str, value: str | bytes) -> Entry:
    return read_entry("gw/", f"gw/{key}", value.encode() if isinstance(value, str) else value)


def faults(key: str, value: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as failed:
        read(key, value)
    return list(failed.value.problems)


def test_toml_and_json_say_the_same() -> None:
    toml = read("routes/users", 'path = "/users/*"\nservice = "users"\ntimeout = 5.0\nmethods = ["GET"]')
    json = read("routes/users", '{"path": "/users/*", "service": "users", "timeout": 5, "methods": ["GET"]}')
    assert toml == json
    assert toml.service is None
    assert toml.route == RouteSpec("/users/*", "users", key_origin("gw/routes/users"), timeout=5.0, methods=("GET",))
    assert str(key_origin("gw/routes/users")) == "kv: gw/routes/users"


def test_a_service_is_named_by_its_key() -> None:
    entry = read("services/users", 'consul = "u"\ninstances = ["http://10.0.0.1:80"]\n[health]\ntype = "tcp"')
    assert isinstance(entry.service, ServiceSpec)
    assert (entry.service.name, entry.service.consul) == ("users", "u")
    assert entry.service.targets == (StaticTarget("10.0.0.1", 80),)
    assert entry.service.health.type is ProbeType.TCP
    assert read("services/users", 'name = "users"\nconsul = "u"').service is not None
    assert faults("services/users", 'name = "other"\nconsul = "u"') == [
        'name: must be "users", as the key says, or left out'
    ]


def test_a_target_url_brings_its_service() -> None:
    entry = read("routes/a", 'path = "/a"\ntarget_url = "http://10.0.0.1:81"')
    assert entry.service is not None
    assert entry.route is not None
    assert entry.route.service == entry.service.name == "10.0.0.1:81"
    assert entry.service.health.type is ProbeType.NONE


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("routes/a", 'path = "/a"', ["has neither service nor target_url: say where its requests go"]),
        ("routes/a", 'path = "a"\nservice = "s"', ['path: must begin with "/"; it is "a"']),
        ("routes/a", 'path = "/health"\nservice = "s"', None),
        (
            "routes/a",
            'path = "/a"\nservice = "s"\ntimout = 3\nretry_count = -1',
            [
                "retry_count: must be at least 0; it is -1",
                'timout: unknown key (did you mean "timeout"?)',
            ],
        ),
        (
            "routes/a",
            'path = "/a"\nservice = "s"\ntimeout = 1.0\nper_try_timeout = 2.0',
            ["per_try_timeout: 2 s is more than timeout, 1 s, which includes all attempts"],
        ),
        ("routes/a", '{"path": null, "service": "s"}', ["path: must be a string; it is null"]),
        ("routes/a", '{"path": "/a", "path": "/b"}', ['not usable as JSON: the key "path" stands there twice']),
        ("routes/a", '{"path": "/a",}', None),
        ("routes/a", 'path = "/a', None),
        ("routes/a", b"\xff", ["byte 0 is not UTF-8"]),
        (
            "services/s",
            "",
            ["has neither consul nor dns nor instances: name the service in Consul or DNS, or list instances"],
        ),
        ("services/s", 'consul = "s"\nbalance = "best"', None),
        ("services/s", 'datacenter = "dc1"\ninstances = ["http://a:1"]', None),
        (
            "route/a",
            'path = "/a"',
            ["is not understood: keys are gw/routes/NAME and gw/services/NAME"],
        ),
        ("routes", "x", ["is not understood: keys are gw/routes/NAME and gw/services/NAME"]),
    ],
)
def test_a_bad_document_says_what_is_wrong(key: str, value: str | bytes, expected: list[str] | None) -> None:
    found = faults(key, value)
    assert found
    assert expected is None or found == expected


def test_json_faults_have_a_place_and_deep_nesting_is_refused() -> None:
    assert faults("routes/a", '{"path": "/a",\n "x" 1}') == [
        "line 2, column 6: not valid JSON: Expecting ':' delimiter"
    ]
    assert faults("routes/a", '{"path":' + "[" * 100000) == ["arrays or tables are nested too deeply"]
    assert faults("routes/a", '{"path": NaN}') == ["not usable as JSON: NaN is no number in JSON"]


def test_the_environment_is_not_read() -> None:
    entry = read("routes/a", 'path = "/a"\nservice = "s"\nheaders = { X-Home = "${HOME}" }')
    assert entry.route is not None
    assert entry.route.headers == (("X-Home", "${HOME}"),)

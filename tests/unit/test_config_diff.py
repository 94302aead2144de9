"""What would change in a running gateway, by service, route and key; and what is never shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.describe import Config, Values, describe
from gateway.config.diff import Diff, diff, needing_restart
from gateway.config.load import Loaded, Overrides, load
from gateway.config.secrets import HIDDEN, shown

FILE = """
[limits]
headers = 100
[[services]]
name = "users"
instances = ["http://10.0.0.1:80", { url = "http://10.0.0.2:80", weight = 2 }]
[[routes]]
path = "/users/*"
service = "users"
headers = { "X-Version" = "1", "Authorization" = "Bearer geheim" }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE)
    return path


def loaded(
    file: Path, text: str = FILE, environ: Mapping[str, str] = MappingProxyType({}), *, alone: bool = False
) -> Loaded:
    file.write_text(text)
    return load(file, environ=environ, alone=alone)


def against(file: Path, text: str, **environ: str) -> Diff:
    """From FILE, running in an environment, to a new text of it."""
    running = describe(loaded(file, environ=environ))
    return diff(running, describe(loaded(file, text, alone=True)))


def test_the_same_file_changes_nothing(file: Path) -> None:
    found = against(file, FILE)
    assert found == {"identical": True, "services": [], "routes": [], "settings": [], "fixed": []}


def test_instances_come_go_and_change_one_by_one(file: Path) -> None:
    text = FILE.replace("10.0.0.1", "10.0.0.3").replace("weight = 2", "weight = 5")
    (service,) = against(file, text)["services"]
    assert (service["name"], service["change"]) == ("users", "changed")
    assert [(each["key"], each["old"], each["new"]) for each in service["keys"]] == [
        ("instances.10.0.0.1:80", 1, None),
        ("instances.10.0.0.2:80", 2, 5),
        ("instances.10.0.0.3:80", None, 1),
    ]


def test_services_and_routes_come_and_go(file: Path) -> None:
    text = FILE.replace('"users"', '"people"').replace("/users/*", "/people/*")
    found = against(file, text)
    assert [(each["name"], each["change"]) for each in found["services"]] == [("people", "added"), ("users", "removed")]
    assert [(each["name"], each["change"]) for each in found["routes"]] == [
        ("/people/*", "added"),
        ("/users/*", "removed"),
    ]


def test_other_methods_are_a_change_of_the_same_route(file: Path) -> None:
    (route,) = against(file, FILE + 'methods = ["GET"]\n')["routes"]
    assert (route["name"], route["keys"]) == ("/users/*", [{"key": "methods", "old": [], "new": ["GET"]}])


def test_routes_of_one_pattern_are_told_apart_by_their_methods(file: Path) -> None:
    two = FILE + 'methods = ["GET"]\n[[routes]]\npath = "/users/*"\nservice = "users"\nmethods = ["PUT"]\n'
    running = describe(loaded(file, two))
    found = diff(running, describe(loaded(file, two.replace('"PUT"]\n', '"PUT"]\ntimeout = 3.0\n'))))
    assert [(each["name"], each["keys"][0]["key"]) for each in found["routes"]] == [("PUT /users/*", "timeout")]


def test_a_setting_says_whether_it_needs_a_restart(file: Path) -> None:
    text = '[gateway]\nadmin = "127.0.0.1:9999"\ndrain_timeout = 3.0\n[dns]\nmin_ttl = 2.0\n' + FILE.replace(
        "100", "50"
    )
    settings = against(file, text)["settings"]
    assert {each["key"]: each["needs_restart"] for each in settings} == {
        "gateway.admin": True,
        "gateway.drain_timeout": False,
        "limits.headers": False,
        "dns.min_ttl": True,
    }
    assert needing_restart(settings) == ["gateway.admin", "dns.min_ttl"]


def test_what_needs_a_restart_is_compared_with_what_the_gateway_was_started_with(file: Path) -> None:
    started = loaded(file)
    text = '[gateway]\nadmin = "127.0.0.1:9999"\n' + FILE
    reloaded = loaded(file, text)
    found = diff(describe(reloaded, started), describe(loaded(file, text, alone=True)))
    assert [each["key"] for each in found["settings"]] == ["gateway.admin"]


def test_what_flags_and_environment_say_is_not_the_files_to_change(file: Path) -> None:
    running = describe(load(file, environ={"LOG_LEVEL": "debug"}, overrides=Overrides(workers=3)))
    assert running["given_by"] == {"log.level": "LOG_LEVEL", "gateway.workers": "--workers"}
    found = diff(running, describe(loaded(file, "[log]\nlevel = 'error'\n" + FILE, alone=True)))
    assert found["identical"]
    assert [(each["key"], each["given_by"], each["running"]) for each in found["fixed"]] == [
        ("gateway.workers", "--workers", 3),
        ("log.level", "LOG_LEVEL", "debug"),
    ]


def test_consul_that_the_environment_turns_on_stays_on(file: Path) -> None:
    environ = {"CONSUL_HTTP_ADDR": "http://10.0.0.9:8500", "CONSUL_HTTP_TOKEN": "geheim"}
    found = against(file, FILE, **environ)
    assert (found["identical"], found["settings"]) == (True, [])
    found = against(file, "[consul]\nremoval_grace = 5.0\n" + FILE, **environ)
    assert [each["key"] for each in found["settings"]] == ["consul.removal_grace"]


def test_the_file_alone_knows_nothing_of_the_environment_but_what_it_names(file: Path) -> None:
    environ = {"LEVEL": "error", "LOG_LEVEL": "debug", "APP_NAME": "other"}
    found = loaded(file, "[log]\nlevel = '${LEVEL}'\n", environ, alone=True)
    assert (found.log.level, found.gateway.name, found.given_by) == ("error", "edge", ())


def test_no_secret_is_shown(file: Path) -> None:
    text = FILE + "[consul]\ntoken = 'geheim'\n[[services]]\nname = 'a'\nconsul = 'a'\n[services.health]\n"
    text += "headers = { 'X-Auth-Token' = 'geheim', 'X-Plain' = 'plain' }\n"
    described = describe(loaded(file, text))
    assert "geheim" not in json.dumps(described)
    assert described["settings"]["consul.token"] == HIDDEN
    assert described["services"]["a"]["health.headers.X-Plain"] == "plain"
    assert described["routes"]["/users/*"]["headers.Authorization"] == HIDDEN
    assert shown("X-Api-Key", "") == ""


VALUES = st.dictionaries(
    st.sampled_from("abc"),
    st.one_of(st.integers(0, 2), st.text(max_size=1), st.dictionaries(st.sampled_from("xy"), st.integers(0, 2))),
)
ENTRIES = st.dictionaries(st.sampled_from(["one", "two", "three"]), VALUES)


def config(settings: Values, services: dict[str, Values]) -> Config:
    return Config(file="", settings=settings, services=services, routes={}, given_by={})


@given(VALUES, ENTRIES, VALUES, ENTRIES)
def test_a_difference_is_there_if_and_only_if_something_differs(
    settings: Values, services: dict[str, Values], new_settings: Values, new_services: dict[str, Values]
) -> None:
    old, new = config(settings, services), config(new_settings, new_services)
    assert diff(old, old)["identical"]
    there, back = diff(old, new), diff(new, old)
    assert {each["key"] for each in there["settings"]} == {each["key"] for each in back["settings"]}
    opposite = {"added": "removed", "removed": "added", "changed": "changed"}
    assert {(each["name"], opposite[each["change"]]) for each in there["services"]} == {
        (each["name"], each["change"]) for each in back["services"]
    }
    assert there["identical"] == (without_empty(old) == without_empty(new))


def without_empty(found: Config) -> object:
    """A table without entries is as good as none."""
    settings = {key: value for key, value in found["settings"].items() if value != {}}
    services = {
        name: {key: value for key, value in values.items() if value != {}} for name, values in found["services"].items()
    }
    return json.dumps([settings, services], sort_keys=True)

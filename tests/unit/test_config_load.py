"""Loading: the contract's own example, precedence, `${NAME}`, files that cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from discovery.model import Origin, OriginKind, StaticTarget
from discovery.settings import ConsulSettings, HealthSettings, OutlierSettings, ProbeType
from gateway.config.load import ConfigError, Loaded, Overrides, default_file, load

CONTRACT = """
[gateway]
name = "edge"
listen = ["0.0.0.0:8080"]
admin = "127.0.0.1:9901"
workers = 4
drain_timeout = 30.0
trusted_proxies = []
server_header = true
proxy_protocol = false
[limits]
header_bytes = 65536
headers = 100
body_bytes = 0
header_timeout = 10.0
idle_timeout = 75.0
connections = 10000
[log]
level = "info"
format = "json"
access = "stdout"
[consul]
address = "http://127.0.0.1:8500"
token = ""
datacenter = ""
tag_prefixes = ["gw.", "urlprefix-"]
register = false
kv_prefix = "gw/"
removal_grace = 30.0
[[services]]
name = "users"
consul = "user-service"
instances = [{ url = "http://127.0.0.1:9001", weight = 2 }, "http://127.0.0.1:9002"]
balance = "least_connections"
hash_on = "client_ip"
connect_timeout = 4.0
max_in_flight = 0
keepalive_idle = 30.0
slow_start = 0.0
fail_open_below = 0
[services.health]
type = "http"
path = "/health"
interval = 5.0
timeout = 2.0
healthy_threshold = 2
unhealthy_threshold = 3
expected_status = [200, 399]
[services.outlier]
consecutive_failures = 5
eject_time = 30.0
max_ejected_percent = 50
[[routes]]
path = "/api/v1/users/*"
host = "API.example.com"
methods = ["GET", "POST"]
service = "users"
strip_path = false
timeout = 30.0
per_try_timeout = 0.0
stream_idle_timeout = 60.0
retry_count = 3
headers = { "X-Gateway-Version" = "1.0.0" }
"""


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load_text(text: str, overrides: Overrides | None = None, **environ: str) -> Loaded:
    Path("gateway.toml").write_text(text)
    return load(Path("gateway.toml"), environ=environ, overrides=overrides or Overrides())


def problems(text: str, overrides: Overrides | None = None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, overrides, **environ)
    return list(caught.value.problems)


def test_the_example_of_the_contract_says_what_the_defaults_are() -> None:
    loaded = load_text(CONTRACT)
    bare = load_text('[consul]\n[[services]]\nname="users"\nconsul="x"\n[[routes]]\npath="/"\nservice="users"')
    assert loaded.gateway.model_copy(update={"workers": 1}) == bare.gateway.model_copy(update={"workers": 1})
    assert (loaded.limits, loaded.log, loaded.consul) == (bare.limits, bare.log, bare.consul)
    assert loaded.consul == ConsulSettings()
    (service,), (plain,) = loaded.services, bare.services
    assert service.targets == (StaticTarget("127.0.0.1", 9001, 2), StaticTarget("127.0.0.1", 9002, 1))
    assert service.origin == Origin(OriginKind.FILE, "gateway.toml services[0]")
    assert (service.health, service.outlier) == (HealthSettings(), OutlierSettings()) == (plain.health, plain.outlier)
    (route,) = loaded.routes
    assert (route.path, route.host, route.methods) == ("/api/v1/users/*", "api.example.com", ("GET", "POST"))
    assert route.headers == (("X-Gateway-Version", "1.0.0"),)
    assert route.origin == Origin(OriginKind.FILE, "gateway.toml routes[0]")
    assert (route.timeout, route.per_try_timeout, route.retry_count) == (30.0, 0.0, 3)


def test_without_a_file_everything_has_its_default() -> None:
    loaded = load(None, environ={})
    assert loaded.gateway.workers == len(os.sched_getaffinity(0))
    assert loaded.gateway.listen == ("0.0.0.0:8080",)
    assert (loaded.file, loaded.services, loaded.routes, loaded.consul) == ("", (), (), None)


def test_worker_settings_carry_what_workers_need() -> None:
    settings = load_text('[log]\naccess = "off"\nformat = "console"\n[limits]\nheaders = 7').worker_settings()
    assert (settings.access_log, settings.access_format, settings.headers, settings.ready) == (
        "off",
        "console",
        7,
        False,
    )
    assert load(None, environ={}).worker_settings(ready=True).ready is True


def test_flags_win_over_environment_and_environment_over_the_file() -> None:
    text = '[gateway]\nname = "file"\nworkers = 2\nadmin = "127.0.0.1:1"\n[consul]\naddress = "http://file:1"'
    flags = Overrides(listen=("127.0.0.1:0", "[::1]:0"), admin="127.0.0.1:2", workers=3, consul="flag:9")
    environ = {"APP_NAME": "env", "LOG_LEVEL": "WARN", "CONSUL_HTTP_ADDR": "https://env", "CONSUL_HTTP_TOKEN": "t"}
    by_environment, by_flag = load_text(text, None, **environ), load_text(text, flags, **environ)
    assert (by_environment.gateway.name, by_environment.log.level) == ("env", "warning")
    assert by_environment.consul == ConsulSettings(address="https://env", token="t")
    assert by_flag.gateway.listen == ("127.0.0.1:0", "[::1]:0")
    assert (by_flag.gateway.admin, by_flag.gateway.workers) == ("127.0.0.1:2", 3)
    assert by_flag.consul == ConsulSettings(address="http://flag:9", token="t")


@pytest.mark.parametrize("address", ["10.0.0.1:8500", "http://10.0.0.1:8500", "http://10.0.0.1:8500/"])
def test_a_consul_address_turns_consul_on_wherever_it_comes_from(address: str) -> None:
    expected = ConsulSettings(address="http://10.0.0.1:8500")
    assert load(None, environ={"CONSUL_HTTP_ADDR": address}).consul == expected
    assert load(None, environ={}, overrides=Overrides(consul=address)).consul == expected


def test_a_token_alone_does_not_turn_consul_on_and_empty_variables_say_nothing() -> None:
    assert load(None, environ={"CONSUL_HTTP_TOKEN": "t", "CONSUL_HTTP_ADDR": "", "LOG_LEVEL": ""}).consul is None


def test_a_token_from_the_environment_replaces_either_form_of_the_files() -> None:
    text = '[consul]\ntoken_file = "/file"'
    assert load_text(text, None, CONSUL_HTTP_TOKEN="t").consul == ConsulSettings(token="t")
    by_file = load_text('[consul]\ntoken = "${UNSET}"', None, CONSUL_HTTP_TOKEN_FILE="/env")
    assert by_file.consul == ConsulSettings(token_file="/env")
    both = load_text(text, None, CONSUL_HTTP_TOKEN="t", CONSUL_HTTP_TOKEN_FILE="/env")
    assert both.consul == ConsulSettings(token="t")


def test_a_token_is_in_no_repr_and_no_problem() -> None:
    loaded = load_text("[consul]", CONSUL_HTTP_TOKEN="s3cret-token")
    assert "s3cret" not in repr(loaded)
    assert "s3cret" not in "".join(problems("[consul]", CONSUL_HTTP_TOKEN="s3cret token"))
    assert "s3cret" not in "".join(problems("", CONSUL_HTTP_ADDR="http://me:s3cret@consul:8500"))


def test_problems_name_the_variable_or_flag_that_is_wrong() -> None:
    assert problems("", LOG_LEVEL="loud")[0].startswith("LOG_LEVEL: log.level: must be one of debug, info,")
    assert problems("", Overrides(workers=0)) == ["--workers: gateway.workers: must be at least 1; it is 0"]
    assert problems("", Overrides(admin="x"))[0].startswith("--admin: gateway.admin: must be HOST:PORT")
    assert problems("", CONSUL_HTTP_ADDR="unix:///run/consul")[0].startswith(
        "CONSUL_HTTP_ADDR: consul.address: must be"
    )


def test_what_replaces_a_faulty_value_settles_its_fault() -> None:
    assert load_text('[gateway]\nname = "${NOT_SET}"', APP_NAME="env").gateway.name == "env"


def test_variables_become_the_type_that_is_asked_for_only_as_a_whole_value() -> None:
    text = '[gateway]\nname = "a-${N}-$${N}"\nworkers = "${N}"\nserver_header = "${B}"\ndrain_timeout = "${X:-2.5}"'
    gateway = load_text(text, N="3", B="False").gateway
    assert (gateway.name, gateway.workers, gateway.server_header, gateway.drain_timeout) == ("a-3-${N}", 3, False, 2.5)
    assert problems('[gateway]\nworkers = "1${N}"', N="3") == [
        'gateway.toml: gateway.workers: must be a whole number, without quotes; it is the string "13"'
    ]
    assert problems('[gateway]\nworkers = "${N}"', N="three") == [
        'gateway.toml: gateway.workers: must be a whole number; it is "three"'
    ]


def test_a_variable_that_is_not_set_is_named_with_its_key() -> None:
    assert problems('[[routes]]\npath = "/"\ntarget_url = "http://${HOST_A}:1"') == [
        "gateway.toml: routes[0].target_url: the environment variable HOST_A is not set; "
        "set it, or write ${HOST_A:-default}"
    ]
    assert "that is not ${NAME}" in problems('[gateway]\nname = "${1}"')[0]


def test_a_missing_or_unreadable_file_is_a_problem_that_names_it(tmp_path: Path) -> None:
    for path, wrong in (
        (Path("none.toml"), "no such file"),
        (tmp_path, "cannot be read"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(path, environ={})
        assert str(caught.value).startswith(f"{path}: ")
        assert wrong in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = \nb = 1", "gateway.toml: line 1, column 5: not valid TOML: Invalid value"),
        ("a = 1\n[x", "gateway.toml: line 2, column 3: not valid TOML: Expected ']' at the end of a table declaration"),
        ("a = 1\na = 2", "gateway.toml: line 2, column 6: not valid TOML: Cannot overwrite a value"),
        ("a = " + "[" * 5000, "gateway.toml: arrays or tables are nested too deeply"),
        ("a" + ".a" * 5000 + " = 1", "gateway.toml: arrays or tables are nested too deeply"),
        ("a = " + "9" * 5000, "gateway.toml: not usable as TOML: Exceeds the limit (4300 digits)"),
    ],
)
def test_a_syntax_error_says_where_and_what(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert found.startswith(problem)


def test_a_file_in_another_encoding_is_refused_with_the_place() -> None:
    Path("latin.toml").write_bytes(b'[gateway]\nname = "caf\xe9"')
    with pytest.raises(ConfigError, match=r"latin\.toml: byte 21 is not UTF-8"):
        load(Path("latin.toml"), environ={})


def test_a_target_url_is_a_service_of_its_own_that_is_never_probed() -> None:
    loaded = load_text(
        '[[routes]]\npath = "/a"\ntarget_url = "http://Host:80"\n'
        '[[routes]]\npath = "/b"\ntarget_url = "http://host"\n'
        '[[routes]]\npath = "/c"\ntarget_url = "http://[::1]:8000/"'
    )
    assert [route.service for route in loaded.routes] == ["host:80", "host:80", "[::1]:8000"]
    assert [service.name for service in loaded.services] == ["host:80", "[::1]:8000"]
    assert loaded.services[1].targets == (StaticTarget("::1", 8000),)
    assert loaded.services[0].health.type is ProbeType.NONE
    assert loaded.services[0].origin.detail == "gateway.toml routes[0]"


def test_the_default_file_is_the_one_in_the_working_directory() -> None:
    assert default_file() is None
    Path("gateway.toml").touch()
    assert default_file() == Path("gateway.toml")


def test_configuration_needs_neither_trio_nor_httpx() -> None:
    code = "import sys, gateway.config.load; print(sorted({'trio', 'httpx', 'consul', 'structlog'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

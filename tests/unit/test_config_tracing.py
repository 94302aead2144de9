"""[tracing]: what may be said there, what workers and the exporter get of it, and what is never shown."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from gateway.config import tracing_model
from gateway.config.describe import describe
from gateway.config.load import ConfigError, Loaded, load
from gateway.supervisor.tracing import orders_of

ENDPOINT = "http://127.0.0.1:4318/v1/traces"


def loaded(folder: Path, text: str) -> Loaded:
    file = folder / "gateway.toml"
    file.write_text(text)
    return load(file, environ={})


def fault(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        loaded(folder, text)
    (problem,) = raised.value.problems
    return problem


def test_tracing_is_off_by_itself(tmp_path: Path) -> None:
    found = loaded(tmp_path, "")
    settings = found.worker_settings()
    assert (settings.traces, settings.trace_sample, settings.trace_b3) == (False, 1.0, False)
    assert orders_of(found) is None


def test_workers_and_exporter_get_what_they_need(tmp_path: Path) -> None:
    text = f"[tracing]\nendpoint = '{ENDPOINT}'\nsample = 0.25\nb3 = true\nheaders = {{ X-Key = 'geheim' }}\n"
    found = loaded(tmp_path, text + "attributes = { 'deployment.environment.name' = 'test' }\n")
    settings = found.worker_settings()
    assert (settings.traces, settings.trace_sample, settings.trace_b3) == (True, 0.25, True)
    orders = orders_of(found)
    assert orders is not None
    assert (orders.endpoint, orders.headers) == (ENDPOINT, {"X-Key": "geheim"})
    assert (orders.resource["service.name"], orders.resource["deployment.environment.name"]) == ("edge", "test")
    named = orders_of(loaded(tmp_path, text + "service_name = 'front'"))
    assert named is not None
    assert named.resource["service.name"] == "front"


def test_header_values_are_never_shown(tmp_path: Path) -> None:
    found = loaded(tmp_path, f"[tracing]\nendpoint = '{ENDPOINT}'\nheaders = {{ X-Plain = 'geheim' }}")
    shown = describe(found)
    assert "geheim" not in json.dumps(shown)
    assert "tracing.headers.X-Plain" in shown["settings"]
    assert "geheim" not in fault(tmp_path, '[tracing]\nheaders = { X-Plain = "geheim\\n" }')


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("endpoint = 'collector:4318'", "must be an http:// or https:// URL"),
        ("endpoint = 'http://me:geheim@c:4318/v1/traces'", "must be an http:// or https:// URL"),
        ("endpoint = 'http://c:4318'", "must have the whole path; write http://c:4318/v1/traces"),
        ("endpoint = 'http://c:4318/'", "must have the whole path; write http://c:4318/v1/traces"),
        ("sample = 1.5", "must be at most 1"),
        ("sample = -0.1", "must be at least 0"),
        ("b3 = 'yes'", "tracing.b3"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, says: str) -> None:
    assert says in fault(tmp_path, f"[tracing]\n{text}")


def test_missing_packages_are_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(tracing_model, "version", missing)
    assert loaded(tmp_path, "[tracing]\nsample = 0.5").tracing.sample == 0.5
    said = fault(tmp_path, f"[tracing]\nendpoint = '{ENDPOINT}'")
    assert "tracing.endpoint: needs opentelemetry-sdk, which is not installed: pip install 'gw[tracing]'" in said

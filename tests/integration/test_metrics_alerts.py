"""Every alert of examples/prometheus fires in the state it is made for and not in the one beside it, says promtool."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.admin.families import FAMILIES
from tests.prometheus import promtool

ALERTS = Path(__file__).parents[2] / "examples" / "prometheus" / "alerts.yml"
AT = "20m"
FROM = {"gateway": "127.0.0.1:9901", "job": "gw"}
USERS = {"service": "users"}
ONE = {**USERS, "instance": "10.0.0.1:80"}
TWO = {**USERS, "instance": "10.0.0.2:80"}
WORKER = {"worker": "0"}

Series = dict[str, str]  # values by series, in promtool's notation: 'start+increment x times', one each minute


def series(name: str, **labels: str) -> str:
    pairs = ", ".join(f'{key}="{value}"' for key, value in sorted({**FROM, **labels}.items()))
    return f"{name}{{{pairs}}}"


def steady(name: str, value: float, **labels: str) -> Series:
    return {series(name, **labels): f"{value}x30"}


def growing(name: str, by: float, **labels: str) -> Series:
    return {series(name, **labels): f"0+{by}x30"}


def requests(failed: int) -> Series:
    return {
        **growing("gw_requests_total", 1000 - failed, **USERS, route="/", code="200"),
        **growing("gw_requests_total", failed, **USERS, route="/", code="503"),
        **growing("gw_requests_total", 500, service="", route="", code="404"),
    }


def histogram(name: str, fast: int, slow: int, **labels: str) -> Series:
    """So many observations a minute below 5 ms, and between 2.5 and 5 s."""
    counts = {"0.005": fast, "2.5": fast, "5.0": fast + slow, "+Inf": fast + slow}
    return {
        key: text for le, n in counts.items() for key, text in growing(f"{name}_bucket", n, **labels, le=le).items()
    }


def latencies(slow: int) -> Series:
    return {
        **histogram("gw_upstream_duration_seconds", 100, 0, **TWO),
        **histogram("gw_upstream_duration_seconds", 30 - slow, slow, **ONE),
    }


def instances(eligible: int) -> Series:
    return {
        **steady("gw_service_eligible_instances", eligible, **USERS),
        **steady("gw_service_instances", 4, **USERS),
    }


# By alert: a state in which it fires with these labels, and one that is nearly the same, in which it does not.
CASES: dict[str, tuple[Series, dict[str, str], Series]] = {
    "GwDown": (steady("up", 0), {}, steady("up", 1)),
    "GwNotReady": (steady("gw_ready", 0), {}, steady("gw_ready", 1)),
    "GwHighErrorRatio": (requests(60), USERS, requests(40)),
    "GwHighLatency": (
        histogram("gw_request_duration_seconds", 90, 10, **USERS, route="/"),
        USERS,
        histogram("gw_request_duration_seconds", 1000, 5, **USERS, route="/"),
    ),
    "GwRequestsLost": (growing("gw_crashes_total", 1), {}, steady("gw_crashes_total", 7)),
    "GwNoEligibleInstance": (instances(0), USERS, instances(1)),
    "GwFewEligibleInstances": (instances(1), USERS, instances(2)),
    "GwFailingOpen": (
        steady("gw_service_failing_open", 1, **USERS),
        USERS,
        steady("gw_service_failing_open", 0, **USERS),
    ),
    "GwInstanceFlapping": (
        growing("gw_instance_flaps_total", 1, **ONE),
        ONE,
        steady("gw_instance_flaps_total", 9, **ONE),
    ),
    "GwInstanceEjected": (
        growing("gw_instance_ejections_total", 1, **ONE),
        ONE,
        growing("gw_instance_ejections_total", 0.1, **ONE),
    ),
    "GwSlowInstance": (latencies(29), ONE, latencies(5)),
    "GwDiscoveryStale": (
        steady("gw_discovery_stale", 1, source="consul"),
        {"source": "consul"},
        steady("gw_discovery_stale", 0, source="consul"),
    ),
    "GwConfigReloadFailed": (
        steady("gw_config_last_reload_successful", 0),
        {},
        steady("gw_config_last_reload_successful", 1),
    ),
    "GwProblems": (steady("gw_problems", 2), {}, steady("gw_problems", 0)),
    "GwWorkerRestarted": (
        growing("gw_worker_restarts_total", 1, **WORKER),
        WORKER,
        steady("gw_worker_restarts_total", 3, **WORKER),
    ),
    "GwWorkerNotServing": (
        steady("gw_worker_serving", 0, **WORKER),
        WORKER,
        steady("gw_worker_serving", 1, **WORKER),
    ),
    "GwWorkerBehind": (
        {**steady("gw_snapshot_published_generation", 9), **steady("gw_snapshot_generation", 8, **WORKER)},
        WORKER,
        {**steady("gw_snapshot_published_generation", 9), **steady("gw_snapshot_generation", 9, **WORKER)},
    ),
    "GwConnectionsRefused": (
        growing("gw_client_connections_refused_total", 1),
        {},
        steady("gw_client_connections_refused_total", 5),
    ),
    "GwAcceptErrors": (
        growing("gw_client_connections_accept_errors_total", 60),
        {},
        growing("gw_client_connections_accept_errors_total", 1),
    ),
    "GwFewDescriptorsLeft": (
        {**steady("process_open_fds", 900, process="worker-0"), **steady("process_max_fds", 1024, process="worker-0")},
        {"process": "worker-0"},
        {**steady("process_open_fds", 700, process="worker-0"), **steady("process_max_fds", 1024, process="worker-0")},
    ),
    "GwAccessLogDropped": (
        growing("gw_access_log_dropped_lines_total", 3),
        {},
        steady("gw_access_log_dropped_lines_total", 3),
    ),
}


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_promtool_accepts_the_rules_and_the_configuration() -> None:
    for what, path in (("rules", ALERTS), ("config", ALERTS.parent / "prometheus.yml")):
        checked = promtool("check", what, str(path))
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_has_its_case_and_says_how_urgent_it_is() -> None:
    assert [rule["alert"] for rule in rules()] == list(CASES)
    assert {rule["labels"]["severity"] for rule in rules()} == {"page", "ticket"}


def test_rules_and_cases_speak_of_series_that_there_are() -> None:
    labels = {"up": set[str]()}
    for family in FAMILIES:
        if family.kind == "histogram":
            labels[f"{family.name}_bucket"] = {*family.all_labels, "le"}
        else:
            labels[family.name] = set(family.all_labels)
    for rule in rules():
        asked = set(re.findall(r"\b(?:gw|process)_\w+|\bup\b", rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= set(labels), rule["alert"]
        made = {each.partition("{")[0] for state in CASES[rule["alert"]][::2] for each in state}
        assert asked <= made, rule["alert"]
    for fires, _, does_not in CASES.values():
        for each in (*fires, *does_not):
            name, _, selector = each.partition("{")
            given = set(re.findall(r"(\w+)=", selector)) - set(FROM)
            assert given <= labels[name], each


def case(alert: str, state: Series, *expected: dict[str, str]) -> dict[str, object]:
    asked = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    [severity] = [rule["labels"]["severity"] for rule in rules() if rule["alert"] == alert]
    firing = {"alertname": alert, "alertstate": "firing", "severity": severity}
    return {
        "name": alert,
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in state.items()],
        "promql_expr_test": [
            {
                "expr": asked,
                "eval_time": AT,
                "exp_samples": [{"labels": series("ALERTS", **firing, **labels), "value": 1} for labels in expected],
            }
        ],
    }


@pytest.mark.parametrize("fires", [True, False], ids=["fires", "does_not"])
def test_alerts_fire_in_their_states_alone(fires: bool, tmp_path: Path) -> None:
    cases = [
        case(alert, state, labels) if fires else case(alert, other) for alert, (state, labels, other) in CASES.items()
    ]
    file = tmp_path / "cases.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": cases}))
    tested = promtool("test", "rules", str(file))
    assert tested.returncode == 0, (tested.stdout + tested.stderr).decode()

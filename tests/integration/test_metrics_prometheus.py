"""A real Prometheus scrapes a real gateway, as examples/prometheus says: nothing is refused, every query answers."""

from __future__ import annotations

import http.client
import json
import math
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.admin.families import FAMILIES
from gateway.admin.metrics_reference import QUERIES
from tests.backends import Backend, start_backend
from tests.gateways import RunningGateway, start_gateway
from tests.prometheus import PrometheusServer, promtool

EXAMPLES = Path(__file__).parents[2] / "examples"
PLAIN_TEXT = "text/plain;version=0.0.4"
VARIABLES = {  # as Grafana would fill them in
    "$__rate_interval": "1m",
    "$job": ".*",
    "$gateway": ".*",
    "$service": ".+",
}
# What has no data, or only quantiles of nothing, while nobody changes the configuration.
QUIET = {"Configuration reloaded", "Change to worker"}


def config(*backends: Backend) -> str:
    urls = ", ".join(f'"{each.url}"' for each in backends)
    return f"""
        [log]
        access = "off"
        [[services]]
        name = "users"
        instances = [{urls}]
        balance = "round_robin"
        [services.health]
        interval = 0.5
        [[routes]]
        path = "/users/*"
        service = "users"
        strip_path = true
    """


COUNTED = 'min(count_over_time(gw_ready[1m])) > 3 and sum(rate(gw_requests_total{code="500"}[5s])) > 0'


@pytest.fixture(scope="module")
def backends() -> Iterator[tuple[Backend, Backend]]:
    with start_backend("one") as one, start_backend("two") as two:
        yield one, two


@pytest.fixture(scope="module")
def gateway(backends: tuple[Backend, Backend], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with start_gateway(tmp_path_factory.mktemp("gateway"), config(*backends)) as running:
        running.wait_until(lambda: len(running.eligible()) == 2)
        yield running


def example_scrape(admin: str) -> dict[str, Any]:
    """The scrape configuration of the example, for this gateway."""
    [scrape] = yaml.safe_load((EXAMPLES / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    found: dict[str, Any] = scrape | {"static_configs": [{"targets": [admin]}]}
    return found


@pytest.fixture(scope="module")
def prometheus(gateway: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    folder = tmp_path_factory.mktemp("prometheus")
    rules = [EXAMPLES / "prometheus" / "alerts.yml"]
    with PrometheusServer(folder, [example_scrape(gateway.admin)], rules=rules) as server:
        server.wait_until(lambda: server.query('up{job="gw"}'))
        for path in ("/users/1", "/users/2", "/users/3", "/nowhere"):
            gateway.get(path)

        def is_counted() -> bool:  # in three scrapes at least, so that rates have something to go by
            gateway.get("/users/1")
            gateway.get("/users/status/500")
            return server.query(COUNTED) != []

        server.wait_until(is_counted)
        yield server


def test_the_target_is_up_and_every_family_is_there(prometheus: PrometheusServer, gateway: RunningGateway) -> None:
    [target] = prometheus.api("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    names = set(prometheus.api("label/__name__/values"))
    expected = {f"{each.name}_count" if each.kind == "histogram" else each.name for each in FAMILIES}
    assert expected - names == set()
    [(labels, value)] = prometheus.query(f'gw_instance_healthy{{instance="{min(gateway.eligible())}"}}')
    assert value == 1
    assert (labels["gateway"], labels["service"], labels["job"]) == (gateway.admin, "users", "gw")


def test_prometheus_knows_types_units_and_meanings(prometheus: PrometheusServer) -> None:
    known = prometheus.api("metadata")
    for family in FAMILIES:
        # Prometheus asks for OpenMetrics, where a counter's family is called without its _total.
        [told] = known[family.name.removesuffix("_total")]
        assert (told["type"], told["unit"], told["help"]) == (family.kind, family.unit, family.meaning), family.name


def test_promtool_finds_nothing_to_complain_of(gateway: RunningGateway) -> None:
    answer = gateway.admin_get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    checked = promtool("check", "metrics", stdin=answer.body)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def dashboard_queries() -> list[tuple[str, str]]:
    """Title and expression of everything that the dashboard asks."""
    dashboard = json.loads((EXAMPLES / "grafana" / "gw.json").read_text())
    asked = [(panel["title"], t["expr"]) for panel in dashboard["panels"] for t in panel.get("targets", ())]
    return asked + [(each["name"], each["expr"]) for each in dashboard["annotations"]["list"]]


def filled_in(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


@pytest.mark.parametrize(("title", "expression"), dashboard_queries())
def test_every_query_of_the_dashboard_has_data(title: str, expression: str, prometheus: PrometheusServer) -> None:
    found = prometheus.query(filled_in(expression))
    assert title in QUIET or any(not math.isnan(value) for _, value in found), expression


@pytest.mark.parametrize(("meaning", "query"), QUERIES)
def test_every_query_of_the_page_has_data(meaning: str, query: str, prometheus: PrometheusServer) -> None:
    assert any(not math.isnan(value) for _, value in prometheus.query(query)), meaning


def test_the_dashboards_variables_have_values(prometheus: PrometheusServer, gateway: RunningGateway) -> None:
    dashboard = json.loads((EXAMPLES / "grafana" / "gw.json").read_text())
    found = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            parts = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert parts, variable
            series = prometheus.api("series", **{"match[]": filled_in(parts[1])})
            found[variable["name"]] = {each[parts[2]] for each in series}
    assert found == {"job": {"gw"}, "gateway": {gateway.admin}, "service": {"users"}}


def test_no_alert_is_broken_and_none_fires_for_a_gateway_that_is_well(prometheus: PrometheusServer) -> None:
    def is_evaluated() -> bool:
        [group] = prometheus.api("rules")["groups"]
        return all(rule["health"] != "unknown" for rule in group["rules"])

    prometheus.wait_until(is_evaluated)
    [group] = prometheus.api("rules")["groups"]
    assert {rule["name"]: rule.get("lastError", "") for rule in group["rules"] if rule["health"] != "ok"} == {}
    assert {rule["name"] for rule in group["rules"] if rule["state"] == "firing"} == set()


def test_an_instance_that_is_gone_and_a_reload_that_failed_show_at_once(
    prometheus: PrometheusServer, gateway: RunningGateway, backends: tuple[Backend, Backend]
) -> None:
    gone = f'{{instance="{backends[1].address}"}}'
    assert len(prometheus.query(f"gw_instance_healthy{gone}")) == 1
    gateway.config_path.write_text(config(backends[0]))
    gateway.signal(signal.SIGHUP)
    # Five minutes would pass if the series had not become stale.
    prometheus.wait_until(lambda: prometheus.query(f"gw_instance_healthy{gone}") == [])
    assert prometheus.query(f"gw_upstream_attempts_total{gone}") == []
    assert prometheus.query(f"gw_upstream_duration_seconds_bucket{gone}") == []
    assert prometheus.query('gw_config_reloads_total{result="ok"}')[0][1] == 1
    assert prometheus.query("gw_service_instances")[0][1] == 1

    gateway.config_path.write_text("nonsense = true")
    gateway.signal(signal.SIGHUP)
    prometheus.wait_until(lambda: prometheus.query('ALERTS{alertname="GwConfigReloadFailed",alertstate="firing"}'))
    assert prometheus.query('gw_config_reloads_total{result="failed"}')[0][1] == 1


def test_a_person_without_openmetrics_gets_the_same(gateway: RunningGateway) -> None:
    host, _, port = gateway.admin.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=15)
    connection.request("GET", "/metrics", headers={"Accept": PLAIN_TEXT})
    body = connection.getresponse().read().decode()
    connection.close()
    assert "# TYPE gw_requests_total counter\n" in body
    assert "# EOF" not in body

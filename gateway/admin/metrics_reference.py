"""Writes docs/metrics.md from the families: `python -m gateway.admin.metrics_reference > docs/metrics.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from gateway.admin.families import GROUPS, Family
from gateway.shm.layout import DURATION_BOUNDS, PROPAGATION_BOUNDS

_INTRO: Final = """\
# Metrics

<!-- Written by `python -m gateway.admin.metrics_reference > docs/metrics.md`; change gateway/admin, not this page. -->

`GET /metrics` on the admin address answers for all workers together, in Prometheus's text format or, where it is
asked for as Prometheus does, in OpenMetrics. Counters never go backward while the gateway lives: what a worker that
died had counted stays counted. A series lives as long as what it names: that of an instance, route, service, source
or worker which is gone is not in the next answer, so that Prometheus marks it stale.

[examples/prometheus](../examples/prometheus) has a configuration and alerts, [examples/grafana](../examples/grafana)
a dashboard. Tests run both, and every query on this page, against a real Prometheus.

## Scraping

In gw's metrics the label `instance` names an instance of a service (`host:port`). Prometheus gives every target a
label of that name too, and would rename gw's to `exported_instance`. With `honor_labels` it stays, and the gateway
gets a label of its own:

```yaml
scrape_configs:
  - job_name: gw
    honor_labels: true
    relabel_configs:
      - source_labels: [__address__]
        target_label: gateway
    static_configs:
      - targets: ["127.0.0.1:9901"] # the `admin` address of each gateway
```

There are 34 series for each instance, 18 of them its histogram, and for each route its histogram and one for each
status code seen. An answer for 1,000 instances in 100 services has 36,000 lines and 3.3 MB. With new figures for
nearly all of them it takes 38 to 45 ms (medians of runs of `python -m benchmarks.micro.bench_scrape`), the first one 50
to 93 ms; the CPU time is the supervisor's and as long, four fifths of it in a thread beside its loop, so that probes
are not delayed. Workers do nothing for a scrape. Who does not need the histograms of instances can leave them out:

```yaml
    metric_relabel_configs:
      - source_labels: [__name__]
        regex: gw_upstream_duration_seconds_bucket
        action: drop
```
"""

_AFTER: Final = """\
Buckets of durations end at {durations} s, those of the propagation at {propagation} s.
"""

# What people ask most. Each has data in a gateway with traffic.
QUERIES: Final = (
    ("Requests per second, by route", "sum by (route) (rate(gw_requests_total[5m]))"),
    (
        "Share of failed requests, by service",
        'sum by (service) (rate(gw_requests_total{code=~"5.."}[5m])) / sum by (service) (rate(gw_requests_total[5m]))',
    ),
    (
        "The 99th percentile by service: the time that 1 % of its requests exceed",
        "histogram_quantile(0.99, sum by (service, le) (rate(gw_request_duration_seconds_bucket[5m])))",
    ),
    (
        "The median of each instance, to the head of its response",
        "histogram_quantile(0.5, sum by (service, instance, le) (rate(gw_upstream_duration_seconds_bucket[5m])))",
    ),
    (
        "Time spent in the gateway and in bodies, on average: requests less attempts",
        "sum by (service) (rate(gw_request_duration_seconds_sum[5m])) / sum by (service) "
        "(rate(gw_request_duration_seconds_count[5m])) - sum by (service) (rate(gw_upstream_duration_seconds_sum[5m])) "
        "/ sum by (service) (rate(gw_upstream_duration_seconds_count[5m]))",
    ),
    (
        "Attempts that failed, by instance and outcome",
        'sum by (service, instance, outcome) (rate(gw_upstream_attempts_total{outcome!~"ok|client_closed"}[5m]))',
    ),
    (
        "Services that answer 503, as none of their instances may take traffic",
        "gw_service_eligible_instances == bool 0",
    ),
    ("Seconds since a source of instances last answered", "time() - gw_discovery_last_success_timestamp_seconds"),
    (
        "Generations that a worker is behind",
        "gw_snapshot_published_generation - on (job, gateway) group_right () gw_snapshot_generation",
    ),
    ("Processors that each process uses", "rate(process_cpu_seconds_total[5m])"),
)


def render() -> str:
    """The page."""
    return "\n".join(_page())


def _page() -> Iterator[str]:
    yield _INTRO
    for title, families in GROUPS:
        yield f"## {title}\n"
        yield "| name | type | labels | unit | meaning |"
        yield "|---|---|---|---|---|"
        yield from map(_line, families)
        yield ""
    yield _AFTER.format(durations=_listed(DURATION_BOUNDS), propagation=_listed(PROPAGATION_BOUNDS))
    parts = [(family, family.parts) for _, families in GROUPS for family in families if family.parts]
    yield "These labels have fixed values, and all of them are there from the start:\n"
    for family, values in parts:
        yield f"- `{family.split}` of `{family.name}`: {', '.join(f'`{value}`' for value in values)}"
    yield "\n## Queries\n"
    for meaning, query in QUERIES:
        yield f"{meaning}:\n\n```promql\n{query}\n```\n"


def _line(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.all_labels)
    meaning = family.meaning.replace("|", "\\|")
    return f"| `{family.name}` | {family.kind} | {labels} | {family.unit} | {meaning} |"


def _listed(bounds: tuple[float, ...]) -> str:
    return ", ".join(f"{bound:g}" for bound in bounds)


if __name__ == "__main__":
    sys.stdout.write(render())

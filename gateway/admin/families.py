"""Every family of metrics that the gateway has: name, type, labels, unit, meaning. docs/metrics.md comes from here.

Names and units follow Prometheus's rules: base units, counters end in _total, a unit is the name's last word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from gateway.shm.layout import DURATION_BOUNDS, OUTCOMES, PROPAGATION_BOUNDS

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One family. Its rows have a value for each of `labels`; a row is one sample, or several as said below."""

    name: str  # as in queries
    kind: Kind
    meaning: str
    labels: Labels = ()
    unit: str = ""  # "seconds", "bytes"; "" for plain numbers
    split: str = ""  # one more label, of which every row has all of `parts`, a sample each
    parts: Labels = ()
    bounds: tuple[float, ...] = ()  # of a histogram's buckets; +Inf comes after them

    @property
    def all_labels(self) -> Labels:
        """Those that a query can name, but for a histogram's `le`."""
        return (*self.labels, self.split) if self.split else self.labels


_ROUTE: Final = ("route", "service")
_INSTANCE: Final = ("service", "instance")
_WORKER: Final = ("worker",)
_PROCESS: Final = ("process",)

# --- requests -----------------------------------------------------------------------------------
REQUESTS: Final = Family(
    "gw_requests_total",
    "counter",
    'Requests answered, by route as configured (empty: no route matched) and status code ("other": of those '
    "beyond the 27 codes that a route counts apart).",
    (*_ROUTE, "code"),
)
DURATIONS: Final = Family(
    "gw_request_duration_seconds",
    "histogram",
    "From a request's first byte to its response's last.",
    _ROUTE,
    "seconds",
    bounds=DURATION_BOUNDS,
)
RETRIES: Final = Family("gw_retries_total", "counter", "Attempts beyond the first of a request.")
CRASHES: Final = Family("gw_crashes_total", "counter", "Requests lost to the gateway's own faults.")
RECEIVED: Final = Family("gw_received_bytes_total", "counter", "Bytes received from clients.", unit="bytes")
SENT: Final = Family("gw_sent_bytes_total", "counter", "Bytes sent to clients.", unit="bytes")
LOG_DROPPED: Final = Family(
    "gw_access_log_dropped_lines_total", "counter", "Access log lines dropped because the log's reader stalled."
)
TRACE_SPANS: Final = Family(
    "gw_trace_spans_total",
    "counter",
    "Spans of sampled requests: exported, refused by the collector (failed), or dropped as there was no room for them.",
    split="result",
    parts=("exported", "failed", "dropped"),
)

# --- client connections -------------------------------------------------------------------------
ACCEPTED: Final = Family("gw_client_connections_accepted_total", "counter", "Client connections accepted.")
REFUSED: Final = Family(
    "gw_client_connections_refused_total", "counter", "Client connections refused over limits.connections."
)
ACCEPT_ERRORS: Final = Family(
    "gw_client_connections_accept_errors_total",
    "counter",
    "Client connections that could not be accepted: descriptors or memory ran out, or the client had left.",
)

# --- instances ----------------------------------------------------------------------------------
ATTEMPTS: Final = Family(
    "gw_upstream_attempts_total",
    "counter",
    "Attempts to have a request answered by an instance that have ended, by outcome.",
    _INSTANCE,
    split="outcome",
    parts=tuple(outcome for _, outcome in OUTCOMES),
)
LATENCIES: Final = Family(
    "gw_upstream_duration_seconds",
    "histogram",
    "From the start of an attempt to the head of the instance's response; attempts without a response are not in it.",
    _INSTANCE,
    "seconds",
    bounds=DURATION_BOUNDS,
)
IN_FLIGHT: Final = Family(
    "gw_in_flight", "gauge", "Attempts under way on an instance, all workers together.", _INSTANCE
)
HEALTHY: Final = Family(
    "gw_instance_healthy",
    "gauge",
    "1 if the gateway's own checks find an instance well, or if there are none.",
    _INSTANCE,
)
ELIGIBLE: Final = Family(
    "gw_instance_eligible", "gauge", "1 if an instance may take traffic, everything considered.", _INSTANCE
)
CHECKS: Final = Family(
    "gw_health_checks_total",
    "counter",
    "Probes of an instance, by result.",
    _INSTANCE,
    split="result",
    parts=("ok", "failed"),
)
EJECTIONS: Final = Family(
    "gw_instance_ejections_total",
    "counter",
    "Ejections of an instance for failing real traffic, by every worker.",
    _INSTANCE,
)
FLAPS: Final = Family(
    "gw_instance_flaps_total", "counter", "Falls of an instance that was well, while its history is kept.", _INSTANCE
)

# --- services -----------------------------------------------------------------------------------
INSTANCES: Final = Family("gw_service_instances", "gauge", "Instances of a service that are known.", ("service",))
ELIGIBLE_INSTANCES: Final = Family(
    "gw_service_eligible_instances", "gauge", "Instances of a service that may take traffic.", ("service",)
)
FAILING_OPEN: Final = Family(
    "gw_service_failing_open", "gauge", "1 if unwell instances are used because too few are well.", ("service",)
)

# --- workers ------------------------------------------------------------------------------------
CONNECTIONS: Final = Family("gw_client_connections", "gauge", "Client connections open.", _WORKER)
WORKER_IN_FLIGHT: Final = Family("gw_worker_in_flight", "gauge", "Requests under way in a worker.", _WORKER)
WORKER_REQUESTS: Final = Family(
    "gw_worker_requests_total", "counter", "Requests answered in a worker's place, by whichever process.", _WORKER
)
UPSTREAM_IDLE: Final = Family("gw_upstream_idle_connections", "gauge", "Pooled connections to instances.", _WORKER)
SERVING: Final = Family("gw_worker_serving", "gauge", "1 if a worker accepts connections.", _WORKER)
RESTARTS: Final = Family("gw_worker_restarts_total", "counter", "Times a worker was replaced.", _WORKER)
GENERATION: Final = Family("gw_snapshot_generation", "gauge", "The generation that a worker uses.", _WORKER)
PUBLISHED: Final = Family(
    "gw_snapshot_published_generation", "gauge", "The newest generation published to the workers."
)
PROPAGATION: Final = Family(
    "gw_snapshot_propagation_seconds",
    "histogram",
    "From an accepted change to a worker using it.",
    unit="seconds",
    bounds=PROPAGATION_BOUNDS,
)

# --- discovery and configuration ----------------------------------------------------------------
LAST_SUCCESS: Final = Family(
    "gw_discovery_last_success_timestamp_seconds",
    "gauge",
    "When a source of instances last answered, in Unix seconds; 0: never.",
    ("source",),
    "seconds",
)
STALE: Final = Family("gw_discovery_stale", "gauge", "1 if a source's instances are its last known.", ("source",))
PROBLEMS: Final = Family("gw_problems", "gauge", "Declarations that could not be honoured; `gw status` names them.")
RELOADS: Final = Family(
    "gw_config_reloads_total", "counter", "Times the configuration was read again, by result.",
    split="result", parts=("ok", "failed"),
)  # fmt: skip
RELOAD_OK: Final = Family(
    "gw_config_last_reload_successful",
    "gauge",
    "1 if the configuration that was read last is in force; 0: it was refused, the one before stays in force.",
)
RELOAD_AT: Final = Family(
    "gw_config_last_reload_success_timestamp_seconds",
    "gauge",
    "When the configuration in force was read, in Unix seconds.",
    unit="seconds",
)

# --- the gateway --------------------------------------------------------------------------------
READY: Final = Family("gw_ready", "gauge", "1 if the gateway is ready, as /ready says; 0 while it starts or drains.")
UPTIME: Final = Family("gw_uptime_seconds", "gauge", "Seconds since the gateway started.", unit="seconds")
BUILD: Final = Family("gw_build_info", "gauge", "Always 1; the label tells the version.", ("version",))

# --- processes ----------------------------------------------------------------------------------
CPU: Final = Family(
    "process_cpu_seconds_total",
    "counter",
    "Processor time, user and system, of supervisor, worker-N and exporter (of traces).",
    _PROCESS,
    "seconds",
)
RESIDENT: Final = Family("process_resident_memory_bytes", "gauge", "Resident memory.", _PROCESS, "bytes")
VIRTUAL: Final = Family("process_virtual_memory_bytes", "gauge", "Virtual memory.", _PROCESS, "bytes")
OPEN_FDS: Final = Family("process_open_fds", "gauge", "Open file descriptors.", _PROCESS)
MAX_FDS: Final = Family("process_max_fds", "gauge", "File descriptors that may be open.", _PROCESS)
STARTED: Final = Family(
    "process_start_time_seconds", "gauge", "When the process started, in Unix seconds.", _PROCESS, "seconds"
)

GROUPS: Final[tuple[tuple[str, tuple[Family, ...]], ...]] = (
    ("Requests", (REQUESTS, DURATIONS, RETRIES, CRASHES, RECEIVED, SENT, LOG_DROPPED, TRACE_SPANS)),
    ("Client connections", (ACCEPTED, REFUSED, ACCEPT_ERRORS)),
    ("Instances", (ATTEMPTS, LATENCIES, IN_FLIGHT, HEALTHY, ELIGIBLE, CHECKS, EJECTIONS, FLAPS)),
    ("Services", (INSTANCES, ELIGIBLE_INSTANCES, FAILING_OPEN)),
    (
        "Workers",
        (
            CONNECTIONS,
            WORKER_IN_FLIGHT,
            WORKER_REQUESTS,
            UPSTREAM_IDLE,
            SERVING,
            RESTARTS,
            GENERATION,
            PUBLISHED,
            PROPAGATION,
        ),
    ),
    ("Discovery and configuration", (LAST_SUCCESS, STALE, PROBLEMS, RELOADS, RELOAD_OK, RELOAD_AT)),
    ("The gateway", (READY, UPTIME, BUILD)),
    ("Processes", (CPU, RESIDENT, VIRTUAL, OPEN_FDS, MAX_FDS, STARTED)),
)
FAMILIES: Final = tuple(family for _, group in GROUPS for family in group)

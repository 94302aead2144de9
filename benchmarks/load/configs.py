"""The configurations: each function writes the files with which one proxy does the agreed work.

The work: least connections over the upstream instances with kept-alive connections to them, `X-Forwarded-For`,
`-Proto`, `-Host`, a fresh `X-Request-ID` and the route's own header (`X-Route`) on the forwarded request,
`X-Request-ID` and `X-Gateway` on the response, one access log line per request in a file, streamed bodies, counters or
metrics on, health checks where the peer has them; of many routes, the one whose prefix matches, 404 without any. Where
a peer has a cheaper way to do the same (nginx: log buffer; HAProxy: sharing idle connections, a map with a tree), it
is used.
"""

import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.workloads import route_names

Files = Mapping[str, str]
"""Texts by file name; the first is the one that the peer is started with."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run of a proxy lives, and what it is configured for."""

    folder: Path
    port: int
    admin_port: int
    upstream_ports: tuple[int, ...]
    workers: int
    routes: int = 1
    connections: int = 4096
    """Clients at once."""
    is_logged: bool = True

    @property
    def access_log(self) -> Path:
        """One line per request, whichever the peer."""
        return self.folder / "access.log"

    @property
    def output(self) -> Path:
        """Everything else that the process prints."""
        return self.folder / "output.log"


def nginx_user() -> str:
    """A line only root needs: without it nginx's workers may not write into this run's folder."""
    return f"user {pwd.getpwuid(os.geteuid()).pw_name};\n" if os.geteuid() == 0 else ""


def nginx_temp_paths(folder: Path) -> str:
    """nginx's spill files, inside this run's folder."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)


def _lines(names: tuple[str, ...], line: Callable[[str], str]) -> str:
    return "\n".join(line(name) for name in names)


def nginx(place: Place) -> Files:
    servers = "\n".join(f"        server 127.0.0.1:{port};" for port in place.upstream_ports)
    # Workers share their counts through a zone; a single one needs none and is spared its lock.
    zone = "        zone bench 1m;\n" if place.workers > 1 else ""
    names = route_names(place.routes)
    many = _lines(names, lambda name: f"        location /{name}/ {{ set $route {name}; proxy_pass http://bench; }}")
    locations = (
        f"{many}\n        location / {{ return 404; }}"
        if place.routes > 1
        else f"        location / {{ set $route {names[0]}; proxy_pass http://bench; }}"
    )
    return {
        "nginx.conf": f"""{nginx_user()}worker_processes {place.workers};
pid {place.folder}/nginx.pid;
error_log {place.output} warn;
worker_rlimit_nofile {place.connections + 8192};
events {{ worker_connections {place.connections}; }}
http {{
    log_format bench escape=json '{{"time":"$time_iso8601","request_id":"$request_id","client":"$remote_addr",'
        '"method":"$request_method","host":"$http_host","path":"$request_uri","status":$status,'
        '"bytes":$body_bytes_sent,"seconds":$request_time,"instance":"$upstream_addr",'
        '"upstream_seconds":"$upstream_response_time"}}';
    access_log {f"{place.access_log} bench buffer=32k flush=1s" if place.is_logged else "off"};
{nginx_temp_paths(place.folder)}    keepalive_requests 100000000;
    keepalive_timeout 75s;
    tcp_nodelay on;
    client_max_body_size 0;
    client_body_buffer_size 128k;
    upstream bench {{
{zone}        least_conn;
{servers}
        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{place.port} backlog=4096 reuseport;
        set $route "";
        proxy_http_version 1.1;
        proxy_request_buffering off;
        proxy_max_temp_file_size 0;
        proxy_buffer_size 16k;
        proxy_buffers 8 32k;
        proxy_busy_buffers_size 64k;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Request-ID $request_id;
        proxy_set_header X-Route $route;
        add_header X-Request-ID $request_id always;
        add_header X-Gateway nginx always;
{locations}
    }}
    server {{
        listen 127.0.0.1:{place.admin_port};
        location = /metrics {{ stub_status; access_log off; }}
    }}
}}
"""
    }


def haproxy(place: Place) -> Files:
    servers = "\n".join(f"    server s{port} 127.0.0.1:{port} check inter 5s" for port in place.upstream_ports)
    names = route_names(place.routes)
    table = place.folder / "routes.map"
    routing = (
        f"""    http-request set-var(txn.route) path,map_beg({table})
    http-request return status 404 unless {{ var(txn.route) -m found }}
    http-request set-header X-Route %[var(txn.route)]"""
        if place.routes > 1
        else f"    http-request set-header X-Route {names[0]}"
    )
    # It asks for two descriptors per client at the start; idle clients have one, so too low a limit is no failure. With
    # a quarter of them in use it would give up its connections to the instances.
    return {
        "haproxy.cfg": f"""global
    nbthread {place.workers}
    maxconn {place.connections}
    no strict-limits
    tune.pool-low-fd-ratio 80
    tune.pool-high-fd-ratio 90
    tune.bufsize 32768
    log stdout format raw local0 info
    unix-bind mode 600
defaults
    mode http
{"    log global" if place.is_logged else "    no log"}
    timeout client 75s
    timeout http-request 10s
    timeout http-keep-alive 75s
    timeout connect 4s
    timeout server 30s
    option http-keep-alive
    option dontlognull
    log-format '{{"time":"%tr","request_id":"%ID","client":"%ci","method":"%HM","host":"%[capture.req.hdr(0)]",\
"path":"%HU","status":%ST,"bytes":%B,"ms":%Ta,"instance":"%s","upstream_ms":%Tr}}'
frontend bench
    bind 127.0.0.1:{place.port} backlog 4096
    declare capture request len 64
    http-request capture req.hdr(Host) id 0
    unique-id-format %[uuid()]
    unique-id-header X-Request-ID
    option forwardfor
{routing}
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    http-response set-header X-Request-ID %[unique-id]
    http-response set-header X-Gateway haproxy
    default_backend instances
backend instances
    balance leastconn
    http-reuse always
    option httpchk GET /health
{servers}
frontend admin
    bind 127.0.0.1:{place.admin_port}
    no log
    http-request use-service prometheus-exporter if {{ path /metrics }}
""",
        "routes.map": _lines(names, lambda name: f"/{name}/ {name}") + "\n",
    }


def caddy(place: Place) -> Files:
    upstreams = " ".join(f"127.0.0.1:{port}" for port in place.upstream_ports)
    names = route_names(place.routes)
    # Blocks of `handle` exclude each other, and what comes after them is common to all.
    many = _lines(names, lambda name: f"    handle /{name}/* {{\n        vars route {name}\n    }}")
    routing = f"{many}\n    handle {{\n        error 404\n    }}" if place.routes > 1 else f"    vars route {names[0]}"
    log = (
        f"    log {{\n        output file {place.access_log} {{\n            roll_disabled\n        }}\n"
        "        format json\n    }\n"
        if place.is_logged
        else ""
    )
    return {
        "Caddyfile": f"""{{
    admin 127.0.0.1:{place.admin_port}
    auto_https off
    servers {{
        metrics
    }}
    log default {{
        output file {place.output}
        exclude http.log.access
    }}
}}
http://:{place.port} {{
    bind 127.0.0.1
{log}    header X-Request-ID {{http.request.uuid}}
    header X-Gateway caddy
{routing}
    reverse_proxy {upstreams} {{
        lb_policy least_conn
        header_up X-Request-ID {{http.request.uuid}}
        header_up X-Route {{http.vars.route}}
        health_uri /health
        health_interval 5s
        transport http {{
            dial_timeout 4s
            keepalive 75s
            keepalive_idle_conns 4096
            keepalive_idle_conns_per_host 1024
            compression off
        }}
    }}
}}
"""
    }


def gw(place: Place) -> Files:
    instances = ", ".join(f'"http://127.0.0.1:{port}"' for port in place.upstream_ports)
    routes = _lines(
        route_names(place.routes),
        lambda name: (
            f'[[routes]]\npath = "{f"/{name}" if place.routes > 1 else ""}/*"\nservice = "bench"\n'
            f'headers = {{ "X-Route" = "{name}" }}\n'
        ),
    )
    return {
        "gateway.toml": f"""[gateway]
name = "gw"
listen = ["127.0.0.1:{place.port}"]
admin = "127.0.0.1:{place.admin_port}"
workers = {place.workers}
drain_timeout = 1.0

[limits]
connections = {place.connections}

[log]
level = "warning"
access = "{place.access_log if place.is_logged else "off"}"

[[services]]
name = "bench"
instances = [{instances}]
balance = "least_connections"
[services.health]
type = "http"
path = "/health"

{routes}"""
    }

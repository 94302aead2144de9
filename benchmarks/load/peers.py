"""The compared proxies: how each is configured for the same work, started and asked for its version.

The work: least connections over the upstream instances with kept-alive connections to them, `X-Forwarded-For`,
`-Proto`, `-Host` and a fresh `X-Request-ID` on the forwarded request, `X-Request-ID` and `X-Gateway` on the response,
one access log line per request in a file, streamed bodies, counters or metrics on, health checks where the peer has
them. Where a peer has a cheaper way to do the same (nginx: log buffer; HAProxy: sharing idle connections), it is used.
"""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = "nginx-light haproxy caddy wrk"
"""What the peers and the load generator are called in Debian and Ubuntu."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run of a proxy lives."""

    folder: Path
    port: int
    admin_port: int
    upstream_ports: tuple[int, ...]
    workers: int

    @property
    def access_log(self) -> Path:
        """One line per request, whichever the peer."""
        return self.folder / "access.log"

    @property
    def output(self) -> Path:
        """Everything else that the process prints."""
        return self.folder / "output.log"


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy: `configure` returns the text of its file, `command` what to run."""

    name: str
    file: str
    configure: Callable[[Place], str]
    command: Callable[[Path], list[str]]
    version: Callable[[], str]
    executable: Callable[[], str | None]
    logs_to_stdout: bool = False
    """Its standard output is its access log."""
    environment: Callable[[Place], Mapping[str, str]] = field(default=lambda place: {})


class PeerMissing(Exception):
    """A peer or tool that was asked for is not installed."""


def _first_line(*command: str) -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip().splitlines()[0]


def _gw_command() -> str | None:
    """The console script beside this Python, so the benchmark measures the tree it is run from."""
    beside = Path(sys.executable).with_name("gw")
    return str(beside) if beside.exists() else None


def nginx_user() -> str:
    """A line only root needs: without it nginx's workers may not write into this run's folder."""
    return f"user {pwd.getpwuid(os.geteuid()).pw_name};\n" if os.geteuid() == 0 else ""


def nginx_temp_paths(folder: Path) -> str:
    """nginx's spill files, inside this run's folder."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)


def _nginx(place: Place) -> str:
    servers = "\n".join(f"        server 127.0.0.1:{port};" for port in place.upstream_ports)
    # Workers share their counts through a zone; a single one needs none and is spared its lock.
    zone = "        zone bench 256k;\n" if place.workers > 1 else ""
    return f"""{nginx_user()}worker_processes {place.workers};
pid {place.folder}/nginx.pid;
error_log {place.output} warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 4096; }}
http {{
    log_format bench escape=json '{{"time":"$time_iso8601","request_id":"$request_id","client":"$remote_addr",'
        '"method":"$request_method","host":"$http_host","path":"$request_uri","status":$status,'
        '"bytes":$body_bytes_sent,"seconds":$request_time,"instance":"$upstream_addr",'
        '"upstream_seconds":"$upstream_response_time"}}';
    access_log {place.access_log} bench buffer=32k flush=1s;
{nginx_temp_paths(place.folder)}    keepalive_requests 100000000;
    keepalive_timeout 75s;
    tcp_nodelay on;
    upstream bench {{
{zone}        least_conn;
{servers}
        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{place.port} backlog=4096 reuseport;
        location / {{
            proxy_pass http://bench;
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
            add_header X-Request-ID $request_id always;
            add_header X-Gateway nginx always;
        }}
    }}
    server {{
        listen 127.0.0.1:{place.admin_port};
        location = /metrics {{ stub_status; access_log off; }}
    }}
}}
"""


def _haproxy(place: Place) -> str:
    servers = "\n".join(f"    server s{port} 127.0.0.1:{port} check inter 5s" for port in place.upstream_ports)
    return f"""global
    nbthread {place.workers}
    maxconn 4096
    tune.bufsize 32768
    log stdout format raw local0 info
    unix-bind mode 600
defaults
    mode http
    log global
    timeout client 75s
    timeout http-request 10s
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
"""


def _caddy(place: Place) -> str:
    upstreams = " ".join(f"127.0.0.1:{port}" for port in place.upstream_ports)
    return f"""{{
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
    log {{
        output file {place.access_log} {{
            roll_disabled
        }}
        format json
    }}
    header X-Request-ID {{http.request.uuid}}
    header X-Gateway caddy
    reverse_proxy {upstreams} {{
        lb_policy least_conn
        header_up X-Request-ID {{http.request.uuid}}
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


def _gw(place: Place) -> str:
    instances = ", ".join(f'"http://127.0.0.1:{port}"' for port in place.upstream_ports)
    return f"""[gateway]
name = "gw"
listen = ["127.0.0.1:{place.port}"]
admin = "127.0.0.1:{place.admin_port}"
workers = {place.workers}
drain_timeout = 1.0

[log]
level = "warning"
access = "{place.access_log}"

[[services]]
name = "bench"
instances = [{instances}]
balance = "least_connections"
[services.health]
type = "http"
path = "/health"

[[routes]]
path = "/*"
service = "bench"
"""


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            name="gw",
            file="gateway.toml",
            configure=_gw,
            command=lambda file: [_gw_command() or "gw", "up", "-c", str(file)],
            version=lambda: f"gw {_first_line(sys.executable, '-c', _GW_VERSION)} on Python {sys.version.split()[0]}",
            executable=_gw_command,
        ),
        Peer(
            name="nginx",
            file="nginx.conf",
            configure=_nginx,
            command=lambda file: ["nginx", "-p", str(file.parent), "-c", str(file), "-g", "daemon off;"],
            version=lambda: _first_line("nginx", "-v").removeprefix("nginx version: "),
            executable=lambda: shutil.which("nginx"),
        ),
        Peer(
            name="haproxy",
            file="haproxy.cfg",
            configure=_haproxy,
            command=lambda file: ["haproxy", "-db", "-f", str(file)],
            version=lambda: _first_line("haproxy", "-v").split(" - ")[0],
            executable=lambda: shutil.which("haproxy"),
            logs_to_stdout=True,
        ),
        Peer(
            name="caddy",
            file="Caddyfile",
            configure=_caddy,
            command=lambda file: ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"],
            version=lambda: f"Caddy {_first_line('caddy', 'version').split()[0]}",
            executable=lambda: shutil.which("caddy"),
            environment=lambda place: {
                "GOMAXPROCS": str(place.workers),
                "HOME": str(place.folder),
                "XDG_CONFIG_HOME": str(place.folder),
                "XDG_DATA_HOME": str(place.folder),
            },
        ),
    )
}

_GW_VERSION = "from importlib.metadata import version; print(version('gw'))"


def require(names: tuple[str, ...]) -> None:
    """Raises PeerMissing, naming everything that is absent at once and how to get it."""
    missing = [name for name in names if PEERS[name].executable() is None]
    missing += [tool for tool in ("wrk", "nginx", "taskset") if shutil.which(tool) is None and tool not in missing]
    if not missing:
        return
    sentences = [f"Not installed: {', '.join(missing)}."]
    if missing != ["gw"]:
        sentences.append(f"On Debian or Ubuntu: apt-get install {PACKAGES} util-linux.")
        sentences.append(
            "wrk, nginx (the upstream) and taskset are always needed; other peers can be left out with --peers."
        )
    if "gw" in missing:
        sentences.append("gw must be installed beside this Python: make bench does that.")
    raise PeerMissing(" ".join(sentences))

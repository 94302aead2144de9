"""The compared proxies: how each is started, and asked for its version."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import configs
from benchmarks.load.configs import Files, Place

PACKAGES = "nginx-light haproxy caddy wrk"
"""What the peers and the load generator are called in Debian and Ubuntu."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One proxy: `configure` returns its files, `command` what to run with the first of them."""

    name: str
    configure: Callable[[Place], Files]
    command: Callable[[Path], list[str]]
    version: Callable[[], str]
    executable: Callable[[], str | None]
    logs_to_stdout: bool = False
    """Its standard output is its access log."""
    environment: Callable[[Place], Mapping[str, str]] = field(default=lambda place: {})


class PeerMissing(Exception):
    """A peer or tool that was asked for is not installed."""


def _first_line(*command: str) -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
    return done.stdout.strip().splitlines()[0]


def gateway(name: str, command: str) -> Peer:
    """A gw that `command` (words as in a shell) runs, from this environment or another."""
    first, *rest = shlex.split(command)
    found = shutil.which(first)
    # Absolute: it is started in a folder of its own, so that no module of this tree gets into it.
    words = [str(Path(found).absolute()) if found else first, *rest]
    return Peer(
        name=name,
        configure=configs.gw,
        command=lambda file: [*words, "up", "-c", str(file)],
        version=lambda: _gateway_version(words),
        executable=lambda: found,
    )


_ABOUT = """
import sys
from importlib.util import find_spec
spec = find_spec("gateway.h1.request")
compiled = spec is not None and str(spec.origin).endswith(".so")
print("on Python", sys.version.split()[0] + (", compiled" if compiled else ", not compiled"))
"""


def _gateway_version(words: Sequence[str]) -> str:
    said = _first_line(*words, "--version")
    python = Path(words[0]).with_name("python")
    return f"{said} {_first_line(str(python), '-P', '-c', _ABOUT)}" if python.exists() else said


def _caddy_environment(place: Place) -> Mapping[str, str]:
    folders = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(place.folder))
    return {"GOMAXPROCS": str(place.workers), **folders}


_OTHERS = (
    Peer(
        name="nginx",
        configure=configs.nginx,
        command=lambda file: ["nginx", "-p", str(file.parent), "-c", str(file), "-g", "daemon off;"],
        version=lambda: _first_line("nginx", "-v").removeprefix("nginx version: "),
        executable=lambda: shutil.which("nginx"),
    ),
    Peer(
        name="haproxy",
        configure=configs.haproxy,
        command=lambda file: ["haproxy", "-db", "-f", str(file)],
        version=lambda: _first_line("haproxy", "-v").split(" - ")[0],
        executable=lambda: shutil.which("haproxy"),
        logs_to_stdout=True,
    ),
    Peer(
        name="caddy",
        configure=configs.caddy,
        command=lambda file: ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"],
        version=lambda: f"Caddy {_first_line('caddy', 'version').split()[0]}",
        executable=lambda: shutil.which("caddy"),
        environment=_caddy_environment,
    ),
)


def all_peers(gateways: Sequence[tuple[str, str]] = ()) -> dict[str, Peer]:
    """Every peer by name: the gw installed beside this Python (so the tree that the benchmark is run from, unless one
    of `gateways`, names and commands, takes its name), those, and the others."""
    ours = {"gw": str(Path(sys.executable).with_name("gw")), **dict(gateways)}
    return {
        **{name: gateway(name, command) for name, command in ours.items()},
        **{peer.name: peer for peer in _OTHERS},
    }


def require(peers: Sequence[Peer], tools: Sequence[str] = ("wrk", "nginx", "taskset")) -> None:
    """Raises PeerMissing, naming everything that is absent at once and how to get it. `tools`: needed with any peer."""
    ours = {peer.name for peer in peers if peer.configure is configs.gw}
    missing = [peer.name for peer in peers if peer.executable() is None]
    missing += [tool for tool in tools if shutil.which(tool) is None and tool not in missing]
    if not missing:
        return
    sentences = [f"Not installed: {', '.join(missing)}."]
    if not ours.issuperset(missing):
        sentences.append(f"On Debian or Ubuntu: apt-get install {PACKAGES} util-linux.")
        sentences.append(f"Always needed: {', '.join(tools)} (nginx is the upstream).")
        if not ours.issuperset(peer.name for peer in peers):
            sentences.append("Other peers can be left out with --peers.")
    if ours.intersection(missing):
        sentences.append("gw must be installed beside this Python, which make bench does, or where --gw says.")
    raise PeerMissing(" ".join(sentences))

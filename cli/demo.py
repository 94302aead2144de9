"""What `gw up --demo` brings along: three small backends and the configuration that routes to them.

    with Demo() as demo:
        demo.config_toml          # the configuration as text; demo.config_path is a file that holds it
        demo.hint("127.0.0.1:8080")   # what to try, for the console

The backends are child processes in process groups of their own: Ctrl-C reaches the gateway alone, which drains while
they still answer. They end with `close`, or when this process is gone. One that is killed starts again on
its port after RESTART_AFTER seconds, so that its return can be watched as well.
"""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

SCRIPT = Path(__file__).with_name("demo_backend.py")
START_DEADLINE = 15.0  # seconds
RESTART_AFTER = 10.0  # seconds that a killed backend stays away
INSTANCES = (("fast-1", 0.002), ("fast-2", 0.002), ("slow-1", 0.050))  # name, seconds before an answer


class DemoError(Exception):
    """A demo backend did not start."""


@dataclass(slots=True)
class DemoInstance:
    """A running demo backend."""

    name: str
    delay: float  # seconds before an answer
    port: int  # on 127.0.0.1
    process: subprocess.Popen[bytes]


class Demo:
    """The demo's backends and configuration. Starting raises DemoError."""

    def __init__(self) -> None:
        self.instances: tuple[DemoInstance, ...] = ()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._is_closing = threading.Event()
        self._watchers: list[threading.Thread] = []

    def __enter__(self) -> Demo:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the backends, all at once, and wait until they listen."""
        processes = [_spawn(name, delay) for name, delay in INSTANCES]
        try:
            self.instances = tuple(
                DemoInstance(name, delay, _read_port(name, process), process)
                for (name, delay), process in zip(INSTANCES, processes, strict=True)
            )
        except DemoError:
            for process in processes:
                _end(process)
            raise
        self._folder = tempfile.TemporaryDirectory(prefix="gw-demo-")
        self.config_path.write_text(self.config_toml)
        # Threads, since the gateway's own loop has nothing to do with the demo.
        self._watchers = [threading.Thread(target=self._watch, args=(each,), daemon=True) for each in self.instances]
        for watcher in self._watchers:
            watcher.start()

    def close(self) -> None:
        """End the backends, those killed meanwhile included, and remove the file."""
        self._is_closing.set()
        for instance in self.instances:
            instance.process.kill()
        for watcher in self._watchers:
            watcher.join()
        for instance in self.instances:
            _end(instance.process)
        self.instances = ()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _watch(self, instance: DemoInstance) -> None:
        """Start a backend again some time after its end, until the demo's own."""
        while True:
            instance.process.wait()
            if self._is_closing.wait(RESTART_AFTER):
                return
            _end(instance.process)
            instance.process = _spawn(instance.name, instance.delay, instance.port)
            if self._is_closing.is_set():  # `close` may have looked just before
                instance.process.kill()

    @property
    def config_toml(self) -> str:
        """The configuration: one service with three instances, one route to it. Flags and environment apply to it."""
        instances = "\n".join(
            f'    "http://127.0.0.1:{instance.port}", # {_say(instance)}' for instance in self.instances
        )
        return f"""\
[[services]]
name = "demo"
instances = [
{instances}
]

[services.health]
path = "/health"
interval = 1.0
timeout = 1.0

[[routes]]
path = "/*"
service = "demo"
"""

    @property
    def config_path(self) -> Path:
        """A file that holds the configuration, until `close`."""
        assert self._folder is not None, "the demo is not running"
        return Path(self._folder.name) / "gateway.toml"

    def hint(self, listen: str) -> str:
        """What a person may try now. `listen`: the gateway's address, host:port."""
        host, _, port = listen.rpartition(":")
        if host in ("", "0.0.0.0", "[::]", "*"):  # noqa: S104 - a name for the reader to connect to, nothing is bound
            host = "127.0.0.1"
        url = f"http://{host}:{port}/"
        first = self.instances[0]
        backends = "\n".join(
            f"  {instance.name:8} 127.0.0.1:{instance.port}  pid {instance.process.pid}  answers after "
            f"{instance.delay * 1000:.0f} ms"
            for instance in self.instances
        )
        return f"""\
Demo: three backends behind {url}
{backends}
Try, in another terminal:
  curl -i {url}
  gw status --watch                 # live: health, in-flight, latencies
  kill -STOP {first.process.pid}; sleep 10; kill -CONT {first.process.pid}   # {first.name} hangs, then comes back
  kill {first.process.pid}   # {first.name} is gone and requests go on; back after {RESTART_AFTER:.0f} s
"""


def _say(instance: DemoInstance) -> str:
    return f"{instance.name}, answers after {instance.delay * 1000:.0f} ms"


def _spawn(name: str, delay: float, port: int = 0) -> subprocess.Popen[bytes]:
    # By path, not `-m`: it imports nothing of this package and so needs no import path to it.
    return subprocess.Popen(  # noqa: S603 - the interpreter and arguments are our own
        [sys.executable, "-P", str(SCRIPT), "--port", str(port), "--name", name, "--delay", str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    )


def _read_port(name: str, process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_DEADLINE)
    line = process.stdout.readline() if readable else b""
    if not line.strip().isdigit():
        raise DemoError(f"the demo backend {name} did not start; its own message is above")
    return int(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # it keeps nothing, and a stopped process would not see the end of its standard input
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()

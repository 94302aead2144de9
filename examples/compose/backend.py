"""A backend that keeps itself in Consul: answers any path with who it is, and `/health`.

It registers once it answers, checks every few seconds that Consul still knows it (an agent in development mode
forgets everything when it restarts), and on SIGTERM leaves Consul first and ends after a moment, so that no request
finds it gone. Standard library and the `gw` command only; Consul's address is CONSUL_HTTP_ADDR, as `gw` has it.

    python backend.py NAME [--port 8000] [--address HOST] [--tag TAG]...
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHECK_EVERY = 2.0
"""Seconds between two looks at whether Consul still lists this instance."""
LEAVE_TIME = 1.0
"""Seconds of answering on after leaving Consul: more than Consul and the gateway need to hear of it."""


class Handler(BaseHTTPRequestHandler):
    """Answers every method and path with JSON: which service and instance, and what arrived."""

    protocol_version = "HTTP/1.1"
    service = ""
    instance = ""

    def answer(self) -> None:
        """One response. The body is read first, or the next request on this connection would start inside it."""
        received = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        if self.path == "/health":
            content: dict[str, object] = {"status": "ok"}
        else:
            content = {
                "service": self.service,
                "instance": self.instance,
                "method": self.command,
                "path": self.path,
                "received_bytes": received,
                "headers": dict(self.headers),
            }
        body = json.dumps(content, indent=2).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Only what is not a health check is worth a line."""
        if self.path != "/health":
            print(f"{self.instance} {self.command} {self.path} {code}", flush=True)


def gw(*arguments: str) -> str:
    """Runs one `gw` command and returns what it printed.

    Raises subprocess.CalledProcessError when it fails; its own message is on stderr by then. Ends the process, with a
    sentence, when there is no such command.
    """
    beside = Path(sys.executable).with_name("gw")
    command = str(beside) if beside.exists() else shutil.which("gw")
    if command is None:
        sys.exit("this backend registers itself with the gw command, which is not installed: pip install .")
    return subprocess.run([command, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def register(name: str, address: str, port: int, tags: list[str]) -> str:
    """Puts this instance into Consul, with an HTTP check of `/health`, and returns its ID there."""
    tag_options = [word for tag in tags for word in ("--tag", tag)]
    return gw("register", name, "--address", address, "--port", str(port), "--check-http", "/health", *tag_options)


def is_registered(consul: str, identifier: str) -> bool:
    """Whether the Consul agent lists this ID. True while it cannot be asked: then there is nothing to repair yet."""
    try:
        with urllib.request.urlopen(f"{consul}/v1/agent/service/{identifier}", timeout=2):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code != 404
    except OSError:
        return True


def main() -> int:
    """Serves until SIGTERM or SIGINT. Returns 0, or 1 when Consul could not be told at the start."""
    options = argparse.ArgumentParser(description="A backend that keeps itself in Consul.")
    options.add_argument("name", help="service name in Consul")
    options.add_argument("--address", help="what others reach this machine by (default: its own address)")
    options.add_argument("--port", type=int, default=8000, help="0: any free one")
    options.add_argument("--tag", action="append", default=[], help="Consul tag, such as gw.path=/api/*; may repeat")
    given = options.parse_args()

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    server = ThreadingHTTPServer(("", given.port), Handler)
    port = server.server_address[1]
    address = given.address or socket.gethostbyname(socket.gethostname())
    Handler.service, Handler.instance = given.name, f"{address}:{port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()

    consul = os.environ.get("CONSUL_HTTP_ADDR", "http://127.0.0.1:8500").rstrip("/")
    try:
        identifier = register(given.name, address, port, given.tag)
    except subprocess.CalledProcessError:
        return 1
    print(f"{given.name} answers on {address}:{port}, in Consul as {identifier}", flush=True)

    while not stop.wait(CHECK_EVERY):
        if not is_registered(consul, identifier):
            print(f"{identifier} is gone from Consul; registering again", flush=True)
            try:
                identifier = register(given.name, address, port, given.tag)
            except subprocess.CalledProcessError as error:
                print(f"not registered ({error}); next try in {CHECK_EVERY:.0f} s", flush=True)

    try:
        gw("deregister", identifier)
    except subprocess.CalledProcessError as error:
        print(f"still in Consul ({error}); its own check will take it out", flush=True)
    time.sleep(LEAVE_TIME)
    server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())

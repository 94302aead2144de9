"""Takes the pictures of docs/images: `scripts/screenshots [--seconds N]`.

A gateway with four services before small backends, light traffic that rises and falls, and trouble: an instance that is
not there, one that ejects itself, one that is drained.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import math
import random
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from cli.dashboard import Dashboard
from cli.picture import PAST, Story
from cli.render import Screen
from tests.backends import Backend, free_port, start_backend
from tests.browser import Browser, open_browser
from tests.gateways import ROOT, RunningGateway, start_gateway

IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 300_000  # of a picture
WIDTH, HEIGHT = 1280, 960
COLUMNS = 132  # of the terminal
CLIENTS = (  # path, Host, seconds between two requests, more or less
    ("/catalogue/shoes", "shop.example.com", 0.02),
    ("/catalogue/hats", "shop.example.com", 0.03),
    ("/api/v1/checkout/42", "shop.example.com", 0.06),
    ("/search", "shop.example.com", 0.05),
    ("/api/v1/users/7", "api.example.com", 0.08),
    ("/favicon.ico", "shop.example.com", 2.0),
)


def configuration(backends: dict[str, Backend]) -> str:
    """Two fast instances, two slower ones, and one that nobody listens for."""
    gone = f"http://127.0.0.1:{free_port()}"
    fast, faster, slow, slower = (backends[name].url for name in ("a", "b", "c", "d"))
    services = {
        "catalogue": ([fast, faster, slow], "least_connections"),
        "checkout": ([fast, slow, gone], "weighted"),
        "search": ([faster, slower], "least_latency"),
        "users": ([fast, faster], "round_robin"),
    }
    tables = [
        f'[[services]]\nname = "{name}"\ninstances = {json.dumps(instances)}\nbalance = "{balance}"\n'
        f'[services.health]\npath = "/health"\ninterval = 1.0'
        for name, (instances, balance) in services.items()
    ]
    routes = (
        ("shop.example.com", "/catalogue/*", "catalogue"),
        ("shop.example.com", "/api/v1/checkout/*", "checkout"),
        ("shop.example.com", "/search", "search"),
        ("api.example.com", "/api/v1/users/*", "users"),
    )
    tables += [f'[[routes]]\nhost = "{host}"\npath = "{path}"\nservice = "{name}"' for host, path, name in routes]
    return "\n".join(['[gateway]\nname = "edge"\nadmin_write = true\n[log]\naccess = "off"', *tables])


@contextmanager
def traffic(gateway: RunningGateway) -> Iterator[None]:
    """Requests in waves, until the end."""
    is_over = threading.Event()

    def run(path: str, host: str, pause: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
        while not is_over.wait(pause * (1.3 + math.sin(time.monotonic() / 40.0) + random.random())):
            try:
                connection.request("GET", path, headers={"Host": host})
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()

    threads = [threading.Thread(target=run, args=client) for client in CLIENTS]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def take_page(browser: Browser, gateway: RunningGateway) -> None:
    """The web page as people meet it."""
    for name, colours, width, height in (
        ("page-light", "light", WIDTH, HEIGHT),
        ("page-dark", "dark", WIDTH, HEIGHT),
        ("page-phone", "dark", 390, 844),
    ):
        browser.resize(width, height)
        browser.prefer(colours)
        browser.open(f"http://{gateway.admin}/")
        keep(browser, name, height)


def take_terminal(browser: Browser, gateway: RunningGateway, folder: Path) -> None:
    """`gw status`, drawn by rich and photographed in the browser."""
    story = Story(gateway.admin)
    story.heard(gateway.status(), None)  # type: ignore[arg-type]  # JSON is what it says
    time.sleep(2.0)
    series = json.loads(gateway.admin_get(f"/api/series?seconds={PAST}&service=*").body)
    story.heard(gateway.status(), series)  # type: ignore[arg-type]
    screen = Screen(io.StringIO())
    screen.console = Console(record=True, file=io.StringIO(), width=COLUMNS, highlight=False, force_terminal=True)
    screen.print(Dashboard(screen).whole(story.present))
    svg = screen.console.export_svg(title="gw status")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # nothing is fetched for a picture
    path = folder / "terminal.html"
    path.write_text(f"<!doctype html><style>body{{margin:0}}svg{{display:block;width:{WIDTH}px}}</style>{svg}")
    browser.resize(WIDTH, 100)  # the whole page is the picture, however low
    browser.open(path.as_uri())
    keep(browser, "terminal", None)


def keep(browser: Browser, name: str, height: int | None) -> None:
    """A picture, if it is small enough for a repository."""
    path = IMAGES / f"{name}.png"
    browser.screenshot(path, height)
    size = path.stat().st_size
    assert size <= MOST_BYTES, f"{path} has {size} bytes, more than {MOST_BYTES}"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots")
    parser.add_argument("--seconds", type=float, default=600.0, help="how much past the charts have")
    seconds = parser.parse_args().seconds
    IMAGES.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        latencies = {"a": 0.002, "b": 0.003, "c": 0.02, "d": 0.03}
        backends = {name: stack.enter_context(start_backend(name, latency=late)) for name, late in latencies.items()}
        gateway = stack.enter_context(start_gateway(folder, configuration(backends)))
        stack.enter_context(traffic(gateway))
        time.sleep(seconds * 0.7)
        backends["d"].set_health(503)
        time.sleep(seconds * 0.1)
        gateway.admin_post("/api/drain", {"service": "users", "instance": backends["b"].address, "by": "alice"})
        time.sleep(seconds * 0.1)
        backends["d"].set_health(200)
        time.sleep(seconds * 0.1)
        browser = stack.enter_context(open_browser())
        take_page(browser, gateway)
        take_terminal(browser, gateway, folder)


if __name__ == "__main__":
    main()

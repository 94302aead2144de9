"""`gw status --watch` left open before a real gateway: traffic, a drain, the gateway's end and its next start."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

from tests.backends import start_backend
from tests.gateways import start_gateway
from tests.terminals import open_terminal


def test_a_dashboard_left_open_sees_everything_and_the_next_gateway(tmp_path: Path) -> None:
    with start_backend("one") as one, start_backend("two") as two:
        config = f"""
[[services]]
name = "web"
instances = ["{one.url}", "{two.url}"]
[services.health]
path = "/health"
interval = 0.5
[[routes]]
path = "/*"
service = "web"
[log]
access = "off"
"""
        (tmp_path / "first").mkdir()
        (tmp_path / "next").mkdir()
        with start_gateway(tmp_path / "first", config) as gateway:
            admin = gateway.admin
            gateway.wait_until(lambda: len(gateway.eligible()) == 2)
            command = [sys.executable, "-m", "cli.app", "status", "--watch", "--interval", "0.2", "--admin", admin]
            with open_terminal(command, columns=140, lines=40) as window:
                window.wait_for("2 of 2 take traffic")
                window.wait_for(lambda text: len(re.findall(r"ok \d+s", text)) == 2)
                for _ in range(20):
                    assert gateway.get("/").status == 200
                window.wait_for(lambda text: re.search(r"requests +\S*[▂-█]", text))
                gateway.admin_post("/api/drain", {"service": "web", "instance": one.address, "by": "alice"})
                window.wait_for("drained by alice")
                window.wait_for("1 of 2 take traffic")
                gateway.signal(signal.SIGTERM)
                gateway.wait_end()
                window.wait_for(f"NO ANSWER from {admin}")
                with start_gateway(tmp_path / "next", config, arguments=["--admin", admin]):
                    text = window.wait_for("THE GATEWAY RESTARTED")
                    assert "NO ANSWER" not in text
                    window.wait_for("2 of 2 take traffic")
                window.press("q")
                assert window.wait_end() == 0

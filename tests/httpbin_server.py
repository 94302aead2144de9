"""httpbin as a backend: the application itself behind werkzeug's threaded server, speaking HTTP/1.1.

Run as a script it listens on a free port of loopback, prints it as its first line and ends when its standard input
does.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from httpbin import app
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Handler(WSGIRequestHandler):
    """Keeps connections, writes no log."""

    protocol_version = "HTTP/1.1"

    def make_environ(self) -> WSGIEnvironment:
        """httpbin takes chunked bodies from gunicorn alone, by name; werkzeug undoes the chunks as well."""
        return super().make_environ() | {"SERVER_SOFTWARE": "gunicorn/werkzeug"}

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - its base's name
        """Nothing."""


def main() -> None:
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    while os.read(0, 4096):
        pass


if __name__ == "__main__":
    main()

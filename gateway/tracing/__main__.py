"""`python -P -m gateway.tracing FD`: a fresh process that exports traces (see `gateway.tracing.exporter`)."""

from __future__ import annotations

import json
import os
import socket
import sys

from gateway.tracing.exporter import run
from gateway.tracing.orders import Orders


def main() -> int:
    """Exit code 0 when it was told to leave."""
    orders = Orders(**json.loads(sys.stdin.readline()))
    run(orders, socket.socket(fileno=int(sys.argv[1])))
    # A thread of the SDK may still wait for a collector that does not answer: nobody waits for it.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())

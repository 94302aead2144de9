"""`python -P -m gateway.worker SPEC`: a fresh process that serves traffic (see `gateway.control`)."""

from __future__ import annotations

import faulthandler
import sys

import trio

from gateway.control import EXIT_CANNOT_BOOT, WorkerSpec
from gateway.shm.memory import LayoutMismatch
from gateway.snapshot.codec import CodecError
from gateway.worker.app import CannotBoot, serve


def main() -> int:
    """Exit code 0 after a drain; EXIT_CANNOT_BOOT when starting again would fail the same way."""
    faulthandler.enable()  # a hung worker gets SIGABRT and leaves its stack in the log
    try:
        spec = WorkerSpec.from_json(sys.argv[1])
    except (IndexError, ValueError, TypeError, KeyError):
        sys.stderr.write("gateway.worker is started by `gw up`, not by hand\n")
        return EXIT_CANNOT_BOOT
    try:
        trio.run(serve, spec)
    except (CannotBoot, LayoutMismatch, CodecError) as error:
        sys.stderr.write(f"worker {spec.worker} cannot start: {error}\n")
        return EXIT_CANNOT_BOOT
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Looks into the ledger of a running gateway, past its admin interface: at what workers do, as they do it."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.shm.layout import MAX_WORKERS, R_GENERATION, row_word
from gateway.shm.ledger import Ledger
from gateway.shm.memory import attach

LINK = "/memfd:gw-ledger"


def open_ledger(supervisor: int) -> Ledger:
    """The ledger of the gateway whose supervisor has this pid, to be read only."""
    for link in Path(f"/proc/{supervisor}/fd").iterdir():
        if str(link.readlink()).startswith(LINK):
            fd = os.open(link, os.O_RDONLY)
            try:
                return Ledger(attach(fd, writable=False), MAX_WORKERS)
            finally:
                os.close(fd)
    raise AssertionError(f"process {supervisor} has no ledger open")


def generations(ledger: Ledger) -> list[int]:
    """The generation that each worker uses."""
    return [ledger.words[row_word(row, R_GENERATION)] for row in range(ledger.rows)]

"""What one worker knows of an instance, for as long as the instance exists."""

from __future__ import annotations

from math import inf

from discovery.model import join_address
from gateway.shm.layout import DURATION_BOUNDS, I_IN_FLIGHT, instance_word


class LiveInstance:
    """An instance with its places in the ledger and what this worker has observed of it.

    Outlives generations: a new snapshot changes its weight, never what was observed. Compared by identity.
    """

    __slots__ = (
        "address",
        "authority",
        "base",
        "cell",
        "consecutive_failures",
        "eject_count",
        "ejected_until",
        "eligible",
        "ewma",
        "ewma_at",
        "has_news",
        "host",
        "idle",
        "in_flight_own",
        "in_flight_words",
        "is_row_of_connects",
        "latency_above",
        "latency_bucket",
        "latency_highest",
        "latency_lowest",
        "latency_up_to",
        "logged",
        "new_attempts",
        "new_latencies",
        "new_ok",
        "new_us",
        "port",
        "sentenced_until",
        "service",
        "weight",
    )

    def __init__(self, service: str, host: str, port: int, cell: int, row: int, rows: int) -> None:
        """`row` is this worker's row of the ledger, of `rows` in all; `cell` the instance's in every row."""
        self.service = service
        self.host = host  # IP address
        self.port = port
        self.address = join_address(host, port)
        self.authority = self.address  # as registered: with the name, where there is one
        self.cell = cell
        self.weight = 1.0
        self.eligible = True  # by the snapshot in use; an instance that left stays known to exchanges under way
        # Indices of words in the memoryview of the whole ledger.
        self.base = instance_word(row, cell, 0)
        self.in_flight_own = instance_word(row, cell, I_IN_FLIGHT)
        self.use_rows(rows)
        self.ewma = 0.0  # seconds to the response head; 0: not known yet
        self.ewma_at = 0.0  # when it was last observed
        self.consecutive_failures = 0
        self.is_row_of_connects = False  # every one of them was a failure to connect
        self.eject_count = 0
        self.ejected_until = 0.0  # in force; set by whoever applies what the detector says
        self.sentenced_until = 0.0  # the end of the detector's last ejection, whether applied or not
        # Counted, but not in the ledger yet; kept and written by the proxy's counts.
        self.has_news = False
        self.new_attempts = 0
        self.new_ok = 0
        self.new_us = 0
        self.new_latencies = [0] * (len(DURATION_BOUNDS) + 1)  # by bucket: those outside lowest to highest are 0
        self.latency_lowest = 0
        self.latency_highest = 0
        self.latency_bucket = 0  # of the last response, with its bounds in seconds
        self.latency_above = inf
        self.latency_up_to = inf
        # As it stands in access log lines.
        self.logged = b'"instance":"%b","service":"%b"' % (self.address.encode(), service.encode())
        self.idle: list[object] = []  # pooled upstream connections, idle

    def use_rows(self, rows: int) -> None:
        """The number of workers is another one."""
        self.in_flight_words = tuple(instance_word(each, self.cell, I_IN_FLIGHT) for each in range(rows))

    def in_flight(self, words: memoryview) -> int:
        """Requests in flight over all workers."""
        return sum(words[word] for word in self.in_flight_words)

    def in_flight_view(self, words: memoryview) -> memoryview:
        """The same words in all rows as one strided view: its sum() is the cheapest way to read them."""
        every = self.in_flight_words
        stride = every[1] - every[0] if len(every) > 1 else 1
        return words[every[0] : every[-1] + 1 : stride]

    def __repr__(self) -> str:
        return f"<LiveInstance {self.service} {self.address}>"

"""Where every word of the two shared memories lies. All words are 64-bit, native order, 8-byte aligned.

The **board** (supervisor writes, workers read; mapped read-only by workers):

    word 0   MAGIC "gwboard1"        word 1   LAYOUT_VERSION
    word 2   global generation       word 3   slot in use (0 or 1)
    word 4   size of one slot's payload in bytes             words 5-7 reserved
    byte 64                          slot 0:  sequence, length, crc32, generation, 4 reserved words, payload
    byte 64 + 64 + slot bytes        slot 1:  the same

The **ledger** (each worker writes its own row, the supervisor reads all; workers read the others'
in-flight words to balance over all of them):

    word 0   MAGIC "gwledgr1"        word 1   LAYOUT_VERSION     word 2  rows
    word 3   words per row           word 4  rows in use         words 5-7 reserved
    byte 64                          row 0, row 1, ... row N-1

A row is: ROW_HEADER_WORDS words of the worker's own figures, then INSTANCE_CELLS cells of
INSTANCE_WORDS words, then ROUTE_CELLS cells of ROUTE_WORDS words. Rows are sparse: pages that no
cell in use touches are never allocated, nor are rows that no worker ever had. A cell number is valid in every row.

Only word stores and slices are used, never `struct.pack_into`, which zeroes its target first.
"""

from __future__ import annotations

from typing import Final

WORD: Final = 8
LAYOUT_VERSION: Final = 2
BOARD_MAGIC: Final = int.from_bytes(b"gwboard1", "little")
LEDGER_MAGIC: Final = int.from_bytes(b"gwledgr1", "little")

# --- board -----------------------------------------------------------------------------------
BOARD_HEADER_BYTES: Final = 64
SLOT_HEADER_BYTES: Final = 64
BOARD_SLOT_BYTES: Final = 16 * 1024 * 1024  # sparse: only what a snapshot uses is ever allocated
B_GENERATION: Final = 2
B_SLOT: Final = 3
B_SLOT_BYTES: Final = 4
S_SEQUENCE: Final = 0
S_LENGTH: Final = 1
S_CRC32: Final = 2
S_GENERATION: Final = 3

# --- ledger ----------------------------------------------------------------------------------
LEDGER_HEADER_BYTES: Final = 64
L_ROWS: Final = 2
L_ROW_WORDS: Final = 3
L_USED: Final = 4  # rows that are looked at, from the first; moves with the number of workers
MAX_WORKERS: Final = 256  # rows of a gateway's ledger

# A row's header words.
R_HEARTBEAT_NS: Final = 0  # CLOCK_MONOTONIC
R_GENERATION: Final = 1  # the generation in use
R_PID: Final = 2
R_STATE: Final = 3  # a WorkerState
R_CONNECTIONS: Final = 4  # downstream connections open now
R_IN_FLIGHT: Final = 5  # exchanges under way now
R_CONNECTIONS_TOTAL: Final = 6
R_REQUESTS_TOTAL: Final = 7
R_CONNECTIONS_REFUSED: Final = 8  # over the limit
R_LOG_DROPPED: Final = 9  # access log lines
R_BYTES_IN: Final = 10  # from downstream
R_BYTES_OUT: Final = 11  # to downstream
R_UPSTREAM_IDLE: Final = 12  # pooled upstream connections
R_RETRIES: Final = 13
R_CRASHES: Final = 14  # exchanges lost to the gateway's own faults
R_ACCEPT_ERRORS: Final = 15  # connections that could not be accepted
R_PROPAGATION: Final = 16  # PROPAGATION_BOUNDS buckets (+Inf last), then sum in microseconds
ROW_HEADER_WORDS: Final = 64

# Upper bounds in seconds; one bucket more counts what is beyond the last.
PROPAGATION_BOUNDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
R_PROPAGATION_SUM_US: Final = R_PROPAGATION + len(PROPAGATION_BOUNDS) + 1
R_SPANS_DROPPED: Final = R_PROPAGATION_SUM_US + 1  # of traces, because the exporter was behind

INSTANCE_CELLS: Final = 32768
INSTANCE_WORDS: Final = 32  # 8 MiB a row if all cells were in use: 256 KiB for 1,000 instances
I_IN_FLIGHT: Final = 0
I_ATTEMPTS: Final = 1
I_OK: Final = 2  # a response that is not 502, 503 or 504
I_CONNECT_REFUSED: Final = 3
I_CONNECT_FAILED: Final = 4
I_CONNECT_TIMEOUT: Final = 5
I_RESET: Final = 6
I_TIMEOUT: Final = 7
I_BAD_RESPONSE: Final = 8
I_STATUS: Final = 9  # a 502, 503 or 504 of the instance itself
I_CANCELLED: Final = 10  # the client left first
I_EJECTIONS: Final = 11
I_EJECTED_UNTIL_NS: Final = 12  # CLOCK_MONOTONIC; 0: not ejected by this worker
I_LATENCY_US: Final = 13  # sum, to the response head
I_EJECTION_COUNT: Final = 14  # of the present ejection: the how many-th it is; 0: a moment's avoidance
I_LATENCY: Final = 16  # DURATION_BOUNDS buckets (+Inf last) of the seconds to the response head: they fill the cell
# The outcomes as named in metrics (gw_upstream_attempts_total's label), by word.
OUTCOMES: Final = (
    (I_OK, "ok"),
    (I_CONNECT_REFUSED, "connect_refused"),
    (I_CONNECT_FAILED, "connect_failed"),
    (I_CONNECT_TIMEOUT, "connect_timeout"),
    (I_RESET, "upstream_reset"),
    (I_TIMEOUT, "response_timeout"),
    (I_BAD_RESPONSE, "bad_response"),
    (I_STATUS, "bad_status"),
    (I_CANCELLED, "client_closed"),
)

ROUTE_CELLS: Final = 16384
ROUTE_WORDS: Final = 48
NO_ROUTE_CELL: Final = 0  # requests that matched no route, or were refused before routing
RT_CODES: Final = 0  # CODE_SLOTS words, each (status << CODE_SHIFT) + count; claimed in order of first sight
CODE_SLOTS: Final = 28  # the last one takes whatever finds no slot, as status 0
CODE_SHIFT: Final = 50
CODE_COUNT_MASK: Final = (1 << CODE_SHIFT) - 1
# Upper bounds in seconds, for requests of a route and responses of an instance; one bucket more is +Inf.
DURATION_BOUNDS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
RT_DURATION: Final = RT_CODES + CODE_SLOTS
RT_DURATION_SUM_US: Final = RT_DURATION + len(DURATION_BOUNDS) + 1

INSTANCES_OFFSET: Final = ROW_HEADER_WORDS  # words from the row's start
ROUTES_OFFSET: Final = INSTANCES_OFFSET + INSTANCE_CELLS * INSTANCE_WORDS
ROW_WORDS: Final = ROUTES_OFFSET + ROUTE_CELLS * ROUTE_WORDS

assert I_LATENCY + len(DURATION_BOUNDS) + 1 == INSTANCE_WORDS
assert ROUTE_WORDS > RT_DURATION_SUM_US
assert ROW_HEADER_WORDS > R_SPANS_DROPPED


def instance_word(row: int, cell: int, word: int) -> int:
    """Index of a word of an instance's cell, in 64-bit words from the ledger's start."""
    return LEDGER_HEADER_BYTES // WORD + row * ROW_WORDS + INSTANCES_OFFSET + cell * INSTANCE_WORDS + word


def route_word(row: int, cell: int, word: int) -> int:
    """Index of a word of a route's cell, in 64-bit words from the ledger's start."""
    return LEDGER_HEADER_BYTES // WORD + row * ROW_WORDS + ROUTES_OFFSET + cell * ROUTE_WORDS + word


def row_word(row: int, word: int) -> int:
    """Index of a row's header word, in 64-bit words from the ledger's start."""
    return LEDGER_HEADER_BYTES // WORD + row * ROW_WORDS + word

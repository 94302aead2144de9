"""The ledger: workers count, the supervisor adds up, and no total ever goes backward."""

from __future__ import annotations

import mmap
import os
import random

import pytest

from gateway.shm.code_slots import CodeSlots
from gateway.shm.layout import (
    CODE_SLOTS,
    DURATION_BOUNDS,
    I_ATTEMPTS,
    I_EJECTED_UNTIL_NS,
    I_EJECTIONS,
    I_IN_FLIGHT,
    I_OK,
    INSTANCE_CELLS,
    INSTANCE_WORDS,
    L_ROW_WORDS,
    L_ROWS,
    LEDGER_HEADER_BYTES,
    PROPAGATION_BOUNDS,
    R_BYTES_IN,
    R_CONNECTIONS,
    R_GENERATION,
    R_IN_FLIGHT,
    R_PID,
    R_PROPAGATION,
    R_PROPAGATION_SUM_US,
    R_REQUESTS_TOTAL,
    R_RETRIES,
    ROUTE_CELLS,
    RT_DURATION,
    RT_DURATION_SUM_US,
    WORD,
    instance_word,
    route_word,
    row_word,
)
from gateway.shm.ledger import LayoutMismatch, Ledger, ledger_bytes
from gateway.shm.memory import attach, create

ROWS = 3


@pytest.fixture
def memory() -> mmap.mmap:
    fd = create("ledger", ledger_bytes(ROWS))
    memory = attach(fd, writable=True)
    os.close(fd)
    return memory


@pytest.fixture
def ledger(memory: mmap.mmap) -> Ledger:
    return Ledger.initialise(memory, ROWS)


def count(ledger: Ledger, row: int, cell: int, word: int, n: int = 1) -> None:
    ledger.words[instance_word(row, cell, word)] += n


def test_a_row_reads_by_name(ledger: Ledger) -> None:
    for word, value in ((R_PID, 4711), (R_GENERATION, 9), (R_CONNECTIONS, 3), (R_REQUESTS_TOTAL, 100), (R_RETRIES, 2)):
        ledger.words[row_word(1, word)] = value
    row = ledger.row(1)
    assert (row.pid, row.generation, row.connections, row.requests_total, row.retries) == (4711, 9, 3, 100, 2)
    assert ledger.row(0).pid == ledger.row(2).pid == 0


def test_totals_sum_rows(ledger: Ledger) -> None:
    for row in range(ROWS):
        ledger.words[row_word(row, R_REQUESTS_TOTAL)] = 10**row
        ledger.words[row_word(row, R_BYTES_IN)] = 5
        ledger.words[row_word(row, R_IN_FLIGHT)] = row
    totals = ledger.totals()
    assert (totals.requests_total, totals.bytes_in, totals.in_flight) == (111, 15, 3)


def test_propagation_sums_rows_and_survives_a_worker(ledger: Ledger) -> None:
    last = len(PROPAGATION_BOUNDS)
    for row in range(ROWS):
        ledger.words[row_word(row, R_PROPAGATION + last)] = 1
        ledger.words[row_word(row, R_PROPAGATION_SUM_US)] = 2_000_000
    ledger.retire(0)
    buckets, sum_us = ledger.propagation_totals()
    assert buckets == (0,) * last + (3,)
    assert sum_us == 6_000_000


def test_instance_words_are_summed_and_the_latest_ejection_counts(ledger: Ledger) -> None:
    for row in range(ROWS):
        count(ledger, row, 7, I_ATTEMPTS, 10)
        count(ledger, row, 7, I_IN_FLIGHT, row)
        count(ledger, row, 7, I_EJECTED_UNTIL_NS, 1000 + row)
    totals = ledger.instance_totals(7)
    assert len(totals) == INSTANCE_WORDS
    assert (totals[I_ATTEMPTS], totals[I_IN_FLIGHT], totals[I_EJECTED_UNTIL_NS]) == (30, 3, 1002)
    assert ledger.in_flight(7) == 3
    assert ledger.instance_totals(6) == ledger.instance_totals(8) == (0,) * INSTANCE_WORDS


def test_many_cells_at_once_read_as_one_by_one(ledger: Ledger) -> None:
    rng = random.Random(7)
    for _ in range(500):
        count(ledger, rng.randrange(ROWS), rng.randrange(50), rng.randrange(INSTANCE_WORDS), rng.randrange(1000))
    ledger.retire(1)
    for cell in (3, 44):
        ledger.forget_instance(cell)
    count(ledger, 0, 44, I_OK, 5)
    assert ledger.instances_totals(0, 50) == [ledger.instance_totals(cell) for cell in range(50)]
    assert ledger.instances_totals(10, 20) == [ledger.instance_totals(cell) for cell in range(10, 20)]
    assert ledger.ejected_until(0, 50) == [ledger.instance_totals(cell)[I_EJECTED_UNTIL_NS] for cell in range(50)]
    assert ledger.instances_totals(5, 5) == []


def test_a_dead_workers_counters_are_kept_and_its_gauges_are_not(ledger: Ledger) -> None:
    for row in (0, 1):
        count(ledger, row, 2, I_OK, 4)
        count(ledger, row, 2, I_IN_FLIGHT, 3)
        count(ledger, row, 2, I_EJECTED_UNTIL_NS, 99 - row)
        ledger.words[row_word(row, R_PID)] = 100 + row
        ledger.words[row_word(row, R_CONNECTIONS)] = 5
        ledger.words[row_word(row, R_REQUESTS_TOTAL)] = 4
    ledger.retire(0)
    totals = ledger.instance_totals(2)
    assert (totals[I_OK], totals[I_IN_FLIGHT], totals[I_EJECTED_UNTIL_NS]) == (8, 3, 98)
    assert ledger.in_flight(2) == 3
    assert (ledger.row(0).pid, ledger.row(0).requests_total, ledger.row(1).pid) == (0, 4, 101)
    assert (ledger.totals().connections, ledger.totals().requests_total) == (5, 8)
    ledger.retire(0)
    assert ledger.instance_totals(2)[I_OK] == 8, "an empty row adds nothing"


@pytest.mark.parametrize("row", range(ROWS))
def test_retiring_zeroes_the_whole_row_and_no_other_word(ledger: Ledger, memory: mmap.mmap, row: int) -> None:
    corners = (
        *(row_word(row, word) for word in (0, 63)),
        *(instance_word(row, cell, word) for cell in (0, INSTANCE_CELLS - 1) for word in (0, INSTANCE_WORDS - 1)),
        *(route_word(row, cell, word) for cell in (0, ROUTE_CELLS - 1) for word in (0, 47)),
    )
    for index in corners:
        ledger.words[index] = 1
    start, stop = row_word(row, 0), row_word(row + 1, 0)
    if row + 1 < ROWS:
        ledger.words[stop] = 77
    if row:
        ledger.words[start - 1] = 88
    before, after = memory[: start * WORD], memory[stop * WORD :]
    ledger.retire(row)
    assert memory[start * WORD : stop * WORD].count(0) == (stop - start) * WORD
    assert memory[: start * WORD] == before
    assert memory[stop * WORD :] == after
    assert ledger.instance_totals(0)[INSTANCE_WORDS - 1] == 1
    assert ledger.instance_totals(INSTANCE_CELLS - 1)[INSTANCE_WORDS - 1] == 1


def test_totals_never_go_backward_over_many_deaths(ledger: Ledger) -> None:
    rng = random.Random(1)
    slots = [CodeSlots(ledger.words, row) for row in range(ROWS)]
    seen = (0, 0, 0, 0)
    for step in range(300):
        row = rng.randrange(ROWS)
        count(ledger, row, 4, I_OK)
        ledger.words[slots[row].index(4, rng.choice([200, 404, 503]))] += 1
        ledger.words[route_word(row, 4, RT_DURATION + 2)] += 1
        ledger.words[row_word(row, R_REQUESTS_TOTAL)] += 1
        if step % 50 == 49:
            ledger.retire(row)
            slots[row] = CodeSlots(ledger.words, row)
        route = ledger.route_totals(4)
        now = (
            ledger.instance_totals(4)[I_OK],
            sum(route.codes.values()),
            route.buckets[2],
            ledger.totals().requests_total,
        )
        assert now == tuple(n + 1 for n in seen)
        seen = now


def test_a_reused_instance_cell_starts_from_nothing(ledger: Ledger) -> None:
    for row in range(ROWS):
        count(ledger, row, 5, I_OK, 10)
        count(ledger, row, 5, I_EJECTIONS, 1)
        count(ledger, row, 5, I_EJECTED_UNTIL_NS, 5000 + row)
        count(ledger, row, 5, I_IN_FLIGHT, 1)
    ledger.retire(2)
    ledger.forget_instance(5)
    totals = ledger.instance_totals(5)
    assert (totals[I_OK], totals[I_EJECTIONS], totals[I_EJECTED_UNTIL_NS]) == (0, 0, 0)
    assert totals[I_IN_FLIGHT] == 2, "what is under way is still under way"
    count(ledger, 0, 5, I_OK, 3)
    ledger.words[instance_word(1, 5, I_EJECTED_UNTIL_NS)] = 4000
    assert ledger.instance_totals(5)[I_OK] == 3
    assert ledger.ejected_until(5, 6) == [4000], "a new ejection counts, also if it ends before the old one would"
    ledger.retire(0)
    assert ledger.instance_totals(5)[I_OK] == 3
    ledger.forget_instance(5)
    assert ledger.instance_totals(5)[I_OK] == 0
    assert ledger.ejected_until(5, 6) == [0]


def test_codes_of_all_rows_come_together_whatever_their_slots(ledger: Ledger) -> None:
    a, b = CodeSlots(ledger.words, 0), CodeSlots(ledger.words, 1)
    for slots, statuses in ((a, [200, 404, 200]), (b, [503, 200])):
        for status in statuses:
            ledger.words[slots.index(3, status)] += 1
    assert (a.index(3, 200), b.index(3, 200)) == (route_word(0, 3, 0), route_word(1, 3, 1))
    assert ledger.route_totals(3).codes == {200: 3, 404: 1, 503: 1}
    assert ledger.route_totals(2).codes == {}


def test_codes_beyond_the_slots_are_counted_as_status_0(ledger: Ledger) -> None:
    slots = CodeSlots(ledger.words, 0)
    for status in range(200, 200 + CODE_SLOTS + 5):
        ledger.words[slots.index(0, status)] += 1
    codes = ledger.route_totals(0).codes
    assert codes[0] == 6
    assert {n for code, n in codes.items() if code} == {1}
    assert sum(codes.values()) == CODE_SLOTS + 5
    assert ledger.route_totals(0).buckets == (0,) * (len(DURATION_BOUNDS) + 1)
    ledger.retire(0)
    assert ledger.route_totals(0).codes == codes


def test_code_slots_find_what_the_row_holds_already(ledger: Ledger) -> None:
    first = CodeSlots(ledger.words, 0).index(1, 200)
    again = CodeSlots(ledger.words, 0)
    assert again.index(1, 200) == first
    assert again.index(1, 404) == first + 1
    assert again.index(1, 404) == first + 1


def test_a_reused_route_cell_starts_from_nothing(ledger: Ledger) -> None:
    slots = CodeSlots(ledger.words, 0)
    ledger.words[slots.index(9, 200)] += 4
    ledger.words[route_word(0, 9, RT_DURATION)] += 4
    ledger.words[route_word(0, 9, RT_DURATION_SUM_US)] += 1000
    ledger.forget_route(9)
    empty = ledger.route_totals(9)
    assert (empty.codes, set(empty.buckets), empty.sum_us) == ({}, {0}, 0)
    ledger.words[slots.index(9, 200)] += 1
    ledger.words[slots.index(9, 404)] += 1
    ledger.words[route_word(0, 9, RT_DURATION + len(DURATION_BOUNDS))] += 2
    ledger.words[route_word(0, 9, RT_DURATION_SUM_US)] += 7
    ledger.retire(0)
    totals = ledger.route_totals(9)
    assert totals.codes == {200: 1, 404: 1}
    assert totals.buckets == (0,) * len(DURATION_BOUNDS) + (2,)
    assert totals.sum_us == 7


def test_the_pages_of_a_retired_row_are_given_back() -> None:
    fd = create("ledger", ledger_bytes(1))
    ledger = Ledger.initialise(attach(fd, writable=True), 1)
    ledger.words[route_word(0, 5, 0)] = 1
    ledger.retire(0)
    allocated = os.fstat(fd).st_blocks * 512
    os.close(fd)
    assert allocated <= 3 * mmap.PAGESIZE


def test_a_worker_opens_what_the_supervisor_initialised(ledger: Ledger, memory: mmap.mmap) -> None:
    count(Ledger(memory, ROWS), 0, 1, I_OK)
    assert ledger.instance_totals(1)[I_OK] == 1


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        (0, 1, "not a ledger"),
        (1, 99, "layout 99.*restart the gateway"),
        (L_ROW_WORDS, 64, "64 words a row"),
        (L_ROWS, 4, "has 4 rows, not 3"),
    ],
)
def test_a_memory_of_another_kind_is_refused(
    ledger: Ledger, memory: mmap.mmap, word: int, value: int, message: str
) -> None:
    ledger.words[word] = value
    with pytest.raises(LayoutMismatch, match=message):
        Ledger(memory, ROWS)


def test_a_memory_of_another_size_is_refused(memory: mmap.mmap) -> None:
    with pytest.raises(LayoutMismatch, match="a ledger of 2 rows is"):
        Ledger.initialise(memory, 2)
    assert memory[:LEDGER_HEADER_BYTES] == bytes(LEDGER_HEADER_BYTES), "and nothing is written"


def test_rows_out_of_use_are_not_looked_at_and_come_back_as_they_are(ledger: Ledger) -> None:
    for row in range(ROWS):
        ledger.words[instance_word(row, 7, I_IN_FLIGHT)] = 1
    ledger.use(1)
    assert (ledger.rows, ledger.in_flight(7)) == (1, 1)
    ledger.use(ROWS)
    assert ledger.in_flight(7) == ROWS
    with pytest.raises(ValueError, match=f"the ledger has {ROWS} rows, not {ROWS + 1}"):
        ledger.use(ROWS + 1)


def test_an_old_ejection_of_a_reused_cell_does_not_count_whatever_the_rows_are_now(ledger: Ledger) -> None:
    ledger.use(2)
    ledger.words[instance_word(0, 7, I_EJECTED_UNTIL_NS)] = 99
    ledger.forget_instance(7)
    for rows in (1, 2, 3):
        ledger.use(rows)
        assert ledger.ejected_until(7, 8) == [0]

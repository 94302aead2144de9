"""From the cells of the load comparison to its figures, tables and page."""

from dataclasses import replace
from pathlib import Path

from benchmarks.load import measure, report, tables
from benchmarks.load.__main__ import load_raw, save_raw
from benchmarks.load.run import Cell, Rest, Stall
from benchmarks.load.workloads import BY_NAME, WORKLOADS

LOAD = measure.Load(
    requests=1000, seconds=2.0, bytes=200_000, non_2xx=0, socket_errors=0, p50_us=1.0, p99_us=2.0, p999_us=3.0
)
SMALL = BY_NAME["small"]
MACHINE = report.Machine("2026-01-01 00:00 UTC", "A CPU", 2, "Linux 6.1", {"nginx": "nginx/1"}, 3, 5, 0.1)
MIB = 2**20


def cell(
    peer: str, round_number: int, cpu_us: float, *problems: str, workload: str = "small", workers: int = 1
) -> Cell:
    return Cell(
        peer=peer,
        workload=workload,
        workers=workers,
        round=round_number,
        cpu_us=cpu_us,
        others_us=cpu_us,
        cpu_share=1.0,
        per_second=500.0 * workers,
        load=LOAD,
        start_memory=measure.Memory(2 * MIB, MIB, 2 * MIB),
        memory=measure.Memory(3 * MIB, MIB, 5 * MIB),
        log_lines=1000,
        rest=Rest(10_000, 0.0, 0.01, 2048.0) if BY_NAME[workload].idle else None,
        stall=Stall(8, 4096.0) if BY_NAME[workload].stalled else None,
        problems=problems,
    )


def row_of(rows: list[report.Row], peer: str) -> report.Row:
    return next(row for row in rows if row.peer == peer)


def test_the_ratio_is_the_median_of_ratios_within_a_round() -> None:
    rows = report.rows(
        [
            *(cell("nginx", number, cpu) for number, cpu in enumerate((10.0, 20.0, 40.0))),
            *(cell("gw", number, cpu) for number, cpu in enumerate((20.0, 30.0, 40.0))),
        ]
    )
    assert row_of(rows, "gw").ratios == (2.0, 1.5, 1.0)
    assert row_of(rows, "gw").ratio == 1.5
    assert row_of(rows, "gw").cpu_us == 30.0
    assert row_of(rows, "nginx").ratio == 1.0


def test_a_void_round_counts_for_nothing_and_says_why() -> None:
    rows = report.rows(
        [cell("nginx", 0, 10.0), cell("nginx", 1, 1.0, "7 socket errors"), cell("gw", 0, 20.0), cell("gw", 1, 5.0)]
    )
    assert row_of(rows, "nginx").cpu_us == 10.0
    assert row_of(rows, "nginx").problems == ("7 socket errors",)
    assert row_of(rows, "gw").ratio == 2.0  # its second round has nothing to be compared with


def test_a_row_without_a_valid_round_shows_no_figure() -> None:
    (row,) = report.rows([cell("gw", 0, 20.0, "it lies")])
    shown = tables.words_of(row)
    assert shown == ("gw", *["void"] * (len(shown) - 2), "0/1")
    assert len(shown) == len(tables.columns(SMALL))


def test_a_peer_is_compared_with_its_own_small_get_of_the_same_round() -> None:
    found = report.against_itself(
        [
            cell("gw", 0, 100.0),
            cell("gw", 1, 200.0),
            cell("gw", 0, 104.0, workload="routes-1k"),
            cell("gw", 1, 204.0, workload="routes-1k"),
            cell("gw", 2, 900.0, workload="routes-1k"),  # no small GET in that round
            cell("gw", 0, 900.0, "void", workload="idle-10k"),
        ]
    )
    assert found == [report.Against("gw", "routes-1k", (1.04, 1.02))]


def test_two_workers_are_compared_with_one_and_with_what_the_cores_allow() -> None:
    (found,) = report.scaling(
        [
            cell("gw", 0, 500.0, workload="two-workers", workers=1),
            cell("gw", 0, 500.0, workload="two-workers", workers=2),
            cell("gw", 1, 500.0, workload="two-workers", workers=1),
            cell("gw", 1, 500.0, "void", workload="two-workers", workers=2),
        ],
        core_count=2,
    )
    assert (found.one, found.two, found.ratios) == (500.0, 1000.0, (2.0,))
    assert found.ceilings == (4.0,)  # 1,000 us a request in all, so 2,000 a second on two cores


def test_the_page_names_when_where_and_how_before_the_figures() -> None:
    page = tables.page(MACHINE, [cell("nginx", 0, 10.0), cell("gw", 0, 20.0, "wrong body")])
    assert (
        page.index("A CPU")
        < page.index("nginx/1")
        < page.index("benchmarks/README.md")
        < page.index("| nginx | 10.0 |")
    )
    assert "- gw, void: wrong body" in page


def test_every_kind_of_table_has_a_word_for_every_heading() -> None:
    every = tables.sheets(
        MACHINE, [cell("nginx", 0, 10.0, workload=each.name, workers=n) for each in WORKLOADS for n in each.workers]
    )
    assert {len(line) - len(sheet.headings) for sheet in every for line in sheet.lines} == {0}
    (waiting,) = [sheet for sheet in every if sheet.title.startswith("idle-10k")]
    assert waiting.lines[0][-4:] == ("2.00", "0.0%", "1.0%", "1/1")
    (download,) = [sheet for sheet in every if sheet.title.startswith("download")]
    assert download.lines[0][-2:] == ("4", "1/1")
    assert any(heading == "CPU µs/MiB" for heading in download.headings)
    assert [sheet.title.split()[0] for sheet in every[-3:]] == ["each", "two", "CPU"]


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    done = [
        cell("gw", 0, 20.0, "a", "b"),
        cell("gw", 0, 1.0, workload="idle-10k"),
        cell("gw", 0, 1.0, workload="download"),
    ]
    done.append(replace(done[0], load=None))
    save_raw(MACHINE, done, tmp_path / "folder" / "raw.json")
    assert load_raw(tmp_path / "folder" / "raw.json") == (MACHINE, done)

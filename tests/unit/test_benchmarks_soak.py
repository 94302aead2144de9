"""The soak's judgement, page and plot, and its clients against an instance that misbehaves."""

import contextlib
import os
import socketserver
import threading
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.load.processes import free_ports, wait_until
from benchmarks.soak import __main__ as command
from benchmarks.soak.echo import accept_of, echo
from benchmarks.soak.page import About, duration, page
from benchmarks.soak.plot import svg
from benchmarks.soak.run import Record
from benchmarks.soak.sample import Process, Sample, processes
from benchmarks.soak.tally import Seen, Tally
from benchmarks.soak.traffic import KINDS, Client, Unexpected, cause, traffic
from benchmarks.soak.verdict import FEWEST, MIB, SPARE_DESCRIPTORS, Verdict, judge, quarters, settled, slope, warm_up

SEEN = Seen(2000, {"GET 100 B": 1990, "slow client": 10}, {}, 800.0, 4000.0, 9000.0)
ABOUT = About("2026-01-02 03:04 UTC", "gw 0.1.0", "a processor", 2, "Linux", 0.5, 2, 200.0, 10.0, 600.0, 600.0, 0)


def run_of(
    count: int = 60, hourly: float = 0.0, descriptors: Sequence[int] = (10, 30, 30), each: int = 0
) -> list[Sample]:
    """A sample each 10 s. `hourly`: MiB that one worker gains; `each`: descriptors that it gains in every sample."""
    found = []
    for number in range(1, count + 1):
        at = 10.0 * number
        held = tuple(
            Process(role, pid, 40 * MIB, 30 * MIB, descriptors[pid - 1], 1)
            for pid, role in enumerate(("supervisor", "worker 1", "worker 2"), 1)
        )
        grown = replace(
            held[1], rss=int((40 + hourly * at / 3600) * MIB), descriptors=held[1].descriptors + each * number
        )
        found.append(Sample(at, 10.0, SEEN, 500.0, 1, (held[0], grown, held[2])))
    return found


def problems(samples: Sequence[Sample], reloads: int = 0) -> tuple[str, ...]:
    return judge(samples, reloads, growth=16.0).problems


def test_a_line_is_found_again_and_a_single_point_has_no_slope() -> None:
    assert slope([0, 10, 20, 30], [5, 6, 7, 8]) == pytest.approx(0.1)
    assert slope([7], [1]) == 0
    assert slope([], []) == 0


def test_quarters_are_the_two_ends() -> None:
    assert quarters([1, 2, 3, 4, 5, 6, 7, 8]) == ([1, 2], [7, 8])
    assert quarters([1, 2, 3]) == ([1], [3])


def test_the_warm_up_is_a_third_of_a_short_run_and_a_quarter_of_an_hour_of_a_long_one() -> None:
    assert warm_up(run_of(60)) == 200.0
    assert warm_up(run_of(6 * 60)) == 900.0
    assert [sample.at for sample in settled(run_of(6))] == [30.0, 40.0, 50.0, 60.0]
    assert warm_up([]) == 0.0


def test_a_gateway_that_stays_as_it_was_has_no_problem() -> None:
    verdict = judge(run_of(hourly=15.0), 0, growth=16.0)
    assert verdict.problems == ()
    assert verdict.requests == 60 * 2000
    gained = {each.name: each.slope for each in verdict.figures}
    assert gained["RSS, all"] == pytest.approx(15.0, rel=0.01)
    assert gained["RSS, worker 1"] == pytest.approx(15.0, rel=0.01)
    assert gained["RSS, worker 2"] == gained["descriptors, all"] == 0


def test_growth_of_memory_beyond_the_bound_is_said() -> None:
    (sentence,) = problems(run_of(hourly=17.0))
    assert sentence == "RSS grows by 17.0 MiB an hour after the warm-up; 16 are allowed."


def test_growth_in_the_warm_up_alone_does_not_count() -> None:
    samples = run_of(60)
    early = [
        replace(each, processes=(replace(each.processes[0], rss=MIB), *each.processes[1:])) for each in samples[:20]
    ]
    assert problems([*early, *samples[20:]]) == ()


def test_descriptors_that_only_come_are_said_and_those_of_a_moment_are_not() -> None:
    (sentence,) = problems(run_of(each=1))
    assert sentence.startswith("The worker 1 holds more open descriptors")
    samples = run_of()
    crowded = [
        replace(each, processes=tuple(replace(process, descriptors=900) for process in each.processes))
        if number % 2
        else each
        for number, each in enumerate(samples)
    ]
    assert problems(crowded) == ()
    assert problems([*samples[:40], *run_of(60, descriptors=(10, 30 + SPARE_DESCRIPTORS, 30))[40:]]) == ()


def test_any_failed_request_is_said_with_its_cause() -> None:
    samples = run_of()
    samples[3] = replace(samples[3], seen=replace(SEEN, failures={"GET 100 B: status 503": 2}))
    (sentence,) = problems(samples)
    assert sentence == "2 of 120002 requests failed: 2 GET 100 B: status 503."


def test_a_replaced_process_is_said_and_its_figures_are_not_compared() -> None:
    samples = run_of()
    samples[-1] = replace(
        samples[-1], processes=(*samples[-1].processes[:2], replace(samples[-1].processes[2], pid=99))
    )
    verdict = judge(samples, 0, 16.0)
    assert verdict.figures == ()
    assert "did not stay the same" in verdict.problems[0]


def test_a_reload_without_effect_is_said() -> None:
    samples = run_of()
    assert problems([*samples[:-1], replace(samples[-1], generation=3)], reloads=2) == ()
    assert "2 reloads were asked for" in problems([*samples[:-1], replace(samples[-1], generation=2)], reloads=2)[0]


def test_too_short_a_run_is_no_proof() -> None:
    samples = run_of(FEWEST - 1)
    assert "too few to judge by" in problems(samples)[0]
    assert "too few to judge by" in problems([])[-1]


def test_the_page_says_how_long_it_ran_and_what_was_wrong() -> None:
    verdict = judge(run_of(hourly=17.0), 0, 16.0)
    text = page(ABOUT, verdict, 200.0, 16.0, "soak.svg")
    assert "**This run lasted 10 min.**" in text
    assert "ended early" not in text
    assert f"- {verdict.problems[0]}" in text
    assert "| RSS, worker 1 | MiB |" in text
    assert "| GET 100 B | 119,400 |" in text
    assert "None failed." in text
    early = page(replace(ABOUT, seconds=300.0), Verdict((), (), 1, {}, {"a: b": 3}), 100.0, 16.0, "soak.svg")
    assert "It was to run 10 min and was ended early." in early
    assert "| a: b | 3 |" in early


@pytest.mark.parametrize(
    ("seconds", "words"), [(20, "20 s"), (600, "10 min"), (3600, "1 h 0 min"), (91800, "25 h 30 min")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_plot_is_svg_with_a_line_for_each_process() -> None:
    root = ET.fromstring(svg(run_of()))
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 3 * 3 + 1 + 3 + 1
    assert all(len(line.get("points", "").split()) == 60 for line in lines)
    ET.fromstring(svg([]))


def test_raw_figures_are_read_again_as_they_were(tmp_path: Path) -> None:
    record = Record(run_of(3), 0)
    command.save_raw(ABOUT, record, tmp_path / "raw.json")
    assert command.load_raw(tmp_path / "raw.json") == (ABOUT, record)


def test_an_earlier_run_is_judged_again_by_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "raw.json"
    command.save_raw(ABOUT, Record(run_of(hourly=17.0), 0), file)
    assert command.main(["--render", str(file)]) == 1
    assert "soak: RSS grows by 17.0 MiB" in capsys.readouterr().err
    assert command.main(["--render", str(file), "--growth", "18"]) == 0


def test_a_process_is_read_from_proc() -> None:
    first = processes(os.getpid())[0]
    assert (first.role, first.pid) == ("supervisor", os.getpid())
    assert 0 < first.pss <= first.rss
    assert first.descriptors >= 3
    assert first.threads >= 1


def test_the_tally_begins_anew_each_time() -> None:
    tally = Tally()
    for microseconds in (300.0, 100.0, 200.0):
        tally.done("GET", microseconds)
    tally.done("slow client", None)
    tally.failed("GET", "status 503")
    assert tally.take() == Seen(4, {"GET": 3, "slow client": 1}, {"GET: status 503": 1}, 200.0, 300.0, 300.0)
    assert tally.take() == Seen(0, {}, {}, 0.0, 0.0, 0.0)


def test_equal_errors_have_equal_causes() -> None:
    assert cause(ConnectionError("the connection ended 17 bytes before")) == (
        "ConnectionError: the connection ended N bytes before"
    )
    assert cause(ConnectionRefusedError(111, "Connection refused")) == "ConnectionRefusedError: Connection refused"
    assert cause(Unexpected("status 503")) == "status 503"


def test_the_shares_are_the_whole_rate() -> None:
    assert sum(kind.share for kind in KINDS) == pytest.approx(1.0)
    rates = [kind.clients / kind.pause(200.0) for kind in KINDS if kind.share]
    assert sum(rates) == pytest.approx(200.0)


def test_the_accept_key_is_the_one_of_the_rfc() -> None:
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class _Refusing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


ACTS = {kind.name: kind.act for kind in KINDS}


@pytest.mark.parametrize("name", ["GET 100 B", "POST 1 KiB", "GET 16 KiB", "new connection", "WebSocket"])
def test_a_wrong_answer_is_not_taken_for_a_right_one(name: str) -> None:
    with refusing() as port, contextlib.closing(Client(port)) as client, pytest.raises(Unexpected, match="status 503"):
        ACTS[name](client)


def test_a_tunnel_gives_back_every_byte() -> None:
    with echo() as port:
        ACTS["WebSocket"](Client(port))


def test_every_kind_of_client_tells_when_it_cannot_connect() -> None:
    tally = Tally()
    (port,) = free_ports(1)
    seen: Counter[str] = Counter()
    with traffic(port, 100.0, tally):
        assert wait_until(lambda: seen.update(tally.take().failures) or len(seen) == len(KINDS), 10.0)
    assert set(seen) == {f"{kind.name}: ConnectionRefusedError: Connection refused" for kind in KINDS}

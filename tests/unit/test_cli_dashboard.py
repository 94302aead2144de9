"""What the dashboard shows, in windows and pipes of several sizes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from cli import plain, tables
from cli.dashboard import Dashboard
from cli.layout import printable
from cli.picture import Picture, Silence
from cli.rates import rates
from cli.render import Screen
from cli.view import View
from gateway.admin import status
from gateway.admin.facts import Facts, ProbeFacts, ServiceFacts, TransitionFacts, WorkerFacts
from gateway.admin.process import Usage
from gateway.admin.series import Series
from gateway.shm.deltas import Counted
from tests.unit.fake_gateway import STARTED, count, instance, make_facts, make_ledger


class Window(io.StringIO):
    """A terminal's worth of text."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Dashboard]:
    def open_window(width: int, height: int) -> Dashboard:
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("LINES", str(height))
        return Dashboard(Screen(Window()))

    return open_window


def picture(facts: Facts, silence: Silence | None = None, *, restarted: bool = False) -> Picture:
    ledger = make_ledger(rows=max(2, len(facts.workers)))
    count(ledger, 0, 1, 1)
    sample = status.status(facts, ledger, usage=lambda _: Usage(41_000_000, 3.0), now=STARTED + 60.0)
    return Picture(printable(sample), rates(sample, None), silence=silence, restarted=restarted)


def draw(
    dashboard: Dashboard, facts: Facts, *, live: bool = True, silence: Silence | None = None, view: View | None = None
) -> str:
    seen = picture(facts, silence)
    height = dashboard.screen.height if live else None
    lines = dashboard.whole(seen) if height is None else dashboard.frame(seen, view or View(), height).lines
    return "\n".join(line.plain for line in lines)


def big_facts() -> Facts:
    """64 workers and 300 instances, a few of them in trouble."""
    facts = make_facts()
    workers = tuple(WorkerFacts(n, 1000 + n, "restarting" if n == 7 else "serving", 0, STARTED) for n in range(64))
    instances = tuple(
        instance(f"10.1.{n // 250}.{n % 250}:80", n, eligible=n != 200, reason="ejected" if n == 200 else "eligible")
        for n in range(300)
    )
    return replace(facts, workers=workers, services=(ServiceFacts("big", "file: x", "hash", "", instances),))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (140, 40), (60, 15), (300, 80)])
def test_it_fits_its_window(window: Callable[[int, int], Dashboard], width: int, height: int) -> None:
    for facts in (make_facts(), big_facts()):
        lines = draw(window(width, height), facts).split("\n")
        assert len(lines) <= height
        assert max(map(len, lines)) <= max(width, 78)  # the columns that cannot be left out


def test_everything_that_matters_is_there_in_80_by_24(window: Callable[[int, int], Dashboard]) -> None:
    text = draw(window(80, 24), make_facts())
    for part in (
        "edge  ● ready",
        "gw 0.1.0 · up 1m 0s",
        "generation 42",
        "✖ consul stale for 15s (last answer 16s",
        "2 workers are serving · 10% CPU · 82 MB",
        "users   2 of 3 take traffic",
        "● 2 more instances take traffic",
        "✖ 10.0.0.3:9001   unhealthy    10s",
        "connection refused",
        "○ [fd00::1]:9001",
        "draining",
        "critical: check 'web' is",
        "PROBLEMS (1)",
        "! tag: service blog",
    ):
        assert part in text


def test_what_is_wrong_goes_before_what_is_well(window: Callable[[int, int], Dashboard]) -> None:
    text = draw(window(100, 30), big_facts())
    assert "10.1.0.200:80" in text
    assert "ejected" in text
    assert "299 more instances take traffic" in text
    assert "restarting" in text
    assert "63 more workers are serving" in text


def test_a_pipe_gets_everything_whatever_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    pipe = io.StringIO()
    dashboard = Dashboard(Screen(pipe))
    text = draw(dashboard, make_facts(), live=True)
    assert "HTTP GET http://10.0.0.9:9001/health: 500 Internal Error" in text
    assert "users.internal" in text
    assert len(draw(dashboard, big_facts()).split("\n")) > 360


def test_a_pipe_gets_no_colours_and_no_trailing_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    pipe = io.StringIO()
    screen = Screen(pipe)
    screen.print(tables.routes(screen, status.routes(make_facts(), make_ledger())))
    text = pipe.getvalue()
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.split("\n"))
    assert "shop.example.com/orders/*  GET      orders" in text
    assert "file: gateway.toml routes[1]" in text


def test_no_color_is_honoured(window: Callable[[int, int], Dashboard], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    dashboard = window(80, 24)
    dashboard.screen.print(tables.services(dashboard.screen, status.services(make_facts(), make_ledger())))
    out = dashboard.screen.console.file
    assert isinstance(out, Window)
    assert "\x1b[3" not in out.getvalue()


def test_ascii_terminals_get_ascii_signs() -> None:
    raw = io.BytesIO()
    screen = Screen(io.TextIOWrapper(raw, encoding="ascii"))
    screen.print(Dashboard(screen).whole(picture(make_facts())))
    assert b"* ready" in raw.getvalue()


def test_long_reasons_are_wrapped_not_lost(window: Callable[[int, int], Dashboard]) -> None:
    dashboard = window(80, 24)
    lines = tables.services(dashboard.screen, status.services(make_facts(), make_ledger()))
    words = " ".join(" ".join(line.plain for line in lines).split())
    assert "check 'web' is critical: HTTP GET http://10.0.0.9:9001/health: 500 Internal Error" in words


def test_a_gateway_that_is_not_ready_says_why(window: Callable[[int, int], Dashboard]) -> None:
    facts = replace(make_facts(), ready=False, not_ready=("worker 1 is starting",))
    assert "✖ not ready: worker 1 is starting" in draw(window(100, 30), facts)
    assert "○ draining" in draw(window(100, 30), replace(facts, draining=True))


def test_silence_is_loud_and_keeps_the_last_picture(window: Callable[[int, int], Dashboard]) -> None:
    silence = Silence("127.0.0.1:9901 (the default)", 12.3, "No gateway answers: connection refused.")
    text = draw(window(100, 40), make_facts(), silence=silence)
    assert text.startswith(" NO ANSWER from 127.0.0.1:9901 (the default) for 12s")
    assert "10.0.0.1:9001" in text


def test_odd_states_that_still_take_traffic_are_named(window: Callable[[int, int], Dashboard]) -> None:
    odd = (instance("10.0.0.1:80", 1, reason="fail_open", detail="connection refused", health="unhealthy"),)
    facts = replace(make_facts(), services=(ServiceFacts("s", "file: x", "hash", "", odd),))
    assert "fail open: connection refused" in draw(window(140, 40), facts)


def test_failing_open_and_flaps_are_seen(window: Callable[[int, int], Dashboard]) -> None:
    flapping = (instance("10.0.0.1:80", 1, reason="fail_open", health="unhealthy", flaps=17),)
    failing = ServiceFacts("s", "file: x", "hash", "", flapping, is_failing_open=True)
    text = draw(window(160, 40), replace(make_facts(), services=(failing,)))
    assert "FAILS OPEN" in text
    assert "17" in text


def test_nothing_at_all_is_said_in_words(window: Callable[[int, int], Dashboard]) -> None:
    facts = replace(make_facts(), services=(), routes=(), problems=(), discovery=(), workers=())
    assert "No services: there is nothing to route to." in draw(window(80, 24), facts)
    [_, line] = tables.routes(window(80, 24).screen, status.routes(facts, make_ledger()))
    assert line.plain == "No routes: every request is answered 404."


def test_what_others_wrote_cannot_steer_the_terminal(window: Callable[[int, int], Dashboard]) -> None:
    evil = (instance("10.0.0.1:80", 1, eligible=False, reason="critical", detail="\x1b]0;owned\x07\nboo"),)
    facts = replace(make_facts(), services=(ServiceFacts("s", "file: x", "hash", "", evil),))
    text = draw(window(140, 40), facts)
    assert "\x1b" not in text
    assert "boo" in text


def test_a_service_that_may_fail_over_names_the_datacenter_in_use(window: Callable[[int, int], Dashboard]) -> None:
    instances = (instance("10.0.0.1:80", 1), instance("10.0.0.2:80", 2, eligible=False, reason="reserve"))
    service = ServiceFacts("web", "file: x", "hash", "web", instances, datacenter="dc1", failover=("dc2",))
    shown = draw(window(120, 30), replace(make_facts(), services=(service,)))
    assert "1 of 2 take traffic" in shown
    assert "datacenter dc1" in shown
    assert "reserve" in shown


def test_a_failed_reload_and_the_age_of_the_configuration_are_told(window: Callable[[int, int], Dashboard]) -> None:
    facts = make_facts()
    assert "gateway.toml · read 40s ago" in draw(window(120, 40), facts)
    failed = replace(facts, reloads=replace(facts.reloads, is_last_good=False))
    assert "the last reload FAILED" in draw(window(120, 40), failed)
    assert "no configuration file" in draw(window(120, 40), replace(facts, config_file=""))


def test_the_last_probe_is_told_and_an_older_gateway_tells_none(window: Callable[[int, int], Dashboard]) -> None:
    probed = (
        instance("10.0.0.1:80", 1, last_probe=ProbeFacts(STARTED + 57.0, True, "200 in 3 ms", 0.003)),
        instance("10.0.0.2:80", 2, last_probe=ProbeFacts(STARTED + 58.0, False, "refused", 0.001)),
        instance("10.0.0.3:80", 3),
    )
    dashboard = window(160, 40)
    seen = picture(replace(make_facts(), services=(ServiceFacts("s", "file: x", "hash", "", probed),)))
    rows = [line.plain for line in dashboard.whole(seen) if "10.0.0." in line.plain]
    assert [re.search(r"ok 3s|failed 2s", row) is not None for row in rows] == [True, True, False]
    for each in seen.status["services"][0]["instances"]:
        del each["last_probe"]  # type: ignore[misc]
    assert len(dashboard.whole(seen)) > 0


def test_recent_transitions_are_of_all_services_the_newest_first(window: Callable[[int, int], Dashboard]) -> None:
    def entry(at: float, after: str) -> TransitionFacts:
        return TransitionFacts(STARTED + at, "eligible", after, "probed", "probe", f"detail {at:g}")

    one = instance("10.0.0.1:80", 1, history=(entry(10.0, "unhealthy"), entry(40.0, "eligible")))
    two = instance("10.0.0.2:80", 2, history=(entry(20.0, "ejected"),))
    services = tuple(ServiceFacts(name, "file: x", "hash", "", (each,)) for name, each in (("a", one), ("b", two)))
    facts = replace(make_facts(), services=services)
    text = draw(window(140, 40), facts)
    assert re.findall(r"(\d+)s ago +([ab] \S+)", text) == [
        ("20", "a 10.0.0.1:80"),
        ("40", "b 10.0.0.2:80"),
        ("50", "a 10.0.0.1:80"),
    ]
    assert "detail 20" not in draw(window(140, 40), facts, view=View(filter="10.0.0.1"))


def test_the_past_is_drawn_for_the_gateway_and_each_service(window: Callable[[int, int], Dashboard]) -> None:
    series = Series()
    series.know({"users": [1, 2, 3], "orders": [4, 5]})
    for second in range(5):
        counted = Counted(second, 0, (), [0, second], [], [], [])
        series.add(STARTED + second, 1.0, counted, 0, 0)
    seen = replace(picture(make_facts()), series=series.body(["*"]))
    text = "\n".join(line.plain for line in window(140, 40).whole(seen))
    assert re.search(r"requests +▁▃▅▆█  errors +▁▁▁▁▁  last 2m", text)
    assert re.search(r"users .* ▁▃▅▆█ ", text)
    assert re.search(r"orders .* ▁▁▁▁▁ ", text)


def test_plain_is_words_alone_and_begins_with_the_state() -> None:
    lines = list(plain.facts(picture(make_facts(), Silence("127.0.0.1:9901", 3.0, "refused"), restarted=True)))
    assert lines[0] == "No answer from 127.0.0.1:9901 for 3s: refused"
    assert lines[1:3] == ["The gateway restarted 1m 0s ago.", "Gateway edge: ready."]
    text = "\n".join(lines)
    assert text.isascii()
    assert "Discovery consul: stale, last answer 16s ago, connection refused." in lines
    assert "Instance 10.0.0.3:9001 of users: takes no traffic, unhealthy, connection refused, for 10s," in text
    assert "Problem: tag: service blog" in text


def test_scrolling_shows_everything_and_nothing_moves_where_all_of_it_fits(
    window: Callable[[int, int], Dashboard],
) -> None:
    low, seen = window(100, 30), picture(big_facts())
    top = low.frame(seen, View(), 30)
    assert top.last_offset > 0
    end = low.frame(seen, View(offset=top.last_offset), 30)
    assert end.lines[-2].plain.strip().startswith("● 10.1.1.49:80")
    assert re.search(r"lines \d+-(\d+) of \1", end.lines[-1].plain)
    before = low.frame(seen, View(offset=end.last_offset - 1), 30)
    assert [line.plain for line in before.lines[4:-1]] == [line.plain for line in end.lines[3:-2]]
    high = window(200, 60)
    still = high.frame(picture(make_facts()), View(offset=1), 60)
    assert still.last_offset == 0
    assert still.lines == high.frame(picture(make_facts()), View(), 60).lines


def test_thousands_of_instances_are_not_drawn_in_vain(window: Callable[[int, int], Dashboard]) -> None:
    text = draw(window(100, 30), big_facts())
    assert "10.1.0.10:80" not in text
    frame = window(100, 30).frame(picture(big_facts()), View(is_helping=True), 30)
    assert "KEYS" in "\n".join(line.plain for line in frame.lines)

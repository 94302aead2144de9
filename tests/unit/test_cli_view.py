"""Keys, and what they do to the view; filter and order; sparklines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli.keys import decode
from cli.ordering import Shown, arrange, service_trouble, trouble
from cli.rates import Rates
from cli.sparkline import sparkline
from cli.view import FILTER_CHARS, SORTS, View, press
from gateway.admin import status
from gateway.admin.facts import InstanceFacts, ServiceFacts
from gateway.admin.status import ServiceStatus
from tests.unit.fake_gateway import instance, make_facts, make_ledger


def after(*keys: str, view: View | None = None, page: int = 10) -> View:
    view = view or View()
    for key in keys:
        pressed = press(view, key, page)
        assert pressed is not None
        view = pressed
    return view


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"sq", ["s", "q"]),
        (b"\x1b[A\x1b[B\x1bOA", ["up", "down", "up"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[F\x1b[1~\x1b[4~", ["pageup", "pagedown", "home", "end", "home", "end"]),
        (b"\x1b", ["escape"]),
        (b"\x7f\r\n", ["backspace", "enter", "enter"]),
        (b"\x1b[1;5C\x1b[200~x", ["x"]),  # what is not known is left out, not typed
        ("ü".encode(), ["ü"]),
    ],
)
def test_bytes_become_keys(sent: bytes, keys: list[str]) -> None:
    assert decode(sent) == keys


def test_s_goes_through_all_columns_and_back() -> None:
    assert [after(*["s"] * n).sort for n in range(len(SORTS) + 1)] == [*SORTS, SORTS[0]]
    assert after("S").sort == SORTS[-1]


def test_a_filter_is_typed_kept_and_ended() -> None:
    typing = after("/", "q", "p", "x", "backspace")
    assert (typing.filter, typing.is_typing, typing.is_paused) == ("qp", True, False), "letters are no commands here"
    assert after("enter", view=typing) == replace(typing, is_typing=False)
    assert after("escape", view=typing) == View()
    assert after("escape", view=after("enter", view=typing)).filter == ""
    assert after("up", "pagedown", view=typing).filter == "qp"
    assert len(after("/", *"x" * 200).filter) == FILTER_CHARS


def test_scrolling_stays_above_the_top_and_moves_by_windows() -> None:
    assert after("up", "pageup", "k").offset == 0
    assert after("down", "pagedown", "j", page=7).offset == 9
    assert after("end", "home").offset == 0
    assert after("down", "s").offset == 0, "another order begins at its top"


def test_pause_help_and_quit() -> None:
    assert after("p").is_paused
    assert not after("p", " ").is_paused
    assert after("h").is_helping
    assert not after("?", "escape").is_helping
    assert after("/", "x", "enter", "h", "escape").filter == "x", "Escape ends the help first"
    assert press(View(), "q", 1) is None
    assert after("z") == View()


# --- order and filter -----------------------------------------------------------------------------


def services(*facts: ServiceFacts) -> list[ServiceStatus]:
    return status.services(replace(make_facts(), services=facts), make_ledger())["services"]


def service(name: str, *instances: InstanceFacts, failing_open: bool = False) -> ServiceFacts:
    return ServiceFacts(name, "file: x", "hash", "", instances, is_failing_open=failing_open)


def names(shown: list[Shown]) -> dict[str, list[str]]:
    return {each.service["name"]: [i["address"] for i in each.instances] for each in shown}


DOWN = instance("10.0.0.2:80", 2, eligible=False, reason="unhealthy", health="unhealthy", detail="refused")
DRAINED = instance("10.0.0.3:80", 3, eligible=False, reason="draining")
ODD = instance("10.0.0.4:80", 4, reason="fail_open", health="unhealthy")
WELL = instance("10.0.0.1:80", 1)
RESERVE = instance("10.0.0.5:80", 5, eligible=False, reason="reserve")


def test_trouble_comes_first_and_equals_keep_their_places() -> None:
    found = services(
        service("well", WELL, RESERVE),
        service("some", WELL, ODD, DRAINED, DOWN),
        service("none", DOWN),
        service("open", ODD, failing_open=True),
        service("well too", WELL),
    )
    assert [service_trouble(each) for each in found] == [3, 2, 0, 1, 3]
    assert [trouble(each) for each in found[1]["instances"]] == [3, 2, 1, 0]
    shown = names(arrange(found, Rates(1.0, 0.0, 0.0), View()))
    assert list(shown) == ["none", "open", "some", "well", "well too"]
    assert shown["some"] == [each.address for each in (DOWN, DRAINED, ODD, WELL)]


def test_figures_put_the_highest_first() -> None:
    found = services(service("a", WELL, ODD), service("b", WELL, ODD))
    flow = {("a", WELL.address): 1.0, ("a", ODD.address): 2.0, ("b", WELL.address): 9.0}
    late: dict[tuple[str, str], tuple[float | None, float | None]] = {("a", ODD.address): (0.1, 0.9)}
    rates = Rates(1.0, 0.0, 0.0, instances=flow, failures={("a", WELL.address): 1.0}, latencies=late)
    assert names(arrange(found, rates, View(sort="requests"))) == {
        "b": [WELL.address, ODD.address],
        "a": [ODD.address, WELL.address],
    }
    assert list(names(arrange(found, rates, View(sort="errors")))) == ["a", "b"]
    assert names(arrange(found, rates, View(sort="p99")))["a"][0] == ODD.address
    assert list(names(arrange(found[::-1], rates, View(sort="name")))) == ["a", "b"]
    assert list(names(arrange(found, rates, View(sort="in flight")))) == ["a", "b"]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("", {"users": [WELL.address, DOWN.address], "orders": [WELL.address], "idle": []}),
        ("USER", {"users": [WELL.address, DOWN.address]}),
        ("refused", {"users": [DOWN.address]}),
        ("0.1:80", {"users": [WELL.address], "orders": [WELL.address]}),
        ("orders 0.1", {"orders": [WELL.address]}),
        ("idle", {"idle": []}),
        ("nothing", {}),
    ],
)
def test_a_filter_leaves_what_has_all_its_words(words: str, left: dict[str, list[str]]) -> None:
    found = services(service("users", WELL, DOWN), service("orders", WELL), service("idle"))
    assert names(arrange(found, Rates(1.0, 0.0, 0.0), View(filter=words, sort="requests"))) == left


# --- sparklines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "width", "bars"),
    [
        ([], 3, "   "),
        ([0.0, 0.0], 3, " ▁▁"),
        ([0.0, 1.0, 8.0], 3, "▁▂█"),
        ([None, 4.0], 2, " █"),
        ([1.0, 9.0, 0.0, 0.0, 9.0], 3, "▂██"),  # in pairs from the newest: the peaks stay
        ([0.001, 100.0], 2, "▂█"),  # a little is not nothing
    ],
)
def test_sparklines(values: list[float | None], width: int, bars: str) -> None:
    assert sparkline(values, width) == bars


def test_a_sparkline_with_a_given_top_is_not_full() -> None:
    assert sparkline([1.0], 1, top=2.0) == "▅"

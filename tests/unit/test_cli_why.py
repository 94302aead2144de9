"""`gw why` and `/api/why`, from what workers left to what is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from cli.app import app
from gateway.admin import handlers
from gateway.admin.why import tell, why
from gateway.shm import rings
from gateway.shm.rings import RingWriter
from gateway.shm.story import decode
from tests.unit.fake_gateway import STARTED, FakeFacade, served

runner = CliRunner()
END = int(STARTED * 1000)
SHORT = (
    '["1","{id}","192.0.2.7","GET","api.example","/api/v1/users/1","short",{end},12500,{connect},12000,'
    '["users","least_connections"],200,3,{{"instance":"10.0.0.1:9001","service":"users","route":"{route}"}}]\n'
)
RETRIED = (
    '["1","retried","192.0.2.7","GET","","/","full",%d,600000,%s,["users","hash"],{"route":"/*"},%s,'
    '[[{"instance":"10.0.0.1:9001"},3,0,0,null,null,500000,0,"connect_refused","ECONNREFUSED"],'
    '[{"instance":"10.0.0.9:9001"},2,500000,3,null,null,100000,0,"upstream_reset","ECONNRESET"]],14,2]\n'
)


@pytest.fixture
def facade() -> FakeFacade:
    return FakeFacade()


@pytest.fixture
def gateway(facade: FakeFacade, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with served(facade) as address:
        monkeypatch.setenv("GW_ADMIN", address)
        yield address


def remember(facade: FakeFacade, line: str, *, worker: int = 0, ring: int = rings.RECENT) -> None:
    RingWriter(facade.stories._memory, worker, ring).append([line.encode()])


def short(request_id: str = "one", *, route: str = "/api/v1/users/*", connect: str = "500", end: int = END) -> str:
    return SHORT.format(id=request_id, route=route, connect=connect, end=end)


@pytest.mark.usefixtures("gateway")
def test_an_answered_request_is_told_in_plain_words(facade: FakeFacade) -> None:
    remember(facade, short(), worker=1)
    done = runner.invoke(app, ["why", "one"])
    assert done.exit_code == 0
    said = done.output.splitlines()
    assert said[0] == "Request one"
    assert said[1].split(maxsplit=1) == ["asked", "GET api.example/api/v1/users/1, by 192.0.2.7"]
    assert said[2].split(maxsplit=1) == ["answered", "200 after 12 ms, at 2026-09-21 14:13:20.000 UTC"]
    assert said[3].split() == ["worker", "1"]
    assert "the path begins with /api/v1/users/; no more specific route matched" in done.output
    assert "3 instances could be picked, least_connections" in done.output
    assert "10.0.0.1:9001, begun at 0.0 ms, connected in 0.5 ms, answered 200 after 12 ms" in done.output


@pytest.mark.usefixtures("gateway")
def test_a_failed_request_is_told_with_its_attempts_and_what_to_do(facade: FakeFacade) -> None:
    remember(facade, RETRIED % (END, 502, '["upstream_reset","10.0.0.9:9001: ECONNRESET"]'), ring=rings.NOTABLE)
    said = runner.invoke(app, ["why", "retried"]).output
    assert "12 earlier attempts are not kept" in said
    assert "attempt 13  10.0.0.1:9001, begun at 0.0 ms, connect_refused after 500 ms (ECONNREFUSED)" in said
    assert "attempt 14  10.0.0.9:9001, begun at 500 ms on a pooled connection, upstream_reset after 100 ms" in said
    assert "the connection was stale" in said
    assert "the instance is gone now" in said
    assert "reason      upstream_reset: 10.0.0.9:9001: ECONNRESET" in said
    assert "what to do  See the instance's log at that time." in said


@pytest.mark.usefixtures("gateway")
def test_several_requests_of_one_id_are_all_told(facade: FakeFacade) -> None:
    remember(facade, short(end=END), worker=0)
    remember(facade, short(end=END + 1000, connect="null"), worker=1)
    said = runner.invoke(app, ["why", "one"]).output
    assert said.startswith("2 requests had this id, the newest first.")
    assert said.index("14:13:21") < said.index("14:13:20")


@pytest.mark.usefixtures("gateway")
def test_failures_are_listed_newest_first(facade: FakeFacade) -> None:
    assert runner.invoke(app, ["why", "--errors"]).output == "No failure or retry is remembered.\n"
    remember(facade, RETRIED % (END, 502, "null"), ring=rings.NOTABLE)
    remember(facade, RETRIED.replace('"retried"', '"newer"') % (END + 5, 200, "null"), worker=1, ring=rings.NOTABLE)
    said = runner.invoke(app, ["why", "--errors", "--last", "5"]).output.splitlines()
    assert [line.split()[-1] for line in said] == ["newer", "retried"]
    assert "[10.0.0.1:9001 connect_refused, 10.0.0.9:9001 upstream_reset]" in said[0]
    assert len(runner.invoke(app, ["why", "--errors", "--last", "1"]).output.splitlines()) == 1


@pytest.mark.usefixtures("gateway")
def test_an_id_that_nobody_remembers_ends_with_1_and_says_why_that_may_be() -> None:
    done = runner.invoke(app, ["why", "a/b?c"])
    assert done.exit_code == 1
    assert "No worker remembers a request a/b?c." in done.output


def test_an_id_or_the_errors_not_both_nor_neither() -> None:
    for arguments in ([], ["one", "--errors"]):
        done = runner.invoke(app, ["why", *arguments])
        assert done.exit_code == 2
        assert "Give either a REQUEST_ID or --errors" in done.output


@pytest.mark.usefixtures("gateway")
def test_json_is_what_the_admin_interface_says(facade: FakeFacade) -> None:
    remember(facade, short())
    story = decode(short().encode(), 0)
    assert json.loads(runner.invoke(app, ["why", "one", "--json"]).output) == {"stories": [tell(story, facade.present)]}


@pytest.mark.parametrize("last", ["0", "-1", "1001", "x", "", "9" * 5000])
async def test_a_number_that_is_none_is_refused(facade: FakeFacade, last: str) -> None:
    answer: handlers.Reply = await why(facade, {"last": last})
    assert (answer.status, answer.body["reason"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ("/*", "it takes every path"),
        ("/a", "the path is /a"),
        ("/a/{id}", "the path is /a/{id}, segment by segment"),
        ("/a**", "the path begins with /a"),
        ("api.example/a/*", "the host is api.example and the path begins with /a/"),
    ],
)
def test_why_a_route_matched(facade: FakeFacade, route: str, words: str) -> None:
    story = tell(decode(short(route=route).encode(), 0), facade.present)
    assert story["route_why"] == f"{words}; no more specific route matched"
    assert story["route_origin"] == ""


def test_a_status_of_the_instances_own_is_called_that(facade: FakeFacade) -> None:
    line = short().replace(",200,3,", ",503,3,")
    assert tell(decode(line.encode(), 0), facade.present)["meaning"].startswith("The instance itself answered")

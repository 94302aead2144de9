"""What an http probe asks for, and what it makes of status and body; fed by hand, whole and byte by byte."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from discovery.settings import HealthSettings
from healthcheck.conversation import Kind, Outcome
from healthcheck.probe_http import BODY_BYTES, HttpConversation, HttpQuestion
from tests.health_peers import OK, probe, saying, serving

SETTINGS = HealthSettings()
ANSWER = Kind.ANSWER


def ask(settings: HealthSettings) -> HttpConversation:
    return HttpQuestion("10.0.0.1:80", settings)()


def judge(answer: bytes, settings: HealthSettings = SETTINGS, *, ends: bool = False) -> Outcome | None:
    """The outcome of an answer, the same however it is cut."""
    outcomes = []
    for size in (len(answer), 1, 7):
        conversation = ask(settings)
        for start in range(0, len(answer), size):
            if conversation.outcome is None:
                assert conversation.receive(answer[start : start + size]) == b""
        if ends and conversation.outcome is None:
            conversation.end()
        outcomes.append(conversation.outcome)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    return outcomes[0]


def with_status(status: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status


def lines(settings: HealthSettings) -> list[str]:
    return ask(settings).open().decode().split("\r\n")


def test_the_request_is_what_the_settings_say() -> None:
    asked = lines(replace(SETTINGS, method="HEAD", path="/x?y=1", host="api.example.com", headers=(("X-Probe", "1"),)))
    assert asked[:2] == ["HEAD /x?y=1 HTTP/1.1", "Host: api.example.com"]
    assert re.fullmatch(r"User-Agent: gw-health/\S+", asked[2])
    assert asked[3:] == ["Accept: */*", "X-Probe: 1", "Connection: close", "", ""]


def test_given_fields_replace_the_usual_ones() -> None:
    asked = lines(replace(SETTINGS, headers=(("user-agent", "me"), ("ACCEPT", "text/plain"))))
    assert asked[2:4] == ["user-agent: me", "ACCEPT: text/plain"]


def test_a_method_with_a_body_says_that_it_is_empty() -> None:
    assert "Content-Length: 0" in lines(replace(SETTINGS, method="POST"))
    assert "Content-Length: 0" not in lines(SETTINGS)


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (250, True), (299, True), (300, False), (404, True), (403, False), (500, False)]
)
def test_a_list_of_ranges_and_codes(status: int, ok: bool) -> None:
    outcome = judge(with_status(status), replace(SETTINGS, expected_status=((200, 299), (404, 404))))
    assert outcome == Outcome(ok, str(status), ANSWER)


def test_an_answer_to_head_has_no_body_whatever_its_length() -> None:
    outcome = judge(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", replace(SETTINGS, method="HEAD"))
    assert outcome == Outcome(ok=True, text="200", kind=ANSWER)


def test_an_interim_answer_is_not_the_answer() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    assert judge(early) is None
    assert judge(early + early + OK) == Outcome(ok=True, text="200", kind=ANSWER)
    assert judge(early, ends=True) == Outcome(ok=False, text="broke off in the head", kind=Kind.BREAK)


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({"body_contains": "UP"}, ""),
        ({"body_contains": "DOWN"}, ", but its body lacks 'DOWN'"),
        ({"body_regex": '"status": *"UP"'}, ""),
        ({"body_regex": "^UP"}, ", but its body does not match '^UP'"),
        ({"body_contains": "UP", "body_regex": "x"}, ", but its body does not match 'x'"),
        ({"body_contains": "ü"}, ""),
    ],
)
def test_the_body_is_looked_at(settings: dict[str, str], note: str) -> None:
    body = '{"status": "UP", "in": "München"}'.encode()
    expected = Outcome(not note, "200", ANSWER, note)
    wanted = replace(SETTINGS, **settings)  # type: ignore[arg-type]
    assert judge(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body), wanted) == expected
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert judge(chunked, wanted) == expected
    assert judge(b"HTTP/1.1 200 OK\r\n\r\n" + body, wanted, ends=True) == expected


def test_the_note_follows_the_time() -> None:
    outcome = judge(OK, replace(SETTINGS, body_contains="ready"))
    assert outcome is not None
    assert outcome.detail(0.0034) == "200 in 3 ms, but its body lacks 'ready'"


def test_only_the_first_64_kib_of_a_body_count() -> None:
    wanted = replace(SETTINGS, body_contains="end")
    for filling, ok in ((BODY_BYTES - 3, True), (BODY_BYTES - 2, False)):
        conversation = ask(wanted)
        conversation.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * filling + b"end" + b"y" * 9)
        assert conversation.outcome is not None
        assert conversation.outcome.ok is ok


async def test_another_port_and_host_may_be_probed() -> None:
    heard: list[bytes] = []
    async with serving(saying(OK, heard)) as address:
        port = int(address.rpartition(":")[2])
        verdict = await probe("127.0.0.1:1", replace(SETTINGS, port=port, host="users.internal"))
        assert verdict.ok
        await probe("127.0.0.1:1", replace(SETTINGS, port=port))
    assert b"Host: users.internal\r\n" in heard[0]
    assert f"Host: {address}\r\n".encode() in heard[1]

"""A tcp probe that speaks: what it sends, and what it makes of the answer."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import trio

from discovery.settings import HealthSettings, ProbeType
from healthcheck.probe_tcp import ANSWER_BYTES
from tests.health_peers import Handler, probe, serving

SETTINGS = HealthSettings(type=ProbeType.TCP, timeout=5.0)


def answering(*pieces: bytes, heard: list[bytes] | None = None) -> Handler:
    async def handler(stream: trio.abc.Stream) -> None:
        if heard is not None:
            heard.append(bytes(await stream.receive_some()))
        try:
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(0.001)
        except trio.BrokenResourceError:
            return

    return handler


async def test_it_sends_and_expects() -> None:
    heard: list[bytes] = []
    async with serving(answering(b"+PO", b"NG\r\n", heard=heard)) as address:
        verdict = await probe(address, replace(SETTINGS, send="PING\r\n", expect="+PONG"))
    assert heard == [b"PING\r\n"]
    assert verdict.ok
    assert re.fullmatch(r"answered as expected in \d+ ms", verdict.detail)


async def test_a_greeting_may_be_expected_without_sending() -> None:
    async with serving(answering(b"220 mail.example.com ESMTP\r\n")) as address:
        verdict = await probe(address, replace(SETTINGS, expect="220 "))
    assert verdict.ok


async def test_what_is_sent_without_expecting_arrives() -> None:
    heard: list[bytes] = []
    async with serving(answering(heard=heard)) as address:
        verdict = await probe(address, replace(SETTINGS, send="hello"))
        assert re.fullmatch(r"connected in \d+ ms", verdict.detail)
        with trio.fail_after(5):
            while not heard:
                await trio.sleep(0.001)
    assert heard == [b"hello"]


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"", "closed without an answer"),
        (b"-ERR no\r\n", r"answered in \d+ ms, but not '\+PONG': it sent '-ERR no\\r\\n' and closed"),
        (b"\xff" * (ANSWER_BYTES + 1), r"answered in \d+ ms, but not '\+PONG': not in its first 64 KiB"),
    ],
)
async def test_a_wrong_answer(answer: bytes, detail: str) -> None:
    async with serving(answering(answer) if answer else answering()) as address:
        verdict = await probe(address, replace(SETTINGS, expect="+PONG"))
    assert not verdict.ok
    assert re.fullmatch(detail, verdict.detail), verdict.detail


async def test_silence_is_a_timeout() -> None:
    async def silent(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await trio.sleep_forever()

    async with serving(silent) as address:
        verdict = await probe(address, replace(SETTINGS, send="x", expect="+PONG", timeout=0.2))
    assert (verdict.ok, verdict.detail) == (False, "timed out after 0.2 s")

"""Every message of tests/corpus, however it is cut up, is understood or refused as its table says."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.h1_driver import read_requests, read_response, splits

CORPUS = Path(__file__).parents[1] / "corpus"
Table = dict[str, dict[str, Any]]


def table(kind: str) -> dict[str, Table]:
    content: dict[str, Table] = json.loads((CORPUS / kind / "expected.json").read_text())
    return content


def cases(kind: str, verdict: str) -> list[str]:
    return sorted(table(kind)[verdict])


def message(kind: str, verdict: str, name: str) -> bytes:
    return (CORPUS / kind / verdict / f"{name}.http").read_bytes()


def agrees(told: dict[str, Any], expected: dict[str, Any]) -> None:
    assert {key: told[key] for key in expected} == expected


@pytest.mark.parametrize("kind", ["request", "response"])
@pytest.mark.parametrize("verdict", ["accept", "refuse"])
def test_every_file_is_in_the_table_and_the_other_way_round(kind: str, verdict: str) -> None:
    assert sorted(path.stem for path in (CORPUS / kind / verdict).glob("*.http")) == cases(kind, verdict)


@pytest.mark.parametrize("name", cases("request", "accept"))
def test_good_requests_are_understood(name: str) -> None:
    expected = table("request")["accept"][name]
    choose = random.Random(name).randint
    for pieces in splits(message("request", "accept", name), choose):
        outcome = read_requests(pieces)
        assert outcome.reason == ""
        assert outcome.waiting is expected.get("waiting", False)
        assert len(outcome.messages) == len(expected["messages"])
        for request, fields in zip(outcome.messages, expected["messages"], strict=True):
            agrees(request.told(), fields)


@pytest.mark.parametrize("name", cases("request", "refuse"))
def test_bad_requests_are_refused(name: str) -> None:
    expected = table("request")["refuse"][name]
    choose = random.Random(name).randint
    for pieces in splits(message("request", "refuse", name), choose):
        outcome = read_requests(pieces)
        assert (outcome.reason, len(outcome.messages)) == (expected["reason"], expected.get("after", 0)), pieces


@pytest.mark.parametrize("name", cases("response", "accept"))
def test_good_responses_are_understood(name: str) -> None:
    expected = dict(table("response")["accept"][name])
    method, eof = expected.pop("method").encode(), expected.pop("eof", False)
    choose = random.Random(name).randint
    for pieces in splits(message("response", "accept", name), choose):
        agrees(read_response(pieces, method, eof=eof).told(), {"reason": "", **expected})


@pytest.mark.parametrize("name", cases("response", "refuse"))
def test_bad_responses_are_refused(name: str) -> None:
    expected = table("response")["refuse"][name]
    choose = random.Random(name).randint
    for pieces in splits(message("response", "refuse", name), choose):
        assert read_response(pieces, eof=expected.get("eof", False)).reason == expected["reason"], pieces

"""docs/status.md and docs/status.schema.json are what the TypedDicts say, and real answers are what the schema says."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.admin import status, status_schema
from gateway.admin.facts import DrainFacts, ProbeFacts, TransitionFacts
from gateway.admin.process import usage
from tests.unit.fake_gateway import STARTED, count, make_facts, make_ledger

DOCS = Path(__file__).parents[2] / "docs"
TO_WRITE = "run: python -m gateway.admin.status_schema"


@pytest.fixture(scope="module")
def answer() -> dict[str, Any]:
    """Something of everything, as it comes over the wire."""
    facts, ledger = make_facts(), make_ledger()
    count(ledger, 0, 1, 1)
    users, orders = facts.services
    entry = TransitionFacts(STARTED, "absent", "eligible", "probed", "probe", "200 in 3 ms")
    probe = ProbeFacts(STARTED + 59.0, True, "200 in 3 ms", 0.003)
    first = replace(users.instances[0], history=(entry,), last_probe=probe, until=STARTED + 90.0)
    drain = DrainFacts("10.0.0.1:9001", STARTED, "alice", is_listed=True, in_flight=0)
    users = replace(users, instances=(first, *users.instances[1:]), drains=(drain,))
    facts = replace(facts, services=(users, orders))
    body: dict[str, Any] = json.loads(json.dumps(status.status(facts, ledger, usage=usage, now=STARTED + 60.0)))
    return body


def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads((DOCS / "status.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def test_the_schema_and_the_page_are_what_the_types_say() -> None:
    assert json.loads((DOCS / "status.schema.json").read_text()) == status_schema.schema(), TO_WRITE
    assert (DOCS / "status.md").read_text() == status_schema.page(), TO_WRITE


def test_an_answer_is_valid(answer: dict[str, Any]) -> None:
    validator().validate(answer)


def test_the_schema_knows_every_key_that_is_answered(answer: dict[str, Any]) -> None:
    schema = json.loads((DOCS / "status.schema.json").read_text())
    for kind in schema["$defs"].values():
        kind["additionalProperties"] = False
    jsonschema.Draft202012Validator(schema).validate(answer)


def test_a_missing_key_and_a_wrong_type_are_invalid(answer: dict[str, Any]) -> None:
    lacking, wrong = copy.deepcopy(answer), copy.deepcopy(answer)
    del lacking["services"][0]["instances"][0]["last_probe"]["at"]
    wrong["workers"][0]["cpu_seconds_total"] = "much"
    for spoilt in (lacking, wrong):
        with pytest.raises(jsonschema.ValidationError):
            validator().validate(spoilt)


def test_every_object_of_the_answer_is_described() -> None:
    for name, kind in status_schema.schema()["$defs"].items():  # type: ignore[attr-defined]
        assert kind["description"].endswith("."), name

"""All checks of Consul, and whose changed."""

from __future__ import annotations

import json

import pytest

from discovery.consul_sd.checks import changed_services, decode_checks
from discovery.consul_sd.decode import DecodeError


def check(node: str, check_id: str, status: str, service: str = "") -> dict[str, str]:
    return {"Node": node, "CheckID": check_id, "Status": status, "ServiceName": service, "Output": "whatever"}


WEB = check("n1", "service:web-1", "passing", "web")
SERF = check("n1", "serfHealth", "passing")


def changed(before: list[dict[str, str]], after: list[dict[str, str]]) -> tuple[set[str], set[str]]:
    first = decode_checks(written(before))
    services, nodes = changed_services(first, decode_checks(written(after), first))
    return set(services), set(nodes)


def written(checks: list[dict[str, str]]) -> bytes:
    """As Consul writes it."""
    return json.dumps(checks, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("after", "services", "nodes"),
    [
        ([WEB, SERF], set(), set()),
        ([WEB | {"Output": "other"}, SERF], set(), set()),
        ([WEB | {"Status": "critical"}, SERF], {"web"}, set()),
        ([SERF], {"web"}, set()),
        ([WEB, SERF, check("n2", "service:web-2", "passing", "web")], {"web"}, set()),
        ([WEB, SERF, check("n2", "service:db-1", "passing", "db")], {"db"}, set()),
        ([WEB, SERF | {"Status": "critical"}], set(), {"n1"}),
        ([WEB, SERF, check("n1", "_node_maintenance", "critical")], set(), {"n1"}),
    ],
)
def test_a_change_names_its_service_or_its_node(
    after: list[dict[str, str]], services: set[str], nodes: set[str]
) -> None:
    assert changed([WEB, SERF], after) == (services, nodes)


def test_what_is_not_consuls_is_refused() -> None:
    for nothing in (b"[]", b"[]\n", b"null"):
        assert decode_checks(nothing) == frozenset()
    for data in (b"", b"<html>", b"[1]", b'[{"Node": "n"}]', b'[{"Node": "n"', b'{"Node": "n"}'):
        with pytest.raises(DecodeError):
            decode_checks(data)


def test_what_a_check_says_does_not_end_its_entry() -> None:
    tricky = WEB | {"Output": '},{"Node":"n9","CheckID":"c","Status":"critical"}]'}
    assert len(decode_checks(written([tricky, SERF]))) == 2
    assert changed([WEB, SERF], [tricky, SERF]) == (set(), set())


def test_the_indented_answer_of_a_dev_agent_is_read_as_well() -> None:
    indented = decode_checks(json.dumps([WEB, SERF], indent=4).encode() + b"\n")
    assert len(indented) == 2
    assert changed_services(indented, decode_checks(written([WEB, SERF]))) == (frozenset(), frozenset())

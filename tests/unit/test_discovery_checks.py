"""All checks of Consul, and whose changed."""

from __future__ import annotations

import pytest

from discovery.consul_sd.checks import Checks, changed_services, decode_checks
from discovery.consul_sd.decode import DecodeError


def check(node: str, check_id: str, status: str, service: str = "") -> dict[str, str]:
    return {"Node": node, "CheckID": check_id, "Status": status, "ServiceName": service, "Output": "whatever"}


WEB = check("n1", "service:web-1", "passing", "web")
SERF = check("n1", "serfHealth", "passing")


def changed(before: list[dict[str, str]], after: list[dict[str, str]]) -> tuple[set[str], set[str]]:
    services, nodes = changed_services(decode_checks(before), decode_checks(after))
    return set(services), set(nodes)


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
    assert decode_checks([]) == Checks({}, {})
    for data in (None, [1], [{"Node": "n"}]):
        with pytest.raises(DecodeError):
            decode_checks(data)

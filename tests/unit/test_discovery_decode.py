"""What an answer of Consul's means for each instance."""

from __future__ import annotations

from typing import Any

import pytest

from discovery.consul_sd.decode import DecodeError, Registration, decode_health, decode_services, judge, unite
from discovery.model import Instance, Standing


def check(status: str, name: str = "web", **more: str) -> dict[str, Any]:
    return {"CheckID": name, "Name": name, "Status": status, "Node": "n1", **more}


def entry(
    *checks: dict[str, Any],
    address: str = "10.0.0.5",
    id: str = "web-1",  # noqa: A002
    node: str = "n1",
    **more: Any,
) -> dict[str, Any]:
    service = {"ID": id, "Service": "web", "Address": address, "Port": 80, "Tags": None} | more
    return {"Node": {"Node": node, "Address": "10.0.0.1"}, "Service": service, "Checks": list(checks)}


def only(data: list[dict[str, Any]]) -> Registration:
    (registration,) = decode_health(data)
    return registration


def test_no_checks_mean_passing_and_no_weights_mean_one() -> None:
    expected = Instance("10.0.0.5", 80, weight=1, standing=Standing.PASSING, id="web-1")
    assert only([entry()]) == Registration("n1", expected, ())


def test_the_nodes_address_stands_in_for_a_missing_one() -> None:
    assert only([entry(address="")]).instance.host == "10.0.0.1"


def test_an_ipv6_address_is_bracketed() -> None:
    assert only([entry(address="fd00::1")]).instance.address == "[fd00::1]:80"


@pytest.mark.parametrize(("status", "weight"), [("passing", 7), ("warning", 0), ("critical", 7)])
def test_the_worst_check_chooses_the_weight(status: str, weight: int) -> None:
    data = [entry(check("passing"), check(status), Weights={"Passing": 7, "Warning": 0})]
    assert only(data).instance.weight == weight
    assert only(data).instance.standing == Standing(status)


@pytest.mark.parametrize(
    ("checks", "standing", "detail"),
    [
        (
            [check("critical", Output="timeout\n after 2s ")],
            Standing.CRITICAL,
            "check 'web' is critical: timeout after 2s",
        ),
        (
            [check("warning"), check("critical", "b"), check("critical", "c")],
            Standing.CRITICAL,
            "check 'b' is critical",
        ),
        ([check("strange")], Standing.CRITICAL, "check 'web' is strange"),
        ([check("critical", "serfHealth", Output="not live")], Standing.CRITICAL, "node n1 is down: not live"),
        (
            [check("critical"), check("critical", "_node_maintenance", Notes="kernel")],
            Standing.MAINTENANCE,
            "node n1 is in maintenance: kernel",
        ),
        ([check("critical", "_service_maintenance:web-1")], Standing.MAINTENANCE, "service is in maintenance"),
        ([check("passing")], Standing.PASSING, ""),
    ],
)
def test_the_standing_and_its_reason(checks: list[dict[str, Any]], standing: Standing, detail: str) -> None:
    assert judge(checks) == (standing, detail)


def test_an_instance_without_port_cannot_take_traffic() -> None:
    instance = only([entry(Port=0)]).instance
    assert (instance.standing, instance.detail) == (Standing.CRITICAL, "registered in Consul without a port")


def test_the_order_is_by_id_and_node_whatever_the_answers() -> None:
    data = [entry(id="b"), entry(id="a", node="n2"), entry(id="a")]
    assert [(each.instance.id, each.node) for each in decode_health(data)] == [("a", "n1"), ("a", "n2"), ("b", "n1")]


def test_of_two_with_one_address_the_better_standing_stays() -> None:
    bad, good = Instance("1.1.1.1", 1, id="a", standing=Standing.CRITICAL), Instance("1.1.1.1", 1, id="b")
    other = Instance("1.1.1.2", 1, id="c")
    assert unite([bad, good, other]) == (good, other)
    assert unite([good, Instance("1.1.1.1", 1, id="z")]) == (good,)


def test_a_listed_one_beats_a_provisional_one() -> None:
    listed = Instance("1.1.1.1", 1, id="b", standing=Standing.CRITICAL)
    assert unite([Instance("1.1.1.1", 1, id="a", provisional=True), listed]) == (listed,)


@pytest.mark.parametrize("data", [None, 3, {"a": 1}, [None], [{}], [{"Service": {}, "Node": {}}], ["x"]])
def test_another_shape_is_an_error(data: object) -> None:
    with pytest.raises(DecodeError):
        decode_health(data)


def test_services_come_with_their_tags() -> None:
    assert decode_services({"web": ["a", "b"], "db": None}) == {"web": ("a", "b"), "db": ()}
    assert decode_services({"web": ["b", "a"]}) == decode_services({"web": ["a", "b"]})  # Consul's order is any
    with pytest.raises(DecodeError):
        decode_services([])


@pytest.mark.parametrize(
    ("checks", "without"),
    [
        ([("web", "critical", "")], Standing.PASSING),
        ([("web", "critical", ""), ("disk", "warning", "")], Standing.WARNING),
        ([("web", "critical", ""), ("serfHealth", "passing", "Agent alive and reachable")], Standing.PASSING),
        ([("web", "critical", "HTTP GET http://10.0.0.1/: 503")], None),
        ([("web", "critical", "TTL expired")], None),
        ([("web", "critical", ""), ("db", "critical", "connection refused")], None),
        ([("web", "critical", ""), ("serfHealth", "critical", "")], None),
        ([("web", "critical", ""), ("_service_maintenance:a", "critical", "")], None),
        ([("web", "passing", "")], None),
    ],
)
def test_critical_checks_without_output_have_not_run(
    checks: list[tuple[str, str, str]], without: Standing | None
) -> None:
    entry = {
        "Node": {"Node": "n1", "Address": "10.0.0.1"},
        "Service": {"ID": "a", "Port": 80, "Weights": {"Passing": 5, "Warning": 2}},
        "Checks": [{"CheckID": name, "Status": status, "Output": output} for name, status, output in checks],
    }
    (found,) = decode_health([entry])
    assert (found.without_unrun and found.without_unrun.standing) == without
    if found.without_unrun:
        assert found.instance.standing is Standing.CRITICAL
        assert found.without_unrun.weight == (2 if without is Standing.WARNING else 5)


def test_one_without_a_port_is_out_whether_its_checks_have_run_or_not() -> None:
    check = {"CheckID": "web", "Status": "critical", "Output": ""}
    node = {"Node": "n1", "Address": "10.0.0.1"}
    (found,) = decode_health([{"Node": node, "Service": {"ID": "a", "Port": 0}, "Checks": [check]}])
    assert found.without_unrun is None

"""What the scale benchmark puts into Consul, and its page."""

from __future__ import annotations

from itertools import chain

import pytest

from benchmarks.rig.about import About
from benchmarks.scale.catalog import PER_TRANSACTION, places, transactions
from benchmarks.scale.page import page
from benchmarks.scale.run import Figures

ADDRESSES = [f"127.0.0.{host}:9000" for host in range(1, 13)]


def test_no_service_has_an_address_twice() -> None:
    everything = places(20, 10, ADDRESSES)
    assert len(everything) == 200
    assert len({place.id for place in everything}) == 200
    assert len({(place.service, place.address) for place in everything}) == 200


def test_too_few_addresses_are_refused() -> None:
    with pytest.raises(ValueError, match="13 instances"):
        places(1, 13, ADDRESSES)


def test_transactions_are_of_the_size_that_consul_takes_and_begin_with_the_nodes() -> None:
    everything = places(30, 10, ADDRESSES)
    made = list(transactions(everything, ["gw.health.type=none"]))
    assert max(len(operations) for operations in made) <= PER_TRANSACTION
    kinds = [next(iter(operation)) for operation in chain.from_iterable(made)]
    assert kinds[:3] == ["Node", "Node", "Node"]
    assert kinds.count("Node") == 3
    assert kinds.count("Service") == kinds.count("Check") == 300


def test_the_page_has_a_column_for_each_run() -> None:
    runs = [
        Figures(kind, 5000, rest={"supervisor": 0.011}, add_ms=[10.0, 20.0], change_cpu_ms={"supervisor": 1.5})
        for kind in ("none", "probes")
    ]
    text = page(About("now", "A CPU", "Linux", ("gw 1",), 0.0), runs, 4, 0)
    assert "Consul allows 200 connections" in text
    assert "|  | health type none | probes every 5 s |" in text
    assert "| registered, 2 times: p50 / p99 | 10.0 / 20.0 ms | 10.0 / 20.0 ms |" in text
    assert "| CPU at rest, supervisor | 1.1 % | 1.1 % |" in text

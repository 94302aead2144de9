"""docs/metrics.md is what the collector says of itself, and the collector tells what the page promises."""

from __future__ import annotations

from pathlib import Path

import yaml

from gateway.admin import metrics
from gateway.admin.families import FAMILIES
from gateway.admin.metrics_reference import QUERIES, render
from tests.unit.fake_gateway import STARTED, figures, make_facts, make_ledger

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_families_say() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    assert page == render(), "run: python -m gateway.admin.metrics_reference > docs/metrics.md"


def test_every_family_is_described_and_measured_once() -> None:
    measured = metrics.measure(metrics.read_ledger(make_facts(), figures(make_facts()), make_ledger(), STARTED))
    assert [family.name for each in measured for family in each.families] == [family.name for family in FAMILIES]
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert family.meaning.endswith("."), family.name
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert family.name.removesuffix("_total").endswith(f"_{family.unit}" if family.unit else ""), family.name


def test_the_page_scrapes_as_the_example_does() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    shown = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])["scrape_configs"]
    assert shown == yaml.safe_load((ROOT / "examples/prometheus/prometheus.yml").read_text())["scrape_configs"]


def test_every_query_is_on_the_page() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    assert all(query in page for _, query in QUERIES)

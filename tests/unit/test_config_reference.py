"""docs/configuration.md and examples/gateway.toml agree with the models."""

from __future__ import annotations

from pathlib import Path

from cli.check import check
from gateway.config.kinds import Section
from gateway.config.model import FileConfig, keys_of, subsections
from gateway.config.reference import render

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_models_say() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    assert page == render(), "run: python -m gateway.config.reference > docs/configuration.md"


def test_every_key_is_described() -> None:
    def keys_without_meaning(model: type[Section]) -> list[str]:
        own = [name for name, field in model.model_fields.items() if model is not FileConfig and not field.description]
        return own + [name for _, section in subsections(model) for name in keys_without_meaning(section)]

    assert keys_without_meaning(FileConfig) == []
    assert keys_of(FileConfig) == ("gateway", "limits", "log", "consul", "dns", "tracing", "services", "routes")


def test_the_example_is_right() -> None:
    file = ROOT / "examples/gateway.toml"
    assert check(file, {}) == (0, [f"{file}: OK: 4 services, 5 routes, Consul at http://127.0.0.1:8500"])

"""Templates into HTML, and the page's own files. Autoescape is on for everything: names come from Consul, and so from
people who are not the operator."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.admin import words
from gateway.admin.page.view import Query, View

ASSETS: Final = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "theme.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def page(view: View) -> str:
    """The whole document."""
    return _environment().get_template("page.html").render(view=view)


def live(view: View) -> str:
    """The part of it that changes."""
    return _environment().get_template("live.html").render(view=view)


@cache
def asset(name: str) -> bytes | None:
    """One of ASSETS; None for any other name."""
    return (files(__package__) / "assets" / name).read_bytes() if name in ASSETS else None


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gateway.admin.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        duration=words.duration, long_age=words.long_age, size=words.size, words=words.words, clean=words.plain
    )
    environment.globals.update(link=_link, version=_version())
    return environment


def _version() -> str:
    """Changes with any of the assets, so that browsers may keep them for ever."""
    digest = hashlib.sha256()
    for name in ASSETS:
        digest.update(asset(name) or b"")
    return digest.hexdigest()[:12]


def _link(query: Query, number: int) -> str:
    """To another page of what is looked for."""
    return "/?" + urlencode({**({"q": query.text} if query.text else {}), "page": number}) + "#services"

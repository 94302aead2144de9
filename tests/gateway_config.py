"""The configuration of most tests: one service, one route that takes everything. Tables are TOML text."""

from __future__ import annotations

import json


def one_service(
    *instances: str,
    name: str = "users",
    service: str = "",
    health: str = "interval = 0.2",
    outlier: str = "",
    path: str = "/*",
    route: str = "",
    more: str = "",
) -> str:
    """gateway.toml without an access log.

    `instances` are URLs, or inline tables such as `{ url = "...", weight = 5 }`; `service`, `health`, `outlier` and
    `route` go into the tables of these names, `more` is tables of its own.
    """
    listed = ", ".join(item if item.startswith("{") else json.dumps(item) for item in instances)
    return f"""
[log]
access = "off"
[[services]]
name = "{name}"
instances = [{listed}]
{service}
[services.health]
{health}
[services.outlier]
{outlier}
[[routes]]
path = "{path}"
service = "{name}"
{route}
{more}
"""

"""What the supervisor tells an exporter of traces, and what that tells it: each a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Orders:
    """Where to export, and who this is."""

    endpoint: str
    headers: Mapping[str, str]
    resource: Mapping[str, str]  # attributes
    version: str  # of the gateway

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(slots=True)
class Tally:
    """What became of spans since the process began."""

    exported: int = 0
    failed: int = 0  # the collector did not take them, however often it was tried
    dropped: int = 0  # no room for them, or no time at the end
    error: str = ""  # what is wrong with exporting now; "": nothing

    def to_json(self) -> str:
        return json.dumps(asdict(self))

"""The checks of all services and nodes (/v1/health/state/any) or of one node, and whose of them changed. Pure.

An answer is megabytes of JSON for thousands of checks, and comes whole whenever one of them changes. So it is cut into
entries as text, and only those are decoded whose text is not in the answer before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from discovery.consul_sd.decode import DecodeError

Checks: TypeAlias = frozenset[bytes]  # the entries, as text
State: TypeAlias = tuple[str, str, str, str]  # service ("" for a check of the node), node, check id, status

# Every entry begins with its node, and neither can be within a text, where quotes are escaped.
_BEGIN: Final = re.compile(rb'\s*\[\s*\{\s*"Node":')
_BETWEEN: Final = re.compile(rb'\},\s*\{\s*"Node":')
_END: Final = re.compile(rb"\}\s*\]\s*")


def decode_checks(data: bytes, before: Checks = frozenset()) -> Checks:
    """The JSON of /v1/health/state/any; `before` is of the answer before it. Raises DecodeError."""
    checks = frozenset(_entries(data))
    _states(checks - before)
    return checks


def changed_services(before: Checks, after: Checks) -> tuple[frozenset[str], frozenset[str]]:
    """(services, nodes) of which a check came, went or changed its status; nodes by their own checks."""
    changed = _states(before - after) ^ _states(after - before)
    services = frozenset(service for service, *_ in changed if service)
    return services, frozenset(node for service, node, *_ in changed if not service)


def _entries(data: bytes) -> list[bytes]:
    """Each without its beginning, `{"Node":`, and its last brace."""
    begin, end = _BEGIN.match(data), data.rfind(b"}")
    if begin is None or not _END.fullmatch(data, end):
        if data.strip() in (b"[]", b"null"):
            return []
        raise DecodeError("the answer of /v1/health/state is malformed: it is no list of checks")
    return _BETWEEN.split(data[begin.end() : end])


def _states(entries: Iterable[bytes]) -> set[State]:
    try:
        checks = json.loads(b"[%s]" % b",".join([b'{"Node":%s}' % entry for entry in entries]))
        return {(each.get("ServiceName") or "", each["Node"], each["CheckID"], each["Status"]) for each in checks}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"an entry of /v1/health/state is malformed: {type(error).__name__} {error}") from error

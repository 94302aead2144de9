"""B3: how Zipkin's traces come in header fields, in one (`b3`) or in several (`X-B3-...`). Pure.

Ids are lower-case hexadecimal, 16 or 32 digits for a trace. The sampling state is accept (1), deny (0), debug (d) or
nothing: then whoever comes next decides. What is malformed or repeated is no B3 at all.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.h1.fields import without

_TRACE: Final = rb"(?!0+(?:-|\Z))((?:[0-9a-f]{16}){1,2})"
_SPAN: Final = rb"(?!0{16})([0-9a-f]{16})"
_SINGLE: Final = re.compile(_TRACE + rb"-" + _SPAN + rb"(?:-([01d])(?:-[0-9a-f]{16})?)?")
_TRACE_ID: Final = re.compile(_TRACE)
_SPAN_ID: Final = re.compile(_SPAN)
_STATES: Final = (b"0", b"1", b"d")
_SAMPLED: Final = {b"": b"", b"0": b"0", b"1": b"1", b"false": b"0", b"true": b"1"}  # words: older clients
NAMES: Final = frozenset((b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"))


class B3:
    """What a request's B3 fields say."""

    __slots__ = ("_has_multi", "_has_single", "span", "state", "trace")

    def __init__(self, trace: bytes, span: bytes, state: bytes, has_single: bool, has_multi: bool) -> None:
        self.trace = trace  # 16 or 32 digits as they came; b"": only a decision came
        self.span = span  # 16 digits, or b"" likewise
        self.state = state  # b"0", b"1", b"d" or b""
        self._has_single = has_single
        self._has_multi = has_multi

    @property
    def trace_id(self) -> bytes:
        """32 digits."""
        return self.trace.rjust(32, b"0")

    def forwarded(self, head: bytes, trace_id: bytes, client: bytes, server: bytes) -> bytes:
        """A head with these fields continued by the span `client`, whose parent is `server`; sampled.

        `trace_id` is for fields that name no trace.
        """
        trace = self.trace or trace_id
        lines = b""
        if self._has_single:
            lines = b"b3: %b-%b-%b-%b\r\n" % (trace, client, b"d" if self.state == b"d" else b"1", server)
        if self._has_multi:
            lines += b"X-B3-TraceId: %b\r\nX-B3-SpanId: %b\r\nX-B3-ParentSpanId: %b\r\n" % (trace, client, server)
            lines += b"X-B3-Flags: 1\r\n" if self.state == b"d" else b"X-B3-Sampled: 1\r\n"
        start = head.index(b"\r\n") + 2
        return b"%b%b%b\r\n" % (head[:start], without(head[start:-2], NAMES), lines)


def read(block: bytes) -> B3 | None:
    """The B3 in a block of field lines; None where there is none that makes sense. The single field wins."""
    if b"b3" not in block and b"B3" not in block:
        return None
    found: dict[bytes, bytes] = {}
    for line in block.split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in NAMES:
            if name in found:
                return None
            found[name] = value.strip(b" \t")
    has_single = b"b3" in found
    has_multi = len(found) > (1 if has_single else 0)
    if has_single:
        return _single(found[b"b3"], has_multi)
    return _multi(found) if has_multi else None


def _single(value: bytes, has_multi: bool) -> B3 | None:
    if value in _STATES:
        return B3(b"", b"", value, True, has_multi)
    match = _SINGLE.fullmatch(value)
    return None if match is None else B3(match[1], match[2], match[3] or b"", True, has_multi)


def _multi(found: dict[bytes, bytes]) -> B3 | None:
    state = _SAMPLED.get(found.get(b"x-b3-sampled", b"").lower())
    if state is None:
        return None
    if found.get(b"x-b3-flags") == b"1":
        state = b"d"
    trace, span = found.get(b"x-b3-traceid", b""), found.get(b"x-b3-spanid", b"")
    if not trace and not span:
        return B3(b"", b"", state, False, True) if state else None
    if _TRACE_ID.fullmatch(trace) is None or _SPAN_ID.fullmatch(span) is None:
        return None
    return B3(trace, span, state, False, True)

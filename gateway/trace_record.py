"""What a worker writes down of a sampled request, as bytes, and back: from the workers to the exporter of traces. Pure.

A record is a tuple, marshalled: of all that could write it down, that costs the worker least (1 us), and both sides
are processes of one interpreter. Records lie one behind the other in a datagram.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from io import BytesIO
from typing import Final, NamedTuple

DATAGRAM_BYTES: Final = 32768  # that a datagram is filled to; a longer record has one of its own


class AttemptRecord(NamedTuple):
    """One try on one instance. Times are Unix seconds, durations seconds; less than 0: it never came to that."""

    span_id: bytes  # 16 hexadecimal digits, as the three below
    started: float
    ended: float
    host: str  # IP address
    port: int
    name: str  # host:port as registered: with the host's name, where there is one
    connect_seconds: float
    head_seconds: float  # to the head of the response
    status: int  # of the response; 0: none
    reason: str  # slug of what went wrong; "": answered whole
    detail: str
    is_reused: bool  # on a pooled connection
    is_stale: bool  # ...which the instance had closed


class RequestRecord(NamedTuple):
    """One sampled request."""

    trace_id: bytes  # 32 hexadecimal digits
    span_id: bytes
    parent_id: bytes  # of the caller's span; b"": the trace begins here
    state: bytes  # tracestate as it came
    started: float
    ended: float
    method: bytes
    path: bytes  # without the query, which may hold secrets
    forwarded_path: bytes  # as the instance sees it
    minor: int  # of HTTP/1.x
    scheme: bytes
    host: bytes  # the Host field
    client: bytes  # IP address, that of a proxy in front left out
    peer: bytes
    user_agent: bytes
    status: int
    reason: str  # slug; "": nothing went wrong
    route: str  # its path, as configured; "": none
    route_label: str  # host and path: how metrics and logs call it
    service: str
    request_id: bytes
    worker: int
    attempts: tuple[AttemptRecord, ...]


class BadRecord(ValueError):
    """These bytes are no records."""


def pack(record: tuple[object, ...]) -> bytes:
    """The bytes of the values of a RequestRecord, in order; plain tuples throughout."""
    return marshal.dumps(record)  # type: ignore[arg-type]  # the checker does not see into a tuple of objects


def unpack(datagram: bytes) -> Iterator[RequestRecord]:
    """The records in a datagram. Raises BadRecord."""
    stream = BytesIO(datagram)
    while stream.tell() < len(datagram):
        try:
            *values, attempts = marshal.load(stream)  # noqa: S302 - written by our own workers, on our own socket
            record = RequestRecord._make((*values, tuple(AttemptRecord._make(each) for each in attempts)))
        except (EOFError, ValueError, TypeError) as error:
            raise BadRecord(f"not a record of a request: {error}") from error
        yield record

"""The story of one request, as a line of a ring: written by `proxy.stories`, read here. Pure.

A line is a JSON array, since the parts that are long stand ready as JSON for the access log, and since what it
names has its name in it: instances and routes may be gone when somebody asks. Times are in microseconds:

    "1", id, client, method, host, path, form, end (Unix milliseconds), duration, ...

    form "full":   ... status, service, route, failure, attempts, number of attempts, candidates at the last pick
    form "short":  ... connect, head, service, status, candidates, object with "instance" and "route": of one
                   attempt, answered

    service:  null or [name, balance]        route:  an object with "route"       failure:  null or [slug, detail]
    attempt:  [object with "instance", candidates, start (from the request's), flags, connect, head, duration,
               status, slug, detail]; connect is null on a connection that was there, head where none came

There is nothing of a query, of fields or of bodies in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

VERSION: Final = "1"
REUSED: Final = 1  # flags of an attempt
STALE: Final = 2
ATTEMPTS: Final = 12  # of a story; of more, these last ones
PATH_BYTES: Final = 256
HOST_BYTES: Final = 128
DETAIL_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class AttemptStory:
    """One attempt; seconds, None for what never came."""

    instance: str
    candidates: int
    at: float  # from the start of the request
    connect: float | None  # None as well on a connection from the pool
    head: float | None
    duration: float
    status: int  # 0: no answer
    reason: str  # "": answered whole
    detail: str
    is_reused: bool
    is_stale: bool


@dataclass(frozen=True, slots=True)
class Story:
    """One request that is over. Texts are empty where there is nothing to say."""

    request_id: str
    worker: int
    end: float  # Unix seconds
    client: str
    method: str
    host: str
    path: str
    status: int
    duration: float  # seconds
    service: str
    balance: str
    route: str  # host and path of its pattern
    reason: str
    detail: str
    attempts: tuple[AttemptStory, ...]  # the last ATTEMPTS of them
    attempts_made: int
    candidates: int  # instances that could be picked when the last pick was made


def decode(line: bytes, worker: int) -> Story:
    """The story in a line that a worker wrote. Raises ValueError for anything else."""
    try:
        known: list[Any] = json.loads(line.decode("utf-8", "replace"))
        version, request_id, client, method, host, path, form, end, duration, *rest = known
        if version != VERSION:
            raise ValueError(f"not the story of a request: {line[:200]!r}")
        if form == "short":
            connect, head, service, status, candidates, names = rest
            route, failure, made = names, None, 1
            attempts = [[names, candidates, 0, 0 if connect is not None else REUSED, connect, head, duration, status,
                         "", ""]]  # fmt: skip
        else:
            status, service, route, failure, attempts, made, candidates = rest
        name, balance = service or ("", "")
        slug, detail = failure or ("", "")
        return Story(
            request_id=request_id,
            worker=worker,
            end=end / 1000,
            client=client,
            method=method,
            host=host,
            path=path,
            status=status,
            duration=duration / 1e6,
            service=name,
            balance=balance,
            route=route["route"],
            reason=slug,
            detail=detail,
            attempts=tuple(_attempt(each) for each in attempts),
            attempts_made=made,
            candidates=candidates,
        )
    except (TypeError, KeyError) as error:
        raise ValueError(f"not the story of a request: {line[:200]!r}") from error


def _attempt(values: Any) -> AttemptStory:
    instance, candidates, at, flags, connect, head, duration, status, slug, detail = values
    return AttemptStory(
        instance=instance["instance"],
        candidates=candidates,
        at=at / 1e6,
        connect=None if connect is None else connect / 1e6,
        head=None if head is None else head / 1e6,
        duration=duration / 1e6,
        status=status,
        reason=slug,
        detail=detail,
        is_reused=bool(flags & REUSED),
        is_stale=bool(flags & STALE),
    )

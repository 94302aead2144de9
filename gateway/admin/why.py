"""What `/api/why` answers: the story of a request, or the last failures, with words that explain them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypedDict

import trio

from gateway.admin.facts import Facade, Facts, RouteFacts
from gateway.admin.handlers import Reply, problem
from gateway.admin.reasons import MEANINGS, Meaning
from gateway.admin.words import rfc3339
from gateway.errors import Reason
from gateway.routing.compiled import Pattern, PatternKind
from gateway.shm.story import AttemptStory, Story

LAST: Final = 20  # failures shown unless asked for another number
MOST: Final = 1000
STORIES: Final = 10  # shown of one id
PICKS: Final = {
    "least_connections": "the one with the fewest requests in flight for its weight",
    "weighted": "in turn, each as often as its weight says",
    "round_robin": "in turn",
    "random": "at random",
    "least_latency": "of two at random the one that answers sooner",
    "hash": "by the hash of the request's key",
}
_BY_SLUG: Final = {each.slug: each for each in Reason}
_INSTANCES_OWN: Final = Meaning(
    "The instance itself answered with this status; the gateway passed it on.",
    "Look into the instance's own log, by the request id.",
)
_NOTHING: Final = Meaning("", "")


class AttemptAnswer(TypedDict):
    """One attempt. Times in milliseconds; null for what never came."""

    instance: str
    outcome: str  # the status, or the reason's slug
    status: int  # 0: no answer
    reason: str
    detail: str
    candidates: int
    at_ms: float  # from the start of the request
    connect_ms: float | None  # null as well where a connection was reused
    head_ms: float | None
    duration_ms: float
    reused: bool
    stale: bool
    now: str  # what the instance is now: its reason in `gw status`, or "gone"


class StoryAnswer(TypedDict):
    """One request."""

    request_id: str
    time: str  # when it ended
    worker: int
    client: str
    method: str
    host: str
    path: str
    status: int
    reason: str
    detail: str
    meaning: str
    advice: str
    duration_ms: float
    route: str
    route_origin: str  # "" if it is not in force any more
    route_why: str
    service: str
    balance: str
    pick: str
    candidates: int
    attempts_made: int
    attempts: list[AttemptAnswer]


class StoriesAnswer(TypedDict):
    """Newest first."""

    stories: list[StoryAnswer]


async def why(facade: Facade, asked: Mapping[str, str]) -> Reply:
    """The stories of `request_id`, or without one the `last` so many failures and retries."""
    request_id = asked.get("request_id", "")
    if request_id:
        stories = await trio.to_thread.run_sync(facade.stories.find, request_id)
        if not stories:
            return problem(404, "not_remembered", _not_remembered(request_id), request_id=request_id)
        stories = stories[:STORIES]
    else:
        last = asked.get("last", str(LAST))
        if not (last.isascii() and last.isdigit() and 0 < int(last[:9]) <= MOST):
            return problem(400, "bad_request", f"`last` must be a number from 1 to {MOST}, not {last!r}.")
        stories = await trio.to_thread.run_sync(facade.stories.failures, int(last))
    facts = facade.facts()
    answer: StoriesAnswer = {"stories": [tell(each, facts) for each in stories]}
    return Reply(200, dict(answer))


def _not_remembered(request_id: str) -> str:
    return (
        f"No worker remembers a request {request_id}. It may be still under way, older than what is kept (under load "
        "that is seconds for requests that went well, longer for failures), or from before the gateway's start. "
        "The access log has it if that is on."
    )


def tell(story: Story, facts: Facts) -> StoryAnswer:
    """A story with its meaning, and with what is known now of what it names."""
    meaning = _meaning(story)
    route = _route(story, facts)
    instances = {each.address: each.reason for known in facts.services if known.name == story.service
                 for each in known.instances}  # fmt: skip
    return {
        "request_id": story.request_id,
        "time": rfc3339(story.end),
        "worker": story.worker,
        "client": story.client,
        "method": story.method,
        "host": story.host,
        "path": story.path,
        "status": story.status,
        "reason": story.reason,
        "detail": story.detail,
        "meaning": meaning.cause,
        "advice": meaning.cure,
        "duration_ms": _milliseconds(story.duration),
        "route": story.route,
        "route_origin": route.origin if route is not None else "",
        "route_why": _why_matched(story.route) if story.route else "",
        "service": story.service,
        "balance": story.balance,
        "pick": PICKS.get(story.balance, ""),
        "candidates": story.candidates,
        "attempts_made": story.attempts_made,
        "attempts": [_attempt(each, instances.get(each.instance, "gone")) for each in story.attempts],
    }


def _attempt(attempt: AttemptStory, now: str) -> AttemptAnswer:
    return {
        "instance": attempt.instance,
        "outcome": attempt.reason or str(attempt.status),
        "status": attempt.status,
        "reason": attempt.reason,
        "detail": attempt.detail,
        "candidates": attempt.candidates,
        "at_ms": _milliseconds(attempt.at),
        "connect_ms": None if attempt.connect is None else _milliseconds(attempt.connect),
        "head_ms": None if attempt.head is None else _milliseconds(attempt.head),
        "duration_ms": _milliseconds(attempt.duration),
        "reused": attempt.is_reused,
        "stale": attempt.is_stale,
        "now": now,
    }


def _meaning(story: Story) -> Meaning:
    """Of the request's end; of a retried one that was answered, of its last failure."""
    slug = story.reason
    if not slug and story.status >= 500:
        return _INSTANCES_OWN
    failed = [each.reason for each in story.attempts if each.reason]
    if not slug and failed:
        slug = failed[-1]
    reason = _BY_SLUG.get(slug)
    return MEANINGS[reason] if reason is not None else _NOTHING


def _route(story: Story, facts: Facts) -> RouteFacts | None:
    """The route that took the request, if it is still in force."""
    if not story.route:
        return None
    return next((r for r in facts.routes if r.host + r.path == story.route and r.service == story.service), None)


def _why_matched(label: str) -> str:
    """Why a request takes the route with this host and path, in words."""
    cut = label.find("/")
    host, path = label[:cut], label[cut:]
    kind = Pattern(path).kind
    if kind is PatternKind.EXACT:
        words = f"the path is {path}"
    elif kind is PatternKind.TEMPLATE:
        words = f"the path is {path}, segment by segment"
    elif kind is PatternKind.TEXT:
        words = f"the path begins with {path.removesuffix('**')}"
    else:
        prefix = path.removesuffix("/*")
        words = f"the path begins with {prefix}/" if prefix else "it takes every path"
    by_host = f"the host is {host} and " if host else ""
    return f"{by_host}{words}; no more specific route matched"


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)

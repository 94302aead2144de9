"""`gw why`: the story of one request in plain words, or a line for each of the last failures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from cli.admin_client import AdminClient, find_admin
from cli.layout import duration, printable

if TYPE_CHECKING:
    from gateway.admin.why import AttemptAnswer, StoriesAnswer, StoryAnswer

_INDENT: Final = 12  # columns of what stands before the words


def why(admin: str | None, request_id: str, *, as_json: bool) -> int:
    """What is remembered of requests with this id, newest first."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        answer = client.why(request_id)
    if as_json:
        return _print_json(answer)
    stories = printable(answer["stories"])
    if len(stories) > 1:
        typer.echo(f"{len(stories)} requests had this id, the newest first.\n")
    typer.echo("\n\n".join("\n".join(story_lines(each)) for each in stories))
    return 0


def failures(admin: str | None, last: int, *, as_json: bool) -> int:
    """The last failures and retries, newest first."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        answer = client.failures(last)
    if as_json:
        return _print_json(answer)
    lines = [failure_line(each) for each in printable(answer["stories"])]
    typer.echo("\n".join(lines) or "No failure or retry is remembered.")
    return 0


def story_lines(story: StoryAnswer) -> list[str]:
    """One request's story."""
    url = f"{story['method']} {story['host']}{story['path']}".strip() or "what was not a request"
    lines = [
        f"Request {story['request_id']}",
        _line("asked", f"{url}, by {story['client']}"),
        _line("answered", f"{_outcome(story)} after {_ms(story['duration_ms'])}, at {_time(story)} UTC"),
        _line("worker", str(story["worker"])),
    ]
    if story["route"]:
        origin = story["route_origin"] or "not in force any more"
        lines += [
            _line("route", f"{story['route']} to service {story['service']} ({origin})"),
            _line("", f"because {story['route_why']}"),
        ]
    if story["balance"]:
        count = story["candidates"]
        could = f"{count} {'instance' if count == 1 else 'instances'} could be picked"
        lines.append(_line("pick", f"{could}, {story['balance']}: {story['pick']}"))
    skipped = story["attempts_made"] - len(story["attempts"])
    if skipped:
        lines.append(_line("", f"{skipped} earlier attempts are not kept"))
    for number, attempt in enumerate(story["attempts"], skipped + 1):
        lines.append(_line(f"attempt {number}", attempt_words(attempt)))
    if story["reason"]:
        lines.append(_line("reason", story["reason"] + (f": {story['detail']}" if story["detail"] else "")))
    if story["meaning"]:
        lines += [_line("meaning", story["meaning"]), _line("what to do", story["advice"])]
    return lines


def attempt_words(attempt: AttemptAnswer) -> str:
    """One attempt: where, when, how it went."""
    words = f"{attempt['instance']}, begun at {_ms(attempt['at_ms'])}"
    if attempt["reused"]:
        words += " on a pooled connection"
    elif attempt["connect_ms"] is not None:
        words += f", connected in {_ms(attempt['connect_ms'])}"
    if attempt["head_ms"] is not None:
        words += f", answered {attempt['status']} after {_ms(attempt['head_ms'])}"
    if attempt["reason"]:
        words += f", {attempt['reason']} after {_ms(attempt['duration_ms'])}"
        words += f" ({attempt['detail']})" if attempt["detail"] else ""
    else:
        words += f", whole after {_ms(attempt['duration_ms'])}"
    if attempt["stale"]:
        words += "; the connection was stale, which says nothing of the instance"
    if attempt["now"] != "eligible":
        words += f"; the instance is {attempt['now'].replace('_', ' ')} now"
    return words


def failure_line(story: StoryAnswer) -> str:
    """A request that failed or was retried, in one line."""
    asked = f"{story['method']} {story['host']}{story['path']}".strip() or "-"
    tried = ", ".join(f"{each['instance']} {each['outcome']}" for each in story["attempts"]) or "no attempt"
    return f"{_time(story)}  {_outcome(story)}  {_ms(story['duration_ms'])}  {asked}  [{tried}]  {story['request_id']}"


def _outcome(story: StoryAnswer) -> str:
    return f"{story['status']} {story['reason']}".strip()


def _time(story: StoryAnswer) -> str:
    return story["time"].replace("T", " ").removesuffix("Z")


def _ms(milliseconds: float) -> str:
    return duration(milliseconds / 1000)


def _line(name: str, words: str) -> str:
    return f"  {name:<{_INDENT}}{words}"


def _print_json(answer: StoriesAnswer) -> int:
    typer.echo(json.dumps(answer, indent=2))
    return 0

"""The page of all reasons: `python -m gateway.admin.troubleshooting > docs/troubleshooting.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from gateway.admin.reasons import MEANINGS
from gateway.errors import Reason, Retry, Side

_INTRO: Final = """\
# Troubleshooting

<!-- Written by `python -m gateway.admin.troubleshooting`; change gateway/admin, not this page. -->

Every answer that is the gateway's own, and every attempt that failed, has a **reason**: one word, the same in the
body of the error (`reason`), the access log, traces and [`gw why`](why.md), and of attempts in
`gw_upstream_attempts_total{outcome}`. This page says what each means and what to do. For one request,
`gw why REQUEST_ID` says it with instance, times and detail.

Answers of an instance itself have no reason here, whatever their status: `gw` passes them on.
"""
_SIDES: Final = {
    Side.DOWN: ("Clients", "What a client sent, or did not. Nothing of a refused request reaches an instance."),
    Side.UP: (
        "Instances",
        "An attempt on an instance failed. If another one succeeds, only the attempt has the reason.",
    ),
    Side.OWN: ("The gateway", "What the gateway could not do, or was told not to."),
}
_RETRIES: Final = {
    Retry.NO: "never",
    Retry.ANY: "yes, whatever the method: nothing of the request was sent",
    Retry.IDEMPOTENT: "if the method is idempotent",
}


def render() -> str:
    """The page."""
    return "\n".join(_page())


def _page() -> Iterator[str]:
    yield _INTRO
    for side, (heading, sentence) in _SIDES.items():
        yield f"## {heading}\n\n{sentence}\n"
        for reason in Reason:
            if reason.side is side:
                yield from _reason(reason)


def _reason(reason: Reason) -> Iterator[str]:
    meaning = MEANINGS[reason]
    yield f"### `{reason.slug}`: {reason.status}\n"
    yield f"- **Cause**: {meaning.cause}"
    yield f"- **Cure**: {meaning.cure}"
    if reason.side is Side.UP:
        yield f"- **Repeated on another instance**: {_RETRIES[reason.retry]}."
    yield f"- **The client reads**: {reason.sentence}\n"


if __name__ == "__main__":
    sys.stdout.write(render())

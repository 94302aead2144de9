"""May a failed attempt be repeated? The whole rule, in one pure function.

RFC 9110 9.2.2: a proxy must not repeat a request whose method is not idempotent, unless it knows
that the instance never acted on it. Once a byte of the response has been forwarded nothing can be
repeated; the caller asks only before that.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import Reason, Retry

# RFC 9110 9.2.2; TRACE and OPTIONS are safe (9.2.1) and so idempotent.
IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))


def may_repeat(reason: Reason, method: bytes, *, replayable: bool) -> bool:
    """May the request be sent again, as far as its meaning goes? (Count and budget are asked elsewhere.)

    replayable: every byte of the body sent so far is still at hand.
    """
    if not replayable or reason.retry is Retry.NO:
        return False
    return reason.retry is Retry.ANY or method in IDEMPOTENT

"""What can go wrong with a connection, in plain words, and whose fault it is."""

from __future__ import annotations

import errno

from healthcheck.conversation import Kind, Outcome

_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.ECONNABORTED: "connection reset",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "connection timed out",
}

# What this machine lacks, whatever the instance does.
_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
_REFUSALS = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM})

REFUSED = Outcome(ok=False, text="connection refused", kind=Kind.REFUSAL)


def outcome_of(number: int, strerror: str) -> Outcome:
    """The outcome of a probe that ended in the error `number` (errno); `strerror` is for those without own words."""
    text = _WORDS.get(number) or strerror.lower()
    if number in _OWN:
        return Outcome(ok=False, text=f"not sent: {text} on the gateway's machine", kind=Kind.NOT_SENT)
    return Outcome(ok=False, text=text, kind=Kind.REFUSAL if number in _REFUSALS else Kind.BREAK)


def timed_out(timeout: float) -> Outcome:
    """No outcome came within `timeout` seconds."""
    return Outcome(ok=False, text=f"timed out after {float(timeout)} s", kind=Kind.BREAK)

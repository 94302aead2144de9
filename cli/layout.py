"""Words and numbers as people read them, and texts that cannot steer a terminal. Pure; no rich here."""

from __future__ import annotations

from typing import TypeVar, cast

from gateway.admin.words import age, duration, long_age, plain, rate, seconds_between, size, words

__all__ = ["age", "duration", "long_age", "printable", "rate", "seconds_between", "size", "words"]

T = TypeVar("T")


def printable(value: T) -> T:
    """`value`, a tree of lists and dicts, without the control characters that could steer a terminal.

    Texts come from Consul and from instances' own answers, so from people who are not the operator.
    """
    if isinstance(value, str):
        return cast("T", plain(value))
    if isinstance(value, dict):
        return cast("T", {key: printable(each) for key, each in value.items()})
    if isinstance(value, list):
        return cast("T", [printable(each) for each in value])
    return value

"""How a call to Consul fails: three kinds, by what may help."""

from __future__ import annotations


class ConsulError(Exception):
    """A call that failed; the text is a sentence fit for status and log."""


class Unreachable(ConsulError):
    """No usable answer: no connection, a timeout, a server error, or something that is not Consul.

    `crowded` says that waiting longer is the right answer: Consul closed a new connection without a
    word, or said 429, as it does past limits.http_max_conns_per_client (200 per address).
    """

    def __init__(self, sentence: str, *, crowded: bool = False) -> None:
        super().__init__(sentence)
        self.crowded = crowded


class Forbidden(ConsulError):
    """There is no usable token, it is unknown, or it may not do this (401, 403)."""


class Rejected(ConsulError):
    """Consul understood and refuses (any other 4xx): asking again will not help."""

"""One TCP probe: does the address accept a connection, and, if asked to, does it answer what is expected?"""

from __future__ import annotations

from discovery.settings import HealthSettings
from healthcheck.conversation import Kind, Outcome

ANSWER_BYTES = 64 * 1024  # what is expected must be within these
_SHOWN = 40  # bytes of a wrong answer


class TcpConversation:
    """`send` goes out, `expect` must come anywhere in what the instance says; either may be empty."""

    __slots__ = ("_expect", "_received", "_send", "outcome")

    def __init__(self, settings: HealthSettings) -> None:
        self.outcome: Outcome | None = None
        self._send = settings.send.encode()
        self._expect = settings.expect.encode()
        self._received = b""

    def open(self) -> bytes:
        if not self._expect:
            self.outcome = Outcome(ok=True, text="connected", kind=Kind.ANSWER)
        return self._send

    def receive(self, data: bytes) -> bytes:
        self._received += data
        if self._expect in self._received:
            self.outcome = Outcome(ok=True, text="answered as expected", kind=Kind.ANSWER)
        elif len(self._received) > ANSWER_BYTES:
            self._lack(f"not in its first {ANSWER_BYTES // 1024} KiB")
        return b""

    def end(self) -> None:
        if self._received:
            self._lack(f"it sent {self._received[:_SHOWN].decode('utf-8', 'replace')!r} and closed")
        else:
            self.outcome = Outcome(ok=False, text="closed without an answer", kind=Kind.BREAK)

    def _lack(self, instead: str) -> None:
        note = f", but not {self._expect.decode()!r}: {instead}"
        self.outcome = Outcome(ok=False, text="answered", kind=Kind.ANSWER, note=note)

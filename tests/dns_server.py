"""A real DNS server for tests: UDP on a free port of loopback, answering from a zone that tests change.

with DnsServer() as dns:
    dns.set("web.test", "A", "127.0.0.1", "127.0.0.2", ttl=1)
    dns.set("_http._tcp.test", "SRV", "0 5 8080 web.test.")
    dns.remove("web.test")          # NXDOMAIN from now on
    dns.mode = "servfail"           # or "silent", or "" for answers
    ... dns.address ...
"""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Literal, Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Mode = Literal["", "servfail", "silent"]


class DnsServer:
    """One server; a context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._zone: dict[tuple[str, str], dns.rrset.RRset] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.mode: Mode = ""
        self.questions: list[tuple[str, str]] = []  # name, type
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", self._socket.getsockname())  # wakes the thread up, and ends it
        self._thread.join(10)
        self._socket.close()

    def set(self, name: str, kind: str, *values: str, ttl: int = 0) -> None:
        """All records of a name and type."""
        with self._lock:
            self._zone[name, kind] = dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *values)

    def remove(self, name: str) -> None:
        """No such name any more."""
        with self._lock:
            self._zone = {key: records for key, records in self._zone.items() if key[0] != name}

    def _serve(self) -> None:
        while True:
            wire, peer = self._socket.recvfrom(65535)
            if not wire:
                return
            answer = self._answer(dns.message.from_wire(wire))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), peer)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        with self._lock:
            self.questions.append((name, kind))
            response = dns.message.make_response(query)
            response.flags |= dns.flags.AA
            if self.mode == "silent":
                return None
            if self.mode == "servfail":
                response.set_rcode(dns.rcode.SERVFAIL)
            elif (name, kind) in self._zone:
                response.answer.append(self._zone[name, kind])
            elif not any(known == name for known, _ in self._zone):
                response.set_rcode(dns.rcode.NXDOMAIN)
            return response

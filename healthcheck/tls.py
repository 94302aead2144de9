"""TLS around a conversation, by memory BIOs: no socket, no task.

A probe always makes the whole handshake: a resumed session is not verified again, and an expired certificate is a
thing that a probe is there to find.
"""

from __future__ import annotations

import ssl
from functools import cache

from discovery.settings import HealthSettings, ProbeType
from healthcheck.conversation import Conversation, Kind, Outcome

_READ_BYTES = 16 * 1024  # the largest record


class TlsConversation:
    """The inner conversation begins when the handshake is done; what it needs no outcome for is said here."""

    __slots__ = ("_incoming", "_inner", "_is_secured", "_outgoing", "_tls", "outcome")

    def __init__(self, context: ssl.SSLContext, server_name: str | None, inner: Conversation) -> None:
        self.outcome: Outcome | None = None
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._is_secured = False

    def open(self) -> bytes:
        return self._step()

    def receive(self, data: bytes) -> bytes:
        self._incoming.write(data)
        return self._step()

    def end(self) -> None:
        self._incoming.write_eof()
        self._step()
        if self.outcome is None:
            self.outcome = Outcome(ok=False, text="closed during the TLS handshake", kind=Kind.BREAK)

    def _step(self) -> bytes:
        try:
            if not self._is_secured:
                self._tls.do_handshake()
                self._is_secured = True
                self._write(self._inner.open())
            while self._inner.outcome is None:
                data = self._tls.read(_READ_BYTES)
                if data:
                    self._write(self._inner.receive(data))
                else:
                    self._inner.end()
        except ssl.SSLWantReadError:
            pass  # more has to arrive first
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            if self._is_secured:
                self._inner.end()
        except ssl.SSLCertVerificationError as error:
            text = f"certificate not accepted: {error.verify_message.rstrip('.')}"
            self.outcome = Outcome(ok=False, text=text, kind=Kind.REFUSAL)
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).replace("_", " ").lower()
            self.outcome = Outcome(ok=False, text=f"TLS failed: {reason}", kind=Kind.BREAK)
        self.outcome = self.outcome or self._inner.outcome
        return self._outgoing.read()

    def _write(self, data: bytes) -> None:
        if data:
            self._tls.write(data)


def tls_context(settings: HealthSettings) -> ssl.SSLContext:
    """The context of a probe, shared by all with the same settings. Raises OSError for a file that is no help."""
    return _context(settings.type, settings.tls_verify, settings.tls_ca_file)


@cache
def _context(kind: ProbeType, verifies: bool, ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file or None)
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if kind is ProbeType.HTTP:
        context.set_alpn_protocols(["http/1.1"])
    elif kind is ProbeType.GRPC:
        context.set_alpn_protocols(["h2"])
    return context

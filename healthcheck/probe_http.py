"""One HTTP probe: ask for a path, judge status and body, say in plain words what happened.

The body is read to its end, at most 64 KiB of it, so that an instance that breaks off in the middle of its answer is
not taken as well. A status that is not expected decides at once. Redirects are an answer like any other and are not
followed; nothing of the environment (proxies, credentials) is used.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata

import httptools

from discovery.settings import HealthSettings, StatusRanges
from healthcheck.conversation import Kind, Outcome

BODY_BYTES = 64 * 1024  # more of a body than this is not read
HEAD_BYTES = 64 * 1024  # a longer response head is refused

_HAS_BODY = frozenset({"POST", "PUT", "PATCH"})


class HttpQuestion:
    """What every probe of one target asks; the request is built once. Call it for a conversation."""

    __slots__ = ("contains", "expected", "is_head", "pattern", "request", "wants_body")

    def __init__(self, authority: str, settings: HealthSettings) -> None:
        """`authority`: host:port of the Host field, unless the settings have another host."""
        self.request = _request(settings.host or authority, settings)
        self.expected: StatusRanges = settings.expected_status
        self.is_head = settings.method == "HEAD"
        self.contains = settings.body_contains.encode()
        self.pattern = re.compile(settings.body_regex.encode()) if settings.body_regex else None
        self.wants_body = bool(self.contains or self.pattern) and not self.is_head

    def __call__(self) -> HttpConversation:
        return HttpConversation(self)

    def expects(self, status: int) -> bool:
        """Whether the status is one of a success."""
        return any(low <= status <= high for low, high in self.expected)

    def lacks(self, body: bytes) -> str:
        """What is missing in the body, as a person says it; nothing if nothing is."""
        if self.contains not in body:
            return f", but its body lacks {self.contains.decode()!r}"
        if self.pattern is not None and not self.pattern.search(body):
            return f", but its body does not match {self.pattern.pattern.decode()!r}"
        return ""


class HttpConversation:
    """One request and its response. The parser calls the `on_` methods."""

    __slots__ = (
        "_body",
        "_head_bytes",
        "_is_framed",
        "_is_over",
        "_parser",
        "_question",
        "_read",
        "_status",
        "outcome",
    )

    def __init__(self, question: HttpQuestion) -> None:
        self.outcome: Outcome | None = None
        self._question = question
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0  # of the final response, once its head is there
        self._head_bytes = b""  # for the words, until there is a head
        self._is_framed = False  # the response says how long its body is
        self._is_over = False  # nothing more of the response matters
        self._body = bytearray()
        self._read = 0

    def open(self) -> bytes:
        return self._question.request

    def receive(self, data: bytes) -> bytes:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_over = True  # 101 to somebody who did not ask, or whatever follows the answer
        except httptools.HttpParserError:
            if not self._is_over:
                self._break(f"{self._status}, but its body is malformed" if self._status else "not HTTP")
                return b""
        if self._is_over:
            self._judge()
        elif not self._status:
            self._head_bytes += data
            if len(self._head_bytes) > HEAD_BYTES:
                self._break(f"not HTTP: a head of more than {HEAD_BYTES // 1024} KiB")
        return b""

    def end(self) -> None:
        if self._status and not self._is_framed:
            self._judge()
        elif self._status:
            self._break(f"{self._status}, but its body broke off")
        elif not self._head_bytes:
            self._break("closed without an answer")
        else:
            self._break("broke off in the head" if self._head_bytes.startswith(b"HTTP/") else "not HTTP")

    # --- what the parser finds ---------------------------------------------------------------
    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"content-length" or (lower == b"transfer-encoding" and value.lower().endswith(b"chunked")):
            self._is_framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._is_framed = False  # an interim response: the next head counts
            return
        self._status = status
        self._is_over = self._question.is_head or not self._question.expects(status)

    def on_body(self, body: bytes) -> None:
        self._read += len(body)
        if self._question.wants_body:
            self._body += body[: BODY_BYTES - len(self._body)]
        if self._read >= BODY_BYTES:
            self._is_over = True

    def on_message_complete(self) -> None:
        if self._status:
            self._is_over = True

    # --- outcomes ----------------------------------------------------------------------------
    def _judge(self) -> None:
        status, question = self._status or self._parser.get_status_code(), self._question
        ok, note = question.expects(status), ""
        if ok and question.wants_body:
            note = question.lacks(bytes(self._body))
            ok = not note
        self.outcome = Outcome(ok, str(status), Kind.ANSWER, note)

    def _break(self, text: str) -> None:
        self.outcome = Outcome(ok=False, text=text, kind=Kind.BREAK)


def _request(host: str, settings: HealthSettings) -> bytes:
    fields = {"User-Agent": f"gw-health/{version()}", "Accept": "*/*"}
    given = {name.lower() for name, _ in settings.headers}
    lines = [f"{settings.method} {settings.path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in fields.items() if name.lower() not in given]
    lines += [f"{name}: {value}" for name, value in settings.headers]
    if settings.method in _HAS_BODY:
        lines.append("Content-Length: 0")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("ascii")


@cache
def version() -> str:
    """The gateway's own version."""
    try:
        return metadata.version("gw")
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "source"

"""The grammar of HTTP/1.1 as regular expressions, each under the production it implements.

Every repetition is possessive (`*+`, `++`), so matching is linear whatever the input. Where a
pattern is stricter than its RFC, the comment says so and why. A pattern called ..._START fully
matches what can still become the production once more bytes come.
"""

from __future__ import annotations

import re
from typing import Final


def _start(*parts: bytes) -> bytes:
    """A pattern for every beginning of the sequence of `parts`, the empty one included."""
    pattern = b""
    for part in reversed(parts):
        pattern = rb"(?:" + part + pattern + rb")?"
    return pattern


# RFC 9110 5.6.2:  token = 1*tchar
TCHAR: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
TOKEN: Final = re.compile(TCHAR + rb"++")

# RFC 9112 3:  request-line = method SP request-target SP HTTP-version
# The target is one or more visible ASCII characters. "#" is refused: a fragment is never sent (RFC
# 9110 7.1), and what cuts the path at it differs between implementations.
_TARGET: Final = rb"[\x21\x22\x24-\x7e]++"
REQUEST_LINE: Final = re.compile(rb"(" + TCHAR + rb"++) (" + _TARGET + rb") HTTP/1\.([01])\r\n")

# What a request line of another version looks like, to answer 505 rather than 400.
OTHER_VERSION: Final = re.compile(TCHAR + rb"++ " + _TARGET + rb" HTTP/[0-9](?:\.[0-9])?\r\n")

# The beginning of a request line of any version, or of the empty line that may precede it (RFC 9112 2.2).
_HTTP: Final = (rb"H", rb"T", rb"T", rb"P", rb"/")
_DIGITS: Final = rb"[0-9](?:\.[0-9]?)?"
REQUEST_LINE_START: Final = re.compile(rb"\r|" + _start(TCHAR + rb"++", rb" ", _TARGET, rb" ", *_HTTP, _DIGITS, rb"\r"))

# RFC 9112 4:  status-line = HTTP-version SP status-code SP [ reason-phrase ]
# The SP after the code may be missing when there is no reason phrase: many servers leave it out.
# The reason phrase may hold HTAB, SP, VCHAR and obs-text (RFC 9112 4).
STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n")
STATUS_LINE_START: Final = re.compile(
    _start(
        *_HTTP,
        *(rb"1", rb"\.", rb"[01]", rb" ", rb"[1-5]", rb"[0-9]", rb"[0-9]"),
        rb"(?: [\t\x20-\x7e\x80-\xff]*+)?",
        rb"\r",
    )
)

# RFC 9112 5:  field-line = field-name ":" OWS field-value OWS;   RFC 9110 5.5: field-value
# All lines of a head, without the empty line that ends it. obs-fold is not matched (RFC 9112 5.2),
# nor is white space before the colon (RFC 9112 5.1) or any control byte but HTAB.
FIELD_LINES: Final = re.compile(rb"(?:" + TCHAR + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+")

# What may follow complete lines: the next line's beginning, or that of the empty line at the end.
FIELD_LINE_START: Final = re.compile(rb"\r|" + _start(TCHAR + rb"++", rb":[\t\x20-\x7e\x80-\xff]*+", rb"\r"))

# One field line, taken apart; used where every field matters (trailers, tests), never per request.
FIELD_LINE: Final = re.compile(rb"(" + TCHAR + rb"++):[\t ]*+([\t\x20-\x7e\x80-\xff]*+)\r\n")

# RFC 9110 7.2 and RFC 3986 3.2.2, 3.2.3:  Host = uri-host [ ":" port ], never empty here: an http URI
# needs a host (RFC 9110 4.2.1). Group 1 is a name or an IPv4 address, group 2 what is between the brackets
# of an IP literal (IPv6 only; that it is an address, the caller checks). The port is at most 65535. White
# space at the end is that of the field line.
_NAME: Final = rb"[A-Za-z0-9\-._~!$&'()*+,;=]"
HOST: Final = re.compile(
    rb"(?:(" + _NAME + rb"++|(?:" + _NAME + rb"|%[0-9A-Fa-f]{2})++)|\[([0-9A-Fa-f:.]++)\])"
    rb"(?::(?:[0-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]|[0-9]{0,4}))?[\t ]*+"
)

# RFC 9110 7.8:  protocol = protocol-name ["/" protocol-version]
PROTOCOL: Final = re.compile(TCHAR + rb"++(?:/" + TCHAR + rb"++)?")

# RFC 9110 8.6:  Content-Length = 1*DIGIT. At most 18 digits, so that it fits in 63 bits everywhere.
CONTENT_LENGTH_DIGITS: Final = 18  # bytes.isdigit() is the DIGIT of RFC 5234: ASCII alone, never empty

# RFC 9112 7.1:  chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
# At most 15 hex digits; leading zeros count. Extensions are understood only to be dropped; they must
# be what the grammar says all the same: bytes read in two ways hide requests. Stricter: no white space
# between the size and ";", where parsers differ on whether it ends the number.
CHUNK_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15}+)(?![ \t])(?:[ \t]*+;[ \t]*+"
    + TCHAR
    + rb"++(?:[ \t]*+=[ \t]*+(?:"
    + TCHAR
    + rb'++|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"))?)*+\r\n'
)
CHUNK_LINE_START: Final = re.compile(_start(rb"[0-9A-Fa-f]{1,15}+", rb"(?:;[\t\x20-\x7e\x80-\xff]*+)?", rb"\r"))

# A request id from a client that is fit to be logged and passed on.
SANE_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9\-._~:/+=@]{1,128}+")

# W3C Trace Context level 1, 3.2: version 00, 55 characters (4.3: of a later version as much as 00 has is read, if
# nothing follows it or something set off by a dash).
TRACEPARENT: Final = re.compile(
    rb"(?:(?=00.{53}\Z)|(?!00|ff)(?=.{55}(?:-|\Z)))[0-9a-f]{2}"
    rb"-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
)

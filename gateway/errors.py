"""Every way an exchange can fail: its reason slug, whose fault, the status, and whether to try again.

The slug is the same in the problem+json body, the access log, metrics and `gw why`. `side` says
who caused it (Pingora's error sources); `retry` says what a retry policy may conclude from it.
"""

from __future__ import annotations

from enum import Enum


class Side(Enum):
    """Who caused an error."""

    DOWN = "downstream"
    UP = "upstream"
    OWN = "gateway"


class Retry(Enum):
    """May the attempt be repeated on another instance?"""

    NO = "no"
    ANY = "any"  # no byte of the request can have been acted on: any method
    IDEMPOTENT = "idempotent"  # the request may have been acted on: idempotent methods only


class Reason(Enum):
    """slug, status, side, retry, and the sentence a client reads (never an inside detail)."""

    MALFORMED_REQUEST = ("malformed_request", 400, Side.DOWN, Retry.NO, "The request is malformed.")
    BAD_PROXY_HEADER = (
        "bad_proxy_header", 400, Side.DOWN, Retry.NO, "The PROXY protocol header is missing or malformed.",
    )  # fmt: skip
    BAD_HOST = ("bad_host", 400, Side.DOWN, Retry.NO, "The Host header field is missing, repeated or malformed.")
    AMBIGUOUS_LENGTH = ("ambiguous_length", 400, Side.DOWN, Retry.NO, "The length of the request body is ambiguous.")
    NO_ROUTE = ("no_route", 404, Side.DOWN, Retry.NO, "No route matches this request.")
    ACCESS_DENIED = ("access_denied", 403, Side.DOWN, Retry.NO, "This client is not allowed here.")
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405, Side.DOWN, Retry.NO, "This route does not allow the method.")
    HEADER_TIMEOUT = ("header_timeout", 408, Side.DOWN, Retry.NO, "The request head did not arrive in time.")
    BODY_TIMEOUT = ("body_timeout", 408, Side.DOWN, Retry.NO, "The request body did not arrive in time.")
    BODY_TOO_LARGE = ("body_too_large", 413, Side.DOWN, Retry.NO, "The request body is larger than allowed.")
    TARGET_TOO_LONG = ("target_too_long", 414, Side.DOWN, Retry.NO, "The request target is longer than allowed.")
    HEADER_TOO_LARGE = ("header_too_large", 431, Side.DOWN, Retry.NO, "The request head is larger than allowed.")
    CLIENT_CLOSED = ("client_closed", 499, Side.DOWN, Retry.NO, "The client closed the connection.")
    TRANSFER_CODING = (
        "transfer_coding_not_supported", 501, Side.DOWN, Retry.NO, "The transfer coding is not supported.",
    )  # fmt: skip
    VERSION = ("version_not_supported", 505, Side.DOWN, Retry.NO, "The HTTP version is not supported.")

    CONNECT_REFUSED = ("connect_refused", 502, Side.UP, Retry.ANY, "The service could not be reached.")
    CONNECT_FAILED = ("connect_failed", 502, Side.UP, Retry.ANY, "The service could not be reached.")
    CONNECT_TIMEOUT = ("connect_timeout", 504, Side.UP, Retry.ANY, "The service could not be reached in time.")
    UPSTREAM_RESET = ("upstream_reset", 502, Side.UP, Retry.IDEMPOTENT, "The service closed the connection.")
    RESPONSE_TIMEOUT = ("response_timeout", 504, Side.UP, Retry.IDEMPOTENT, "The service did not answer in time.")
    BAD_RESPONSE = ("bad_response", 502, Side.UP, Retry.NO, "The service gave no usable answer.")
    RESPONSE_TRUNCATED = ("response_truncated", 502, Side.UP, Retry.NO, "The service's answer ended too soon.")
    STREAM_IDLE_TIMEOUT = ("stream_idle_timeout", 504, Side.UP, Retry.NO, "The stream was idle for too long.")

    NO_HEALTHY_INSTANCE = (
        "no_healthy_instance", 503, Side.OWN, Retry.NO, "No healthy instance of the service is available.",
    )  # fmt: skip
    OVERLOADED = ("overloaded", 503, Side.OWN, Retry.NO, "The gateway or the service is at its limit.")
    CONNECTION_LIMIT = ("connection_limit", 503, Side.OWN, Retry.NO, "The gateway is at its limit of connections.")
    INTERNAL = ("internal_error", 500, Side.OWN, Retry.NO, "The gateway failed.")

    def __init__(self, slug: str, status: int, side: Side, retry: Retry, sentence: str) -> None:
        self.slug = slug
        self.status = status
        self.side = side
        self.retry = retry
        self.sentence = sentence


class GatewayError(Exception):
    """A failure with a reason; `detail` is for the log and never reaches a client."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.slug}: {detail}" if detail else reason.slug)
        self.reason = reason
        self.detail = detail

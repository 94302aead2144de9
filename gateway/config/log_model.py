"""The schema of [log]: the gateway's own log and the access log."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from gateway.config import values
from gateway.config.kinds import Kind, Section, distinct, word

# What a line of the access log can say; `gateway/worker/access_fields.py` knows how.
ACCESS_FIELDS: Final = (
    "time", "request_id", "trace_id", "client", "peer", "method", "protocol", "host", "target", "path", "user_agent",
    "referer", "status", "reason", "detail", "bytes_in", "bytes_out", "duration_ms", "upstream_ms", "connect_ms",
    "attempts", "tries", "instance", "service", "route", "worker",
)  # fmt: skip


class LogConfig(Section):
    """The gateway's own log (standard error) and the access log."""

    level: Annotated[str, word("debug", "info", "warning", "error", warn="warning")] = Field(
        default="info", description="Least level of the gateway's own log. Environment: `LOG_LEVEL`."
    )
    format: Annotated[str, word("json", "console")] = Field(
        default="json", description="JSON lines, or lines for people."
    )
    access: Annotated[str, AfterValidator(values.check_log_target), Kind("string")] = Field(
        default="stdout",
        description='The access log: a path, "stdout" or "off". `client` is the one behind trusted proxies.',
    )
    access_format: Annotated[str, word("auto", "json", "combined", "console")] = Field(
        default="auto",
        description="Lines of the access log: JSON, the Combined Log Format of nginx and Apache, or lines for people; "
        "`auto` is as `format`.",
    )
    access_fields: Annotated[
        tuple[Annotated[str, word(*ACCESS_FIELDS)], ...], AfterValidator(distinct), Kind("list of fields")
    ] = Field(
        default=(),
        strict=False,
        description="Fields of a JSON line, in this order, out of those in [access-log.md](access-log.md). Empty: the "
        "usual ones.",
    )

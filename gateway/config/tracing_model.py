"""The schema of [tracing]: which requests are traced, and where their spans go."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from gateway.config.kinds import FieldName, FieldValue, Flag, Kind, OptionalName, Section, Share, Text, distinct_fields

PACKAGES: Final = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
_ENDPOINT: Final = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


def check_endpoint(text: str) -> str:
    """The URL of an OTLP receiver, or "". What exports to it must be installed."""
    if not text:
        return text
    match = _ENDPOINT.fullmatch(text)
    if match is None:
        raise ValueError("must be an http:// or https:// URL, such as http://127.0.0.1:4318/v1/traces")
    if match[1] in (None, "/"):
        raise ValueError(f"must have the whole path; write {text.rstrip('/')}/v1/traces")
    try:
        for package in PACKAGES:
            version(package)
    except PackageNotFoundError as error:
        raise ValueError(f"needs {error.name}, which is not installed: pip install 'gw[tracing]'") from None
    return text


class TracingConfig(Section):
    """Distributed tracing with OpenTelemetry; see [tracing.md](tracing.md)."""

    endpoint: Annotated[str, AfterValidator(check_endpoint), Kind("URL")] = Field(
        default="",
        description="Where spans are sent, by OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`. Empty: "
        "nothing is recorded. Needs `pip install 'gw[tracing]'`.",
    )
    sample: Share = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of the traces begun here that are sampled: recorded, and marked so for the services behind. "
        "For a trace that comes with the request, its caller has decided.",
    )
    b3: Flag = Field(
        default=False,
        description="Take part in traces that come in `b3` or `X-B3-...` fields as well, where there is no valid "
        "`traceparent`.",
    )
    headers: Annotated[dict[FieldName, FieldValue], AfterValidator(distinct_fields), Kind("table of strings")] = Field(
        default_factory=dict, description="Header fields sent with the spans, such as an API key; never shown."
    )
    service_name: OptionalName = Field(default="", description="`service.name` of the spans. Empty: `gateway.name`.")
    attributes: Annotated[dict[str, Text], Kind("table of strings")] = Field(
        default_factory=dict,
        description="More about this gateway, as resource attributes of the spans: "
        '`{ "deployment.environment.name" = "production" }`.',
    )

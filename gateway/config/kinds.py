"""What values of the configuration are made of: their types with their checks, and what all tables have in common.

An `Untyped` string (a whole value taken from the environment, or a tag) may become the number or boolean that is asked
for: that is what the `to_*` functions before the types do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.config import probe_values, values


@dataclass(frozen=True, slots=True)
class Kind:
    """What the reference calls a value's type."""

    name: str


Whole = Annotated[int, BeforeValidator(values.to_integer), Kind("integer")]
Seconds = Annotated[float, BeforeValidator(values.to_number), Field(allow_inf_nan=False), Kind("seconds")]
Share = Annotated[float, BeforeValidator(values.to_number), Field(allow_inf_nan=False), Kind("number")]
Flag = Annotated[bool, BeforeValidator(values.to_boolean), Kind("boolean")]
Text = Annotated[str, Kind("string")]
Name = Annotated[str, AfterValidator(values.check_name), Kind("name")]
GatewayName = Annotated[str, AfterValidator(values.check_gateway_name), Kind("name")]
Bind = Annotated[str, AfterValidator(values.check_bind), Kind("HOST:PORT")]
Network = Annotated[str, AfterValidator(values.check_network), Kind("CIDR")]
InstanceUrl = Annotated[str, AfterValidator(values.check_instance_url), Kind("http:// URL")]
OptionalName = Annotated[str, AfterValidator(lambda text: text and values.check_name(text)), Kind("name")]
OptionalUrl = Annotated[str, AfterValidator(lambda text: text and values.check_instance_url(text)), Kind("http:// URL")]
ConsulAddress = Annotated[str, AfterValidator(values.check_consul_address), Kind("URL")]
Datacenter = Annotated[str, AfterValidator(lambda text: text and values.check_datacenter(text)), Kind("name")]
Method = Annotated[str, AfterValidator(values.check_method), Kind("method")]
FieldName = Annotated[str, AfterValidator(values.check_field_name)]
FieldValue = Annotated[str, AfterValidator(values.check_field_value)]


StatusRanges = Annotated[
    tuple[tuple[int, int], ...], BeforeValidator(probe_values.to_status_ranges), Kind("[low, high] or list of strings")
]


def word(*words: str, **aliases: str) -> AfterValidator:
    """One of a few words."""
    return AfterValidator(values.OneOf(words, aliases))


def distinct(items: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(items)) < len(items):
        raise ValueError("must not name anything twice")
    return items


def distinct_fields(fields: dict[str, str]) -> dict[str, str]:
    if len({name.lower() for name in fields}) < len(fields):
        raise ValueError("must not name a field twice (case does not count)")
    return fields


def usable_cpus() -> int:
    """The CPUs this process may use."""
    return len(os.sched_getaffinity(0))


class Section(BaseModel):
    """What all tables of the file have in common."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

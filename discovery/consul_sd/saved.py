"""What Consul last said, as a file's body: everything a gateway needs to go on after a restart without Consul.

Of thousands of instances few change between two bodies, so each service keeps how it is written. To write all anew
took 35 ms in one piece, in which no other thread of the process could run.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from discovery.cachefile import CacheError
from discovery.consul_sd.decode import Registration
from discovery.source import TaggedService


@dataclass(frozen=True)
class SavedService:
    """One service that was watched."""

    registrations: tuple[Registration, ...]
    tagged: TaggedService | None  # what its tags asked for; they outlive the last registration for a while

    @cached_property
    def written(self) -> bytes:
        """As JSON."""
        return _SERVICE.dump_json(self)


@dataclass(frozen=True, slots=True)
class SavedKeys:
    """The entries of the KV that were in force."""

    prefix: str
    entries: Mapping[str, str]  # values in base64, as they are bytes

    @staticmethod
    def of(prefix: str, entries: Iterable[tuple[str, bytes]]) -> SavedKeys:
        return SavedKeys(prefix, {key: b64encode(value).decode() for key, value in entries})

    def decoded(self) -> Mapping[str, bytes]:
        """Raises ValueError for what is not base64."""
        return {key: b64decode(value, validate=True) for key, value in self.entries.items()}


@dataclass(frozen=True, slots=True)
class SavedView:
    """The whole view."""

    address: str  # of the Consul that said so
    datacenter: str
    last_success: float | None  # Unix seconds
    services: Mapping[str, SavedService]  # by Consul's name
    keys: SavedKeys | None = None

    def encode(self) -> bytes:
        """As JSON."""
        others = _ADAPTER.dump_json(self, exclude={"services"})
        services = b",".join(b"%s:%s" % (to_json(name), each.written) for name, each in self.services.items())
        return b'%s,"services":{%s}}' % (others.removesuffix(b"}"), services)


_SERVICE = TypeAdapter(SavedService)
_ADAPTER = TypeAdapter(SavedView)


def decode(body: bytes, address: str, datacenter: str) -> SavedView:
    """The view in a body. Raises CacheError, too if it is another Consul's."""
    try:
        view = _ADAPTER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise CacheError(f"its content is not understood: {place}: {first['msg']}") from error
    if (view.address, view.datacenter) != (address, datacenter):
        whose = view.address + (f", datacenter {view.datacenter}" if view.datacenter else "")
        raise CacheError(f"it holds what another Consul said, {whose}")
    return view

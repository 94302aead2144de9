"""What the catalog has on each node (/v1/catalog/node), to find the services that changed since this was last asked.

With hundreds of services on tens of nodes it costs a tenth of asking for every service. It pauses after every query,
so that a change that a watch tells of meanwhile waits for one of them at the most, here and in Consul.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import trio

from discovery.consul_sd.client import ConsulClient
from discovery.consul_sd.decode import DecodeError

PAUSE = 3.0  # times what the query took

Entries = Mapping[str, tuple[str, int]]  # by service id: its service, and the index of the write that made it so


@dataclass(frozen=True, slots=True)
class _Node:
    text: int  # hash of the answer
    entries: Entries


class NodeServices:
    """What was said of each node last."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}

    def forget(self) -> None:
        """What was said is no measure any more."""
        self._nodes = {}

    async def changes(self, client: ConsulClient, nodes: Collection[str]) -> Mapping[str, int] | None:
        """The services of which an instance came, went or changed, each with the index of the write, or a later one.

        None the first time, and after `forget`. Raises ConsulError and DecodeError; what would have been found is found
        the next time.
        """
        at_first = self._nodes
        known, found = dict(at_first), dict[str, int]()
        newest = 0
        for name in nodes:
            asked = trio.current_time()
            reply = await client.node(name)
            newest = max(newest, reply.index)
            before, text = known.get(name), hash(reply.data)
            if before is None or before.text != text:
                known[name] = after = _Node(text, decode_node(reply.data))
                _note(found, _changed(before.entries if before else {}, after.entries, reply.index))
            if at_first:  # else everything is waiting for this
                await trio.sleep(PAUSE * (trio.current_time() - asked))
        for name in known.keys() - set(nodes):
            _note(found, _changed(known.pop(name).entries, {}, newest))
        if self._nodes is not at_first:
            return None  # forgotten meanwhile
        self._nodes = known
        return found if at_first else None


def decode_node(data: bytes) -> Entries:
    """The JSON of /v1/catalog/node. Raises DecodeError."""
    try:
        services = (json.loads(data) or {}).get("Services") or {}
        return {str(id_): (str(each["Service"]), int(each["ModifyIndex"])) for id_, each in services.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"the answer of /v1/catalog/node is malformed: {type(error).__name__} {error}") from error


def _changed(before: Entries, after: Entries, index: int) -> Iterator[tuple[str, int]]:
    for id_, entry in after.items():
        if before.get(id_) != entry:
            yield entry
    for id_, (service, _) in before.items():
        if id_ not in after or after[id_][0] != service:
            yield service, index  # of a removal the catalog keeps no index


def _note(found: dict[str, int], changes: Iterator[tuple[str, int]]) -> None:
    for service, index in changes:
        found[service] = max(index, found.get(service, 0))

"""What an answer of /v1/health/service and /v1/catalog/services means. Pure.

The gateway asks for all instances, not only passing ones, and judges here, so that status can say
why one is out and warning weights count:

- any critical check means out; a node that is down and maintenance of node or service are such checks;
- a check that has not run yet is critical with an empty output (seen of HTTP and TTL checks of 1.8.7, when registered,
  and after a restart of the agent, which keeps only what TTL checks have reported); `membership` says what follows.
  One registered again after it had run has its old output instead, and cannot be told from one that failed;
- any warning means Consul's warning weight (which may be 0), else the passing weight; no checks: passing;
- the address is the service's, else the node's;
- a service id is unique on one node only: identity is (node, id);
- two registrations of one host:port are one instance, the better standing wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from discovery.model import Instance, Standing

NODE_DOWN = "serfHealth"
NODE_MAINTENANCE = "_node_maintenance"
SERVICE_MAINTENANCE = "_service_maintenance:"
MAX_OUTPUT = 200  # characters of a check's output in a detail

IN_USE = (Standing.PASSING, Standing.WARNING)
_RANK = {Standing.PASSING: 0, Standing.WARNING: 1, Standing.CRITICAL: 2, Standing.MAINTENANCE: 3}


class DecodeError(ValueError):
    """The answer has not the shape of Consul's."""


@dataclass(frozen=True, slots=True)
class Registration:
    """One registration of a service: the instance, and what only its tags' reader wants."""

    node: str
    instance: Instance  # `host` may still be a name
    tags: tuple[str, ...]
    without_unrun: Instance | None = None  # critical only for checks that have not run: as it is without them


def decode_health(data: Any) -> tuple[Registration, ...]:
    """The JSON of /v1/health/service, one Registration an entry, ordered by (id, node).

    Raises DecodeError.
    """
    try:
        registrations = [_registration(entry) for entry in data]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"an entry of /v1/health/service is malformed: {type(error).__name__} {error}") from error
    return tuple(sorted(registrations, key=lambda each: (each.instance.id, each.node)))


def decode_services(data: Any) -> Mapping[str, tuple[str, ...]]:
    """The JSON of /v1/catalog/services: every service with the tags of all its instances, sorted. Raises DecodeError.

    Consul lists them in another order each time, which must not look like a change of the service.
    """
    try:
        return {str(name): tuple(sorted(tags or ())) for name, tags in data.items()}
    except (AttributeError, TypeError) as error:
        raise DecodeError(f"the answer of /v1/catalog/services is malformed: {error}") from error


def decode_nodes(data: Any) -> Mapping[str, str]:
    """The JSON of /v1/catalog/nodes: every node with its address. Raises DecodeError."""
    try:
        return {str(each["Node"]): str(each["Address"]) for each in data}
    except (KeyError, TypeError) as error:
        raise DecodeError(f"the answer of /v1/catalog/nodes is malformed: {type(error).__name__} {error}") from error


def unite(instances: Iterable[Instance]) -> tuple[Instance, ...]:
    """One instance an address: listed beats provisional, then the better standing, then the first."""
    best: dict[str, Instance] = {}
    for each in instances:
        known = best.get(each.address)
        if known is None or _preference(each) < _preference(known):
            best[each.address] = each
    return tuple(best.values())


def _preference(instance: Instance) -> tuple[bool, int]:
    return (instance.provisional, _RANK[instance.standing])


def _registration(entry: Mapping[str, Any]) -> Registration:
    service, node = entry["Service"], entry["Node"]
    checks = entry.get("Checks") or ()
    instance = _instance(service, node, checks)
    without = None
    if instance.standing is Standing.CRITICAL:
        has_run = _instance(service, node, [check for check in checks if not _is_unrun(check)])
        without = has_run if has_run.standing in IN_USE else None
    return Registration(node["Node"], instance, tuple(service.get("Tags") or ()), without)


def _instance(service: Mapping[str, Any], node: Mapping[str, Any], checks: Iterable[Mapping[str, Any]]) -> Instance:
    standing, detail = judge(checks)
    weights = service.get("Weights") or {}
    port = int(service["Port"])
    if port == 0 and standing in IN_USE:
        standing, detail = Standing.CRITICAL, "registered in Consul without a port"
    return Instance(
        host=service.get("Address") or node["Address"],
        port=port,
        weight=int(weights.get("Warning" if standing is Standing.WARNING else "Passing", 1)),
        standing=standing,
        detail=detail,
        id=service["ID"],
        datacenter=node.get("Datacenter") or "",
    )


def _is_unrun(check: Mapping[str, Any]) -> bool:
    return _standing_of(check) is Standing.CRITICAL and check["CheckID"] != NODE_DOWN and not check.get("Output")


def judge(checks: Iterable[Mapping[str, Any]]) -> tuple[Standing, str]:
    """The standing that an instance's checks give it, and why: the worst check, the first of equals."""
    standing, detail = Standing.PASSING, ""
    for check in checks:
        of_check = _standing_of(check)
        if _RANK[of_check] > _RANK[standing]:
            standing, detail = of_check, _detail(check, of_check)
    return standing, detail


def _standing_of(check: Mapping[str, Any]) -> Standing:
    match check["Status"]:
        case "passing":
            return Standing.PASSING
        case "warning":
            return Standing.WARNING
        case _:  # critical, or a word of the future: not known to be well
            name = check["CheckID"]
            in_maintenance = name == NODE_MAINTENANCE or name.startswith(SERVICE_MAINTENANCE)
            return Standing.MAINTENANCE if in_maintenance else Standing.CRITICAL


def _detail(check: Mapping[str, Any], standing: Standing) -> str:
    name, output = check["CheckID"], " ".join((check.get("Output") or "").split())
    if standing is Standing.MAINTENANCE:
        what = f"node {check.get('Node', '')}" if name == NODE_MAINTENANCE else "service"
        return _with_reason(f"{what} is in maintenance", " ".join((check.get("Notes") or "").split()))
    if name == NODE_DOWN:
        return _with_reason(f"node {check.get('Node', '')} is down", output)
    return _with_reason(f"check '{check.get('Name') or name}' is {check['Status']}", output)


def _with_reason(claim: str, reason: str) -> str:
    return f"{claim}: {reason[:MAX_OUTPUT]}" if reason else claim


def decode_keys(data: Any) -> Mapping[str, bytes]:
    """What the library makes of /v1/kv: every key with its value; none of either is null. Raises DecodeError."""
    try:
        entries = {str(entry["Key"]): entry["Value"] or b"" for entry in data or ()}
    except (KeyError, TypeError) as error:
        raise DecodeError(f"the answer of /v1/kv is malformed: {type(error).__name__} {error}") from error
    if not all(isinstance(value, bytes) for value in entries.values()):
        raise DecodeError("the answer of /v1/kv is malformed: a value is not in base64")
    return entries

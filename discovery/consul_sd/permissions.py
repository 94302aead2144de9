"""What a token must be allowed to do, in the words of Consul's ACL rules. Pure.

Consul answers a read without permission with 403 only if it does not know the token; with a known one it
leaves out what may not be read, and says so since version 1.11 alone. So an answer without
instances is no proof that there are none, and `/v1/internal/acl/authorize` is asked what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Permission:
    """One rule of a policy, as `/v1/internal/acl/authorize` takes it."""

    resource: str  # "service", "node", "key", "agent"
    access: str  # "read", "write"
    segment: str = ""  # what it is about; of a key its beginning

    def __str__(self) -> str:
        if self.resource == "key":
            return f'key_prefix:{self.access} "{self.segment}"'
        about = f' on "{self.segment}"' if self.segment else ""
        return f"{self.resource}:{self.access}{about}"

    def query(self) -> dict[str, str]:
        """As an entry of the authorize call."""
        return {"Resource": self.resource, "Access": self.access, "Segment": self.segment}


NODE_READ = Permission("node", "read")


def to_read_service(service: str) -> tuple[Permission, ...]:
    """For the instances of a service: they are left out without either."""
    return Permission("service", "read", service), NODE_READ


def to_read_keys(prefix: str) -> tuple[Permission, ...]:
    """For all keys below a prefix."""
    return (Permission("key", "read", prefix),)


TO_READ_CATALOG = (Permission("service", "read"),)


def needed_for(path: str) -> tuple[Permission, ...]:
    """What a call to an API path needs; nothing for paths that this gateway does not use."""
    kind, _, rest = path.removeprefix("/v1/").partition("/")
    match kind, rest.partition("/"):
        case "health", ("service", _, service):
            return to_read_service(service)
        case ("health", ("state" | "node", _, _)) | ("catalog", ("node", _, _)):
            return Permission("service", "read"), NODE_READ
        case "catalog", ("nodes", _, _):
            return (NODE_READ,)
        case "catalog", ("services", _, _):
            return TO_READ_CATALOG
        case "kv", _:
            return to_read_keys(rest)
        case "agent", ("service", _, _) | ("check", _, _):
            return (Permission("service", "write"),)
        case "agent", ("services", _, _):
            return (Permission("service", "read"),)
        case _:
            return ()


def in_words(permissions: Iterable[Permission]) -> str:
    """The permissions as a list in a sentence."""
    return " and ".join(str(each) for each in permissions)


def missing(asked: Sequence[Permission], answer: Any) -> tuple[Permission, ...]:
    """Those of the permissions asked for that are denied. Raises ValueError if the answer is no such list."""
    try:
        allowed = {(each["Resource"], each["Access"], each.get("Segment", "")): each["Allow"] for each in answer}
        return tuple(each for each in asked if not allowed[each.resource, each.access, each.segment])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a list of permissions: {error}") from error

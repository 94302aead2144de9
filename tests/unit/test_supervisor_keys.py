"""What the KV declares: the last good one of a key stays in force, and why is said."""

from __future__ import annotations

from collections.abc import Collection

from discovery.model import Origin, OriginKind, RouteSpec, ServiceSpec
from discovery.source import KeyAnswer, TaggedService
from gateway.supervisor.declared import Declared
from gateway.supervisor.keys import KeyDeclarations, Keys

USERS = 'path = "/users"\nservice = "users"'
SERVICE = 'consul = "users"'


def answer(**values: str) -> KeyAnswer:
    """`routes__a="..."` is the key gw/routes/a."""
    entries = sorted((f"gw/{key.replace('__', '/')}", value.encode()) for key, value in values.items())
    return KeyAnswer("consul", "gw/", tuple(entries))


def resolved(keys: Keys, others: Collection[str] = (), **values: str) -> KeyDeclarations:
    keys.update(answer(**values))
    return keys.resolve(others)


def paths(declared: KeyDeclarations) -> list[str]:
    return [route.path for route in declared.routes]


def problems(declared: KeyDeclarations) -> list[str]:
    return [f"{each.origin.detail}: {each.message}" for each in declared.problems]


def test_a_bad_document_leaves_the_last_good_one_in_force() -> None:
    keys = Keys()
    assert paths(resolved(keys, services__users=SERVICE, routes__a=USERS)) == ["/users"]
    bad = resolved(keys, services__users='consul = "users"\nbalance = "x"', routes__a="path =")
    assert paths(bad) == ["/users"]
    assert bad.services["users"].consul == "users"
    said = problems(bad)
    assert len(said) == 2
    assert all(each.endswith("; what it said before stays in force") for each in said)
    assert said[0].startswith("gw/services/users: balance: must be one of")
    mended = resolved(keys, services__users=SERVICE, routes__a='path = "/new"\nservice = "users"')
    assert (paths(mended), problems(mended)) == (["/new"], [])


def test_a_document_that_was_never_good_is_not_in_force() -> None:
    declared = resolved(Keys(), routes__a="path = 1", other="x")
    assert not declared.routes
    assert {each.rpartition("; ")[2] for each in problems(declared)} == {"nothing of it is in force"}


def test_a_route_to_an_unknown_service_is_bad_until_the_service_is_there() -> None:
    keys = Keys()
    declared = resolved(keys, routes__a='path = "/a"\nservice = "usres"', services__users=SERVICE)
    assert paths(declared) == []
    assert problems(declared) == [
        'gw/routes/a: service: unknown service "usres"; services are: users (did you mean "users"?); '
        "nothing of it is in force"
    ]
    assert paths(keys.resolve(["usres"])) == ["/a"]


def test_a_route_that_is_changed_to_an_unknown_service_keeps_the_last_one() -> None:
    keys = Keys()
    resolved(keys, services__users=SERVICE, routes__a=USERS)
    declared = resolved(keys, services__users=SERVICE, routes__a='path = "/users"\nservice = "nobody"')
    assert [route.service for route in declared.routes] == ["users"]
    assert problems(declared)[0].endswith("what it said before stays in force")


def test_a_service_that_is_still_used_outlives_its_key() -> None:
    keys = Keys()
    resolved(keys, services__users=SERVICE, routes__a=USERS)
    declared = resolved(keys, routes__a=USERS)
    assert set(declared.services) == {"users"}
    assert problems(declared) == [
        'gw/services/users: is gone, and service "users" stays in force, as kv: gw/routes/a leads to it'
    ]
    assert resolved(keys) == KeyDeclarations({}, (), ())
    assert keys.resolve(()).services == {}


def test_a_deleted_key_takes_its_route_with_it() -> None:
    keys = Keys()
    resolved(keys, services__users=SERVICE, routes__a=USERS)
    assert paths(resolved(keys, services__users=SERVICE)) == []


def test_folders_are_no_documents() -> None:
    keys = Keys()
    keys.update(KeyAnswer("consul", "gw/", (("gw/routes/", b""), ("gw/services/", b""))))
    assert keys.resolve(()) == KeyDeclarations({}, (), ())


FILE = Origin(OriginKind.FILE, "gateway.toml services[0]")
TAG = Origin(OriginKind.TAG, "service users, instance u1, tag gw.path=/users")


def test_the_file_wins_over_kv_and_kv_over_tags() -> None:
    declared = Declared()
    declared.set_file([ServiceSpec("users", FILE, consul="users")], [RouteSpec("/users", "users", FILE)])
    declared.set_keys(
        answer(services__users='consul = "other"', routes__a=USERS, routes__b='path="/b"\nservice="users"')
    )
    tagged = tuple(RouteSpec(path, "users", TAG) for path in ("/b", "/c"))
    declared.set_tagged(TaggedService("consul", "users", tagged, (), ()))
    assert declared.refresh()
    assert declared.services["users"].consul == "users"
    assert [(route.path, route.origin.kind) for route in declared.routes] == [
        ("/users", OriginKind.FILE),
        ("/b", OriginKind.KV),
        ("/c", OriginKind.TAG),
    ]
    assert [(str(each.origin), each.message) for each in declared.problems] == [
        ("kv: gw/services/users", "service 'users' is declared by file: gateway.toml services[0] already, which wins"),
        ("kv: gw/routes/a", "route /users of service users is already taken by file: gateway.toml services[0]"),
        (str(TAG), "route /b of service users is already taken by kv: gw/routes/b"),
    ]


def test_a_service_of_kv_takes_the_routes_of_tags_under_its_settings() -> None:
    declared = Declared()
    declared.set_keys(answer(services__people='consul = "users"\nbalance = "random"'))
    declared.set_tagged(TaggedService("consul", "users", (RouteSpec("/t", "users", TAG),), (("balance", "hash"),), ()))
    declared.refresh()
    assert {name: spec.balance for name, spec in declared.services.items()} == {"people": "random"}
    assert [route.service for route in declared.routes] == ["people"]


def test_a_route_of_kv_may_lead_to_a_service_that_tags_declare() -> None:
    declared = Declared()
    declared.set_keys(answer(routes__a='path = "/a"\nservice = "users"'))
    declared.refresh()
    assert not declared.routes
    declared.set_tagged(TaggedService("consul", "users", (RouteSpec("/t", "users", TAG),), (), ()))
    declared.refresh()
    assert sorted(route.path for route in declared.routes) == ["/a", "/t"]

"""Nanoseconds per `RouteTable.match`, for tables of 1 to 10,000 routes.

Run: python -m benchmarks.micro.bench_routing
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Sequence

from gateway.routing.match import RouteTable
from gateway.routing.table import compile_table
from gateway.snapshot.model import RouteRecord

SIZES = (1, 10, 100, 1_000, 10_000)
LOOPS = 1_000  # short runs, many of them: the best is one that nothing disturbed
REPEATS = 150


def record(path: str, host: str = "", methods: tuple[str, ...] = ()) -> RouteRecord:
    return RouteRecord(1, path, host, methods, "users", False, 30.0, 0.0, 60.0, 3, ())


def exact(number: int) -> RouteRecord:
    return record(f"/api/v1/service{number}/users")


def prefix(number: int) -> RouteRecord:
    return record(f"/api/v1/service{number}/*")


def prefix_of_host(number: int) -> RouteRecord:
    return record("/api/v1/*", f"service{number}.example.com")


def prefix_of_wildcard(number: int) -> RouteRecord:
    return record("/api/v1/*", f"*.service{number}.example.com")


def template(number: int) -> RouteRecord:
    return record(f"/api/v1/service{number}/users/{{id}}")


def with_methods(number: int) -> RouteRecord:
    return record(f"/api/v1/service{number}/*", methods=("GET", "POST"))


# What is measured: the kind of routes, and the request's host and path, where N is the middle route's number.
CASES: Sequence[tuple[str, Callable[[int], RouteRecord], str, str]] = (
    ("exact", exact, "example.com", "/api/v1/serviceN/users"),
    ("prefix", prefix, "example.com", "/api/v1/serviceN/users/42"),
    ("prefix, host", prefix_of_host, "serviceN.example.com", "/api/v1/users/42"),
    ("prefix, wildcard host", prefix_of_wildcard, "eu.serviceN.example.com", "/api/v1/users/42"),
    ("prefix, methods", with_methods, "example.com", "/api/v1/serviceN/users/42"),
    ("template", template, "example.com", "/api/v1/serviceN/users/42"),
    ("escaped", prefix, "example.com", "/api/v1/serviceN/a%20b/../%61"),
    ("no route", prefix, "example.com", "/other/place/42"),
    ("10,000 slashes", prefix, "example.com", "/" * 10_000),
)


def measure(table: RouteTable, host: bytes, path: bytes) -> float:
    """The best of several runs, in nanoseconds per call."""
    timer = timeit.Timer(
        "match(host, path, method)", globals={"match": table.match, "host": host, "path": path, "method": b"GET"}
    )
    return min(timer.repeat(REPEATS, LOOPS)) / LOOPS * 1e9


def main() -> None:
    print("ns per match | routes " + "".join(f"{size:>9,}" for size in SIZES))
    for name, make, host, path in CASES:
        row = f"{name:22}"
        for size in SIZES:
            table = compile_table([make(number) for number in range(size)])
            middle = str(size // 2)
            row += f"{measure(table, host.replace('N', middle).encode(), path.replace('N', middle).encode()):9.0f}"
        print(row)


if __name__ == "__main__":
    main()

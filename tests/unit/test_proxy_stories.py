"""The stories that requests leave: what the machines write, as the supervisor reads it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from discovery.model import Handling
from gateway.shm import rings
from gateway.shm.story import ATTEMPTS, DETAIL_CHARS, Story, decode
from gateway.shm.storybook import StoryBook
from tests.proxy_harness import PEER, ROUTE, SETTINGS, World, service
from tests.proxy_messages import get, ok

ECONNREFUSED = 111


def stories(world: World, ring: int = rings.RECENT) -> list[Story]:
    """All of a ring, oldest first."""
    world.ctx.stories.write()  # as the loop does after a batch
    lines = b"".join(reversed(rings.read(world.stories, 0, ring))).splitlines()
    return [decode(line, 0) for line in lines]


def test_an_ordinary_request_leaves_everything_that_can_be_said_of_it() -> None:
    with World(service(3)) as world:
        world.network.accepts = False
        world.client(get(b"/a/b?secret=1", b"X-Request-ID: one", b"Cookie: secret=2"))
        world.ctx.now += 0.25
        world.upstream.accept()
        world.ctx.now += 0.5
        world.upstream.send(ok(b"hello"))
        (story,) = stories(world)
        (attempt,) = story.attempts
        assert story == Story(
            request_id="one", worker=0, end=world.ctx.wall, client=PEER, method="GET", host="api.example",
            path="/a/b", status=200, duration=0.75, service="users", balance="round_robin", route="/*",
            reason="", detail="", attempts=(attempt,), attempts_made=1, candidates=3,
        )  # fmt: skip
        assert attempt.instance == f"{world.upstream.host}:80"
        assert (attempt.at, attempt.connect, attempt.head, attempt.duration) == (0.0, 0.25, 0.75, 0.75)
        assert (attempt.status, attempt.reason, attempt.is_reused, attempt.is_stale) == (200, "", False, False)
        assert attempt.candidates == 3
        assert b"secret" not in b"".join(rings.read(world.stories, 0, rings.RECENT))
        assert stories(world, rings.NOTABLE) == []


def test_a_retried_request_leaves_all_its_attempts_where_they_stay_for_longer() -> None:
    with World(service(2)) as world:
        world.network.accepts = False
        world.client(get())
        first = world.upstream
        world.ctx.now += 0.5
        first.refuse(ECONNREFUSED)
        world.upstream.accept()
        world.upstream.send(ok(b"hello"))
        (story,) = stories(world, rings.NOTABLE)
        refused, answered = story.attempts
        assert (story.status, story.reason, story.attempts_made) == (200, "", 2)
        assert (refused.reason, refused.detail, refused.connect, refused.head) == (
            "connect_refused", "ECONNREFUSED", None, None,
        )  # fmt: skip
        assert (answered.status, answered.reason, answered.at, answered.connect) == (200, "", 0.5, 0.0)
        assert refused.instance != answered.instance
        assert stories(world) == []


def test_a_pooled_connection_and_a_stale_one_are_told_as_such() -> None:
    with World() as world:
        client = world.client(get())
        world.upstream.send(ok(b"hello"))
        client.send(get())
        world.upstream.send(ok(b"hello"))
        old = world.upstream
        client.send(get())
        old.reset()
        world.upstream.send(ok(b"hello"))
        _, pooled = stories(world)
        assert (pooled.attempts[0].is_reused, pooled.attempts[0].connect) == (True, None)
        (retried,) = stories(world, rings.NOTABLE)
        assert [each.is_stale for each in retried.attempts] == [True, False]


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_of_the_instances_own_is_a_failure_to_remember(status: int) -> None:
    with World() as world:
        world.client(get())
        world.upstream.send(b"HTTP/1.1 %d Bad\r\nContent-Length: 0\r\n\r\n" % status)
        (story,) = stories(world, rings.NOTABLE)
        assert (story.status, story.reason, story.attempts[0].status) == (status, "", status)


def test_a_request_without_an_instance_says_so() -> None:
    with World(replace(service(1), instances=())) as world:
        world.client(get())
        (story,) = stories(world, rings.NOTABLE)
        assert (story.status, story.reason, story.attempts, story.candidates) == (503, "no_healthy_instance", (), 0)
        assert (story.service, story.route) == ("users", "/*")
        assert story.detail == "service users has no eligible instance"


def test_what_has_no_route_and_what_is_malformed_have_their_stories() -> None:
    with World(routes=[replace(ROUTE, path="/users/*")]) as world:
        world.client(get(b"/others"))
        world.client(b"GET / HTTP/1.1\r\n\r\n")
        unrouted, malformed = stories(world)
        assert (unrouted.status, unrouted.reason, unrouted.path, unrouted.route) == (404, "no_route", "/others", "")
        assert (malformed.status, malformed.reason, malformed.client) == (400, "bad_host", PEER)
        assert len(malformed.request_id) == 32
        assert (unrouted.service, malformed.service) == ("", "")


def test_a_redirect_has_its_route() -> None:
    handling = Handling(redirect=301, location="http://other.example/")
    with World(routes=[replace(ROUTE, handling=handling)]) as world:
        world.client(get(b"/a"))
        (story,) = stories(world)
        assert (story.status, story.reason, story.route, story.attempts) == (301, "", "/*", ())


def test_the_gateways_own_paths_leave_none() -> None:
    with World() as world:
        world.client(get(b"/health"))
        assert stories(world) == []


def test_what_is_long_is_cut_and_what_is_quoted_stays_readable() -> None:
    with World(settings=replace(SETTINGS, header_bytes=65536)) as world:
        long = b"/" + b"x" * 5000
        for target in (long, b'/a"b\\c'):
            world.client(get(target))
            world.upstream.send(ok(b"hello"))
        cut, quoted = (each.path for each in stories(world))
        assert len(cut) < 300
        assert cut.endswith("...")
        assert quoted == '/a"b\\c'


def test_many_attempts_are_cut_to_the_last_ones_and_counted() -> None:
    with World(service(1), routes=[replace(ROUTE, retry_count=20)]) as world:
        world.network.refuses = {"10.0.0.1"}
        world.client(get())
        (story,) = stories(world, rings.NOTABLE)
        assert len(story.attempts) == ATTEMPTS
        assert story.attempts_made == 21
        assert max(len(each.detail) for each in story.attempts) <= DETAIL_CHARS


def test_the_book_finds_a_request_by_its_id_and_the_newest_of_several_first() -> None:
    with World() as world:
        book = StoryBook(world.stories, 1, 1)
        for path in (b"/1", b"/2"):
            world.client(get(path, b"X-Request-ID: same"))
            world.ctx.wall += 1.0
            world.upstream.send(ok(b"hello"))
        world.client(get(b"/3", b"X-Request-ID: same-not"))
        world.upstream.send(b"HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n")
        world.ctx.stories.write()
        assert [each.path for each in book.find("same")] == ["/2", "/1"]
        assert [each.path for each in book.find("same-not")] == ["/3"]
        assert book.find("sam") == ()
        assert [each.path for each in book.failures(5)] == ["/3"]


def test_the_last_failures_come_newest_first() -> None:
    with World() as world:
        book = StoryBook(world.stories, 1, 1)
        for number in range(300):
            world.ctx.wall += 1.0
            world.client(get(b"/%d" % number + b"x" * 200))
            world.upstream.send(b"HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n")
            world.ctx.stories.write()
        found = [int(each.path.strip("/x")) for each in book.failures(200)]
        assert found == list(range(299, 99, -1))
        assert len(book.failures(1000)) == 300


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b"1", b'["a"]', json.dumps([None] * 14).encode()])
def test_what_no_worker_wrote_is_no_story(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(line, 0)

"""Consul goes away, and comes back empty: nothing known is lost at once, and the state says so."""

from __future__ import annotations

from discovery.model import Standing
from tests.consul import ConsulServer
from tests.integration.test_consul_discovery import address, standing, watched


async def test_an_agent_restarted_empty_removes_nothing_before_the_grace_is_over() -> None:
    with ConsulServer() as consul:
        consul.register("web", 9001, tags=["gw.path=/web/*"])
        consul.register("web", 9002, tags=["gw.path=/web/*"])
        async with watched(consul, "web", grace=2.0) as seen:
            await seen.wait_for("web", address, "127.0.0.1:9001", "127.0.0.1:9002")
            await seen.wait_until(lambda: seen.state is not None and not seen.state.stale)

            consul.kill()
            await seen.wait_until(lambda: seen.state is not None and seen.state.stale)
            assert seen.state is not None
            assert seen.state.stale_since is not None
            assert "Consul at " in seen.state.error
            assert not any(each.provisional for each in seen.answers["web"])  # no answer is not an empty answer

            consul.start()
            await seen.wait_until(lambda: all(each.provisional for each in seen.answers["web"]))
            assert len(seen.answers["web"]) == 2
            await seen.wait_until(lambda: seen.state is not None and not seen.state.stale)

            consul.register("web", 9001, tags=["gw.path=/web/*"])
            await seen.wait_for(
                "web",
                lambda each: (each.address, each.provisional),
                ("127.0.0.1:9001", False),
                ("127.0.0.1:9002", True),
            )
            await seen.wait_for("web", address, "127.0.0.1:9001")  # the grace is over
            assert seen.routes("web") == ["/web/*"]

            consul.deregister("web-9001")  # the watch is unbroken again
            await seen.wait_for("web", address)


async def test_a_gateway_started_before_consul_waits_for_it() -> None:
    with ConsulServer() as consul:
        consul.kill()
        async with watched(consul, "web") as seen:
            await seen.wait_until(lambda: seen.state is not None and seen.state.stale)
            assert seen.answers == {}
            consul.start()
            consul.register_ttl("web", 9001)
            await seen.wait_for("web", address, "127.0.0.1:9001")
            await seen.wait_until(lambda: seen.state is not None and not seen.state.stale)
            consul.set_check("web-9001", "critical")
            await seen.wait_for("web", standing, Standing.CRITICAL)


async def test_a_consul_that_ends_in_good_order_removes_nothing() -> None:
    with ConsulServer() as consul:
        consul.register("web", 9001)
        async with watched(consul, "web") as seen:
            await seen.wait_for("web", address, "127.0.0.1:9001")
            consul.stop()
            await seen.wait_until(lambda: seen.state is not None and seen.state.stale)
            assert [each.address for each in seen.answers["web"]] == ["127.0.0.1:9001"]

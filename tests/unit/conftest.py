"""A made-up gateway behind its real admin interface, for whoever talks to one: over HTTP or by commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import trio

from gateway.admin.server import serve
from tests.unit.fake_gateway import FakeFacade, served


@pytest.fixture
def facade() -> FakeFacade:
    return FakeFacade()


@pytest.fixture
async def http(facade: FakeFacade) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the facade, served in this event loop."""
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, facade, "127.0.0.1:0")
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
            yield client
        nursery.cancel_scope.cancel()


@pytest.fixture
def gateway(facade: FakeFacade, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The facade served in a thread, where commands find it by GW_ADMIN; its address."""
    with served(facade) as address:
        monkeypatch.setenv("GW_ADMIN", address)
        monkeypatch.delenv("COLUMNS", raising=False)
        yield address

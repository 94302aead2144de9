"""A gateway that is registered with Consul is replaced: its registration passes on."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.consul import ConsulServer
from tests.gateways import replace_gateway, start_gateway

CONFIG = """
[gateway]
name = "edge"
[consul]
register = true
"""


def test_the_registration_stays_under_its_id(tmp_path: Path) -> None:
    with ExitStack() as stack:
        consul = stack.enter_context(ConsulServer())
        consul_flag = ["--consul", consul.address]
        old = stack.enter_context(start_gateway(tmp_path, CONFIG, workers=1, arguments=consul_flag))
        old.wait_until(lambda: old.events("registered with Consul"))
        new = stack.enter_context(replace_gateway(old, CONFIG, workers=1, arguments=consul_flag))
        assert old.wait_end() == 0
        assert not old.events("taken out of Consul")
        new.wait_until(lambda: new.events("registered with Consul"))
        assert new.events("registered with Consul")[0]["id"] == old.events("registered with Consul")[0]["id"]
        assert len(consul.get("/v1/health/service/edge")) == 1


def test_another_id_takes_the_old_one_s_place(tmp_path: Path) -> None:
    with ExitStack() as stack:
        consul = stack.enter_context(ConsulServer())
        consul_flag = ["--consul", consul.address]
        old = stack.enter_context(start_gateway(tmp_path, CONFIG, workers=1, arguments=consul_flag))
        old.wait_until(lambda: old.events("registered with Consul"))
        other = CONFIG.replace("edge", "front")
        new = stack.enter_context(replace_gateway(old, other, workers=1, arguments=consul_flag))
        assert old.wait_end() == 0
        assert old.events("taken out of Consul")
        new.wait_until(lambda: consul.get("/v1/health/service/front"))
        assert consul.get("/v1/health/service/edge") == []

"""An agent that restarts calls its HTTP checks critical before they have run: nobody may notice."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.backends import Backend, start_backend
from tests.consul_cluster import ConsulCluster
from tests.gateways import start_gateway
from tests.integration.test_consul_sudden_loss import CONFIG, TAGS, instances, reasons
from tests.loads import start_load, tell


def check(backend: Backend, interval: str, **more: str) -> dict[str, str]:
    """Consul runs it first at a random moment within its interval."""
    return {"HTTP": f"http://{backend.address}/", "Interval": interval, **more}


def test_an_agent_restarted_on_its_data_costs_no_request(tmp_path: Path) -> None:
    with ConsulCluster(tmp_path, servers=1) as cluster, ExitStack() as stack:
        (agent,) = cluster.servers
        *backends, new = [stack.enter_context(start_backend(f"b{n}", latency=0.005)) for n in range(4)]
        for backend in backends:
            agent.register("web", backend.port, tags=TAGS, check=check(backend, "1h", Status="passing"))
        folder = tmp_path / "gateway"
        folder.mkdir()
        arguments = ["--consul", agent.address]
        gateway = stack.enter_context(start_gateway(folder, CONFIG.format(grace=60), arguments=arguments))
        gateway.wait_until(lambda: len(instances(gateway)) == 3 and reasons(gateway) == {"eligible"})
        load = stack.enter_context(start_load(gateway.listen, "/web/1", connections=8))
        load.wait_for(100)
        agent.stop()
        agent.start()
        gateway.wait_until(lambda: reasons(gateway) == {"provisional"}, 30.0)
        assert all("have not run yet" in each["detail"] for each in instances(gateway).values())
        assert {each["Status"] for each in agent.get("/v1/health/checks/web")} == {"critical"}
        load.wait_for(100)
        agent.register("web", new.port, tags=TAGS, check=check(new, "1h"))  # nobody has vouched for it yet
        gateway.wait_until(lambda: instances(gateway).get(new.address, {}).get("reason") == "critical")
        has_run, dies = backends[0], backends[1]
        agent.register("web", has_run.port, tags=TAGS, check=check(has_run, "100ms"))
        gateway.wait_until(lambda: instances(gateway)[has_run.address]["reason"] == "eligible")
        load.wait_for(100)
        report = load.stop()
        tell("an agent restarted, HTTP checks", report.summary())
        assert report.failures == ()
        assert set(report.instances) == {"b0", "b1", "b2"}
        dies.kill()
        gateway.wait_until(lambda: instances(gateway)[dies.address]["reason"] == "unhealthy")
        assert not instances(gateway)[dies.address]["eligible"]
        assert instances(gateway)[backends[2].address]["reason"] == "provisional"

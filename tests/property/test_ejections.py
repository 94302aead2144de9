"""Several workers, one registry, any sequence of failures, recoveries and time: they agree, and never on nobody."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.model import Instance
from discovery.settings import OutlierSettings
from gateway.balance.instance import LiveInstance
from gateway.balance.outlier import LONGEST
from gateway.proxy.deadlines import TICK, Deadlines
from gateway.proxy.service import LiveService
from gateway.snapshot.cap import most_out
from gateway.snapshot.model import Standby
from healthcheck.model import Health, Target
from tests.registry_bench import Bench, static_service
from tests.unit.fake_gateway import make_ledger

WORKERS = 3
INSTANCES = tuple(Instance(f"10.0.0.{n}", 80) for n in range(1, 5))
EJECT_TIME = 10.0
ROUNDS = 4  # publications in which everybody has come to agree

moves = st.one_of(
    st.tuples(st.sampled_from(["fail", "refuse", "succeed"]), st.integers(0, WORKERS - 1), st.integers(0, 3)),
    st.tuples(st.sampled_from(["sicken", "recover", "probe"]), st.just(0), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.just(0), st.integers(1, 400)),
)


class Fleet:
    """What the processes of one gateway do, one after the other."""

    def __init__(self, percent: int) -> None:
        outlier = OutlierSettings(consecutive_failures=2, eject_time=EJECT_TIME, max_ejected_percent=percent)
        self.percent = percent
        self.bench = Bench(static_service(outlier=outlier))
        self.bench.now = 1000.0
        self.bench.answer(*INSTANCES)
        self.bench.build()
        for each in INSTANCES:
            self.bench.turn(Health.HEALTHY, each)
        self.bench.build()
        self.ledger = make_ledger(WORKERS)
        self.deadlines = [Deadlines() for _ in range(WORKERS)]
        self.workers = [
            LiveService(
                self.bench.service(), self.ledger.words, row, WORKERS, self.deadlines[row], self.heard, self.bench.now
            )
            for row in range(WORKERS)
        ]

    def heard(self, service: str, address: str, detail: str, is_over: bool) -> None:
        """The supervisor looks after every move anyway."""
        self.bench.registry.explain_ejection(Target(service, address), detail, is_over=is_over)

    def known(self, worker: int, index: int) -> LiveInstance:
        return self.workers[worker].instances[INSTANCES[index].address]

    def move(self, what: str, worker: int, index: int) -> None:
        now = self.bench.now
        if what == "wait":
            self.bench.now = now = now + index
            for deadlines in self.deadlines:
                deadlines.expire(now + 2 * TICK)  # they come up to a tick late
        elif what == "sicken":
            self.bench.turn(Health.UNHEALTHY, INSTANCES[index])
        elif what == "recover":
            self.bench.turn(Health.HEALTHY, INSTANCES[index])
        elif what == "probe":
            for service in self.workers:
                service.refute(INSTANCES[index].address, now + 0.001, now, "200")
        else:
            instance = self.known(worker, index)
            self.workers[worker].observe(instance, what == "succeed", what == "refuse", now, what)

    def settle(self) -> None:
        """The supervisor looks and publishes until all is said."""
        for _ in range(ROUNDS):
            self.publish()

    def publish(self) -> None:
        now_ns = self.bench.now * 1e9
        ends = self.ledger.ejected_until(0, len(INSTANCES))
        self.bench.registry.apply_ejections({cell: end / 1e9 for cell, end in enumerate(ends) if end > now_ns})
        if self.bench.build() is not None:
            for service in self.workers:
                service.apply(self.bench.service(), self.bench.now)

    def usable(self, worker: int) -> set[str]:
        """Whom a worker may pick: all of them, found by trying one after the other."""
        found: list[LiveInstance] = []
        while (instance := self.workers[worker].picker.pick(self.bench.now, b"", found)) is not None:
            found.append(instance)
        return {instance.address for instance in found}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([0, 25, 50, 100]), st.lists(st.lists(moves, min_size=1, max_size=6), max_size=8))
def test_workers_agree_with_the_snapshot_whatever_happens(
    percent: int, turns: list[list[tuple[str, int, int]]]
) -> None:
    """A turn is what happens before the supervisor looks."""
    fleet = Fleet(percent)
    for turn in turns:
        for what, worker, index in turn:
            fleet.move(what, worker, index)
        fleet.settle()
        standbys = fleet.bench.standbys()
        eligible = {each.address for each in fleet.bench.service().instances if each.eligible}
        out = sum(standby in {Standby.EJECTED, Standby.HELD} for standby in standbys.values())
        assert out <= most_out(len(eligible) + out, fleet.percent)
        sick = sum(standby is Standby.UNHEALTHY for standby in standbys.values())
        assert eligible or sick == len(INSTANCES)
        for row in range(WORKERS):
            assert fleet.usable(row) == eligible, standbys
        for row in range(WORKERS):
            for cell in range(len(INSTANCES)):
                assert fleet.known(row, cell).ejected_until <= fleet.bench.now + LONGEST


def test_a_fleet_ejects_at_all() -> None:
    fleet = Fleet(50)
    for _ in range(2):
        fleet.move("fail", 0, 0)
    fleet.settle()
    assert fleet.bench.standbys()[INSTANCES[0].address] is Standby.EJECTED
    assert [INSTANCES[0].address in fleet.usable(row) for row in range(WORKERS)] == [False] * WORKERS
    fleet.move("probe", 0, 0)
    fleet.settle()
    assert fleet.bench.standbys()[INSTANCES[0].address] is Standby.EJECTED
    fleet.move("wait", 0, 11)
    fleet.settle()
    assert fleet.bench.standbys()[INSTANCES[0].address] is Standby.ELIGIBLE
    fleet.move("fail", 1, 0)  # another worker: it is on probation there as well
    assert fleet.known(1, 0).ejected_until == fleet.bench.now + 2 * EJECT_TIME


def test_ejections_at_the_same_time_are_not_too_many() -> None:
    """Three workers, each of another instance, before any of them knows of the others."""
    fleet = Fleet(50)
    for worker in range(WORKERS):
        for _ in range(2):
            fleet.move("fail", worker, worker)
    fleet.settle()
    out = {address for address, standby in fleet.bench.standbys().items() if standby is Standby.EJECTED}
    assert len(out) == 2
    assert [fleet.usable(row) for row in range(WORKERS)] == [fleet.bench.standbys().keys() - out] * WORKERS

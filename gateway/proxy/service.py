"""One service in one worker: its instances, who may be picked, and what real traffic said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from discovery.model import join_address
from gateway.balance.outlier import OutlierDetector, may_eject
from gateway.balance.picker import LiveInstance, Picker, make_picker
from gateway.proxy.budget import RetryBudget
from gateway.proxy.deadlines import Deadlines, Timed
from gateway.shm.layout import I_EJECTED_UNTIL_NS, I_EJECTIONS
from gateway.snapshot.model import ServiceRecord, Standby

if TYPE_CHECKING:
    from gateway.proxy.upstream import Upstream

_NANO: Final = 1_000_000_000


class _Probation(Timed):
    """Ends an ejection."""

    __slots__ = ("_instance", "_service")

    def __init__(self, service: LiveService, instance: LiveInstance) -> None:
        super().__init__()
        self._service = service
        self._instance = instance

    def on_deadline(self, now: float) -> None:
        self._service.readmit(self._instance)


class Subset:
    """Some instances of a service."""

    __slots__ = ("count", "picker")

    def __init__(self, count: int, picker: Picker) -> None:
        self.count = count
        self.picker = picker


class LiveService:
    """Survives generations: `apply` takes over a new record and keeps what is known of instances that stay."""

    __slots__ = (
        "_deadlines",
        "_detector",
        "_ejected",
        "_ejected_elsewhere",
        "_eligible",
        "_row",
        "_rows",
        "_subsets",
        "_usable",
        "_words",
        "_worker",
        "in_flight",
        "instances",
        "name",
        "needs_key",
        "observes_latency",
        "picker",
        "record",
        "retries",
    )

    def __init__(self, record: ServiceRecord, words: memoryview, row: int, rows: int, deadlines: Deadlines) -> None:
        self.name = record.name
        self.record = record
        self.instances: dict[str, LiveInstance] = {}
        self.in_flight = 0  # exchanges of this worker
        self.retries = RetryBudget(deadlines)
        self._words = words
        self._row = row
        self._rows = rows
        self._worker = row
        self._deadlines = deadlines
        self._ejected: dict[str, _Probation] = {}  # by this worker
        self._ejected_elsewhere: frozenset[str] = frozenset()  # by the snapshot: any worker's judgement
        self._eligible: tuple[LiveInstance, ...] = ()
        self._usable: tuple[LiveInstance, ...] = ()  # those the picker picks from
        self._subsets: dict[frozenset[str], Subset] = {}  # asked for since the picker was made
        self._detector = OutlierDetector(record.consecutive_failures, record.eject_time)
        self._use(())
        self.apply(record)

    def apply(self, record: ServiceRecord) -> list[Upstream]:
        """Use a new record. Returns the idle connections of lost or no longer eligible instances, to be closed."""
        if (record.consecutive_failures, record.eject_time) != (
            self.record.consecutive_failures,
            self.record.eject_time,
        ):
            self._detector = OutlierDetector(record.consecutive_failures, record.eject_time)
        self.record = record
        old = self.instances
        self.instances = {}
        eligible: list[LiveInstance] = []
        to_close: list[Upstream] = []
        for item in record.instances:
            instance = old.pop(item.address, None)
            if instance is None or instance.cell != item.cell:
                if instance is not None:  # it went and came back between two snapshots
                    instance.eligible = False
                    to_close += _take_idle(instance)
                    self._forget_ejection(instance)
                instance = LiveInstance(self.name, item.host, item.port, item.cell, self._row, self._rows)
            instance.weight = item.weight
            if item.name:
                instance.authority = join_address(item.name, item.port)
            instance.eligible = item.eligible
            self.instances[item.address] = instance
            if item.standby is Standby.UNHEALTHY:
                # The probes took it out as well. When they let it back they have seen more than an ejection knows.
                self._forget_ejection(instance)
                instance.ejected_until = 0.0
                instance.consecutive_failures = 0
            if item.eligible:
                eligible.append(instance)
            else:
                to_close += _take_idle(instance)
        for gone in old.values():
            gone.eligible = False
            to_close += _take_idle(gone)
            self._forget_ejection(gone)
        self._eligible = tuple(eligible)
        self._ejected_elsewhere = frozenset(i.address for i in record.instances if i.standby is Standby.EJECTED)
        self._rebuild()
        return to_close

    def retire(self) -> list[Upstream]:
        """The service is gone. Returns its idle connections, to be closed; exchanges under way end by themselves."""
        to_close: list[Upstream] = []
        for instance in self.instances.values():
            instance.eligible = False
            to_close += _take_idle(instance)
            self._forget_ejection(instance)
        self._eligible = ()
        self._rebuild()  # an exchange under way that wants another attempt finds nobody
        return to_close

    @property
    def has_eligible(self) -> bool:
        """Is there any instance that could take a request, were it not for its limit?"""
        return bool(self._eligible)

    def observe(self, instance: LiveInstance, ok: bool, connect_failed: bool, now: float) -> None:
        """Learn from a real attempt; may eject the instance from this worker's picks at once."""
        if ok and not instance.consecutive_failures:
            return
        seconds = self._detector.record(instance, ok, now, connect_failed)
        if seconds > 0.0 and instance.eligible:
            self._leave_out(instance, seconds, now)

    def readmit(self, instance: LiveInstance) -> None:
        """An ejection has run out."""
        self._forget_ejection(instance)
        self._rebuild()

    def _leave_out(self, instance: LiveInstance, seconds: float, now: float) -> None:
        """An ejection, or the short while that a refused connection is reason for; the longer one holds."""
        probation = self._ejected.get(instance.address)
        if probation is None:
            total = len(self._eligible) + len(self._ejected_elsewhere)
            ejected = len(self._ejected_elsewhere.union(self._ejected))
            if not may_eject(total, ejected, self.record.max_ejected_percent):
                return
            probation = self._ejected[instance.address] = _Probation(self, instance)
            self._rebuild()
        elif probation.deadline >= now + seconds:
            return
        instance.ejected_until = now + seconds
        self._deadlines.arm(probation, now + seconds)
        if instance.sentenced_until > now:  # by the detector: a real ejection
            self._words[instance.base + I_EJECTIONS] += 1
        self._words[instance.base + I_EJECTED_UNTIL_NS] = int((now + seconds) * _NANO)

    def _forget_ejection(self, instance: LiveInstance) -> None:
        probation = self._ejected.pop(instance.address, None)
        if probation is not None:
            self._deadlines.forget(probation)
            self._words[instance.base + I_EJECTED_UNTIL_NS] = 0

    def _rebuild(self) -> None:
        usable = tuple(i for i in self._eligible if i.address not in self._ejected)
        # Nothing but ejected instances left (the others went since): they are better than a 503.
        self._use(usable or self._eligible)

    def count(self, only: frozenset[str] | None) -> int:
        """How many instances can be picked, of all or of those registered with these addresses."""
        return len(self._usable) if only is None else self.subset(only).count

    def subset(self, only: frozenset[str]) -> Subset:
        """The instances registered with these addresses, and a picker among them."""
        found = self._subsets.get(only)
        if found is None:
            instances = tuple(each for each in self._usable if each.authority in only)
            found = self._subsets[only] = Subset(len(instances), self._make_picker(instances))
        return found

    def _use(self, instances: tuple[LiveInstance, ...]) -> None:
        picker = self._make_picker(instances)
        self._usable = instances
        self._subsets.clear()
        self.picker: Picker = picker
        self.needs_key = picker.needs_key
        self.observes_latency = picker.observes

    def _make_picker(self, instances: tuple[LiveInstance, ...]) -> Picker:
        record = self.record
        return make_picker(record.balance, instances, self._words, record.max_in_flight, self._worker)


def _take_idle(instance: LiveInstance) -> list[Upstream]:
    idle, instance.idle = instance.idle, []
    return idle  # type: ignore[return-value]  # the pool's list; balance does not know what is in it

"""One service in one worker: its instances, who may be picked, and what real traffic said of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from discovery.model import join_address
from gateway.balance.outlier import OutlierDetector
from gateway.balance.picker import LiveInstance, Picker, make_picker
from gateway.errors import Reason
from gateway.proxy.budget import RetryBudget
from gateway.proxy.deadlines import Deadlines, Timed
from gateway.shm.layout import I_EJECTED_UNTIL_NS, I_EJECTION_COUNT, I_EJECTIONS, instance_word
from gateway.snapshot.cap import most_out
from gateway.snapshot.model import ServiceRecord, Standby

if TYPE_CHECKING:
    from gateway.proxy.upstream import Upstream

_NANO: Final = 1_000_000_000
_NO_INSTANCES: Final[tuple[LiveInstance, ...]] = ()
_CLAIMS: Final = 4  # tries to be the one that has an instance's last free place


class EjectionNews(Protocol):
    """Tells the supervisor that this worker's ejections in the ledger changed, and why. Must not block."""

    def __call__(self, service: str, address: str, detail: str, is_over: bool) -> None: ...


class _Probation(Timed):
    """Ends an ejection."""

    __slots__ = ("_instance", "_service", "is_of_connects", "since")

    def __init__(self, service: LiveService, instance: LiveInstance) -> None:
        super().__init__()
        self._service = service
        self._instance = instance
        self.since = 0.0  # when the ejection began
        self.is_of_connects = False  # nothing but failures to connect led to it

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
        "_failing_open",
        "_row",
        "_rows",
        "_subsets",
        "_tell",
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
        "told",
    )

    def __init__(
        self,
        record: ServiceRecord,
        words: memoryview,
        row: int,
        rows: int,
        deadlines: Deadlines,
        tell: EjectionNews,
        now: float,
    ) -> None:
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
        self._failing_open: frozenset[str] = frozenset()  # taken although unwell
        self._eligible: tuple[LiveInstance, ...] = ()
        self._usable: tuple[LiveInstance, ...] = ()  # those the picker picks from
        self._subsets: dict[frozenset[str], Subset] = {}  # asked for since the picker was made
        self._tell = tell
        self._detector = OutlierDetector(record.consecutive_failures, record.eject_time)
        self._use(())
        self.apply(record, now)

    def apply(self, record: ServiceRecord, now: float) -> list[Upstream]:
        """Use a new record. Returns the idle connections of lost or no longer eligible instances, to be closed."""
        if (record.consecutive_failures, record.eject_time) != (
            self.record.consecutive_failures,
            self.record.eject_time,
        ):
            self._detector = OutlierDetector(record.consecutive_failures, record.eject_time)
        self.record = record
        self.told = json.dumps((record.name, record.balance)).encode()  # as it stands in stories
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
                self._clear_words(instance)  # the cell may have been another's
            instance.weight = item.weight
            if item.name:
                instance.authority = join_address(item.name, item.port)
            instance.eligible = item.eligible
            self.instances[item.address] = instance
            self._heed(instance, item.standby, now)
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
        self._failing_open = frozenset(i.address for i in record.instances if i.standby is Standby.FAIL_OPEN)
        self._keep_to_cap(now)
        self._rebuild()
        return to_close

    def use_rows(self, rows: int) -> None:
        """Look at so many rows of the ledger from now on."""
        self._rows = rows
        for instance in self.instances.values():
            instance.use_rows(rows)
        self._rebuild()

    def _heed(self, instance: LiveInstance, standby: Standby, now: float) -> None:
        """What the snapshot says of an instance's ejection."""
        if standby is Standby.UNHEALTHY:
            # The probes took it out as well. When they let it back they have seen more than an ejection knows.
            if instance.address in self._ejected:
                self._forget_ejection(instance)
                self._tell(self.name, instance.address, "the probes took it out", True)
            self._detector.release(instance, now)
            instance.consecutive_failures = 0
        elif instance.address in self._ejected:
            return  # by this worker: it knows best
        elif standby is Standby.EJECTED:
            self._adopt(instance, now)
        else:
            self._detector.release(instance, now)

    def _adopt(self, instance: LiveInstance, now: float) -> None:
        """Take over what another worker's row says of its ejection."""
        count, until = 0, 0
        for row in range(self._rows):
            base = instance_word(row, instance.cell, 0)
            if self._words[base + I_EJECTION_COUNT] and self._words[base + I_EJECTED_UNTIL_NS] > until:
                count, until = self._words[base + I_EJECTION_COUNT], self._words[base + I_EJECTED_UNTIL_NS]
        if until > now * _NANO and until / _NANO != instance.sentenced_until:
            self._detector.adopt(instance, count, until / _NANO)

    def _keep_to_cap(self, now: float) -> None:
        """Take back own ejections, the newest first, that are too many beside those of other workers."""
        elsewhere = self._ejected_elsewhere
        total = len(self._eligible) + len(elsewhere)
        spare = most_out(total, self.record.max_ejected_percent) - len(elsewhere)
        own = [address for address in self._ejected if address not in elsewhere]
        for address in reversed(own[max(0, spare) :]):
            instance = self.instances[address]
            self._forget_ejection(instance)
            self._detector.release(instance, now)
            self._tell(self.name, address, "too many would be out (max_ejected_percent)", True)

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

    def why_nobody(self, candidates: int) -> tuple[Reason, str]:
        """The reason that `choose` found nobody among so many."""
        if candidates:
            return Reason.OVERLOADED, "every instance is at max_in_flight"
        return Reason.NO_HEALTHY_INSTANCE, f"service {self.name} has no eligible instance"

    def choose(
        self, only: frozenset[str] | None, now: float, key: bytes, tried: Sequence[LiveInstance]
    ) -> LiveInstance | None:
        """An instance for an attempt, among `only` if given, rather one not tried.

        The attempt is counted as in flight, at once, so that other workers see it with their next pick.
        """
        picker = self.picker if only is None else self.subset(only).picker
        if self.record.max_in_flight:
            return self._claim(picker, now, key, tried)
        instance = picker.pick(now, key, tried)
        if instance is None and tried:  # every other one was tried: any is better than none
            instance = picker.pick(now, key, _NO_INSTANCES)
        if instance is not None:
            self._words[instance.in_flight_own] += 1
        return instance

    def _claim(self, picker: Picker, now: float, key: bytes, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        """As `choose`, within `max_in_flight`.

        Workers look at the same time, so a look before the count is not enough: who finds too many after it takes his
        back, and looks again, as another may have done the same.
        """
        words = self._words
        has_lost = False
        for _ in range(_CLAIMS):
            instance = picker.pick(now, key, tried)
            if instance is None and tried:
                instance = picker.pick(now, key, _NO_INSTANCES)
            if instance is None:
                if has_lost:  # to somebody who may be taking his count back just now
                    continue
                return None
            words[instance.in_flight_own] += 1
            if instance.in_flight(words) <= self.record.max_in_flight:
                return instance
            words[instance.in_flight_own] -= 1
            has_lost = True
        return None

    def observe(self, instance: LiveInstance, ok: bool, connect_failed: bool, now: float, why: str) -> None:
        """Learn from a real attempt; may eject the instance from this worker's picks at once. `why` it failed."""
        if ok and not instance.consecutive_failures:
            return
        failures = instance.consecutive_failures + 1
        seconds = self._detector.record(instance, ok, now, connect_failed)
        if seconds > 0.0 and instance.eligible:
            self._leave_out(instance, seconds, now, connect_failed, f"{why}, failure {failures} in a row")

    def readmit(self, instance: LiveInstance) -> None:
        """An ejection has run out."""
        self._forget_ejection(instance)
        self._rebuild()

    def refute(self, address: str, since: float, now: float, detail: str) -> None:
        """A probe of an instance that began at `since` succeeded: ends an ejection for failures to connect alone."""
        probation = self._ejected.get(address)
        instance = self.instances.get(address)
        if probation is None or instance is None or not probation.is_of_connects or probation.since >= since:
            return
        self._detector.release(instance, now)
        self.readmit(instance)
        self._tell(self.name, address, f"a probe succeeded: {detail}", True)

    def _leave_out(self, instance: LiveInstance, seconds: float, now: float, connect_failed: bool, why: str) -> None:
        """An ejection, or the short while that a refused connection is reason for; the longer one holds."""
        probation = self._ejected.get(instance.address)
        if probation is None:
            total = len(self._eligible) + len(self._ejected_elsewhere)
            ejected = len(self._ejected_elsewhere.union(self._ejected))
            if ejected >= most_out(total, self.record.max_ejected_percent):
                return
            probation = self._ejected[instance.address] = _Probation(self, instance)
            self._rebuild()
        elif probation.deadline >= now + seconds:
            return
        is_ejection = instance.sentenced_until > now  # by the detector
        probation.since = now
        probation.is_of_connects = instance.is_row_of_connects if is_ejection else connect_failed
        instance.ejected_until = now + seconds
        self._deadlines.arm(probation, now + seconds)
        base = instance.base
        if is_ejection:
            self._words[base + I_EJECTIONS] += 1
        self._words[base + I_EJECTION_COUNT] = instance.eject_count if is_ejection else 0
        self._words[base + I_EJECTED_UNTIL_NS] = int((now + seconds) * _NANO)
        measure = (
            f"ejected for {seconds:g} s, ejection {instance.eject_count}" if is_ejection else "avoided for a moment"
        )
        self._tell(self.name, instance.address, f"{why}: {measure}", False)

    def _forget_ejection(self, instance: LiveInstance) -> None:
        probation = self._ejected.pop(instance.address, None)
        if probation is not None:
            self._deadlines.forget(probation)
            self._clear_words(instance)

    def _clear_words(self, instance: LiveInstance) -> None:
        self._words[instance.base + I_EJECTED_UNTIL_NS] = 0
        self._words[instance.base + I_EJECTION_COUNT] = 0

    def _rebuild(self) -> None:
        out = self._ejected.keys() - self._failing_open
        usable = tuple(i for i in self._eligible if i.address not in out)
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

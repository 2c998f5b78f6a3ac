"""Sends what is pending: all lanes that are ours, in order per key, as fast as their targets take it.

One loop loads, one renews the leases, one wakes what waits, one writes results; each delivery on its way is a
task. Nothing here waits for the database before it sends on: at least once is kept by sending again after a
crash, and the order by never having two deliveries of one key on their way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.deliveries.alarms import Alarms, first_of
from atalaia.deliveries.formats import Format
from atalaia.deliveries.lane import WINDOW, Lane, Line
from atalaia.deliveries.loading import (
    FEED_MOST,
    Row,
    Wanted,
    dead_keys,
    last_id,
    read_feed,
    read_keys,
    read_lane,
)
from atalaia.deliveries.ownership import BEAT_S, MARGIN_S, TTL_S, Beat, Name, beat, hand_back
from atalaia.deliveries.recording import Recorder, Result
from atalaia.deliveries.sending import Sender
from atalaia.deliveries.state import Cancelled
from atalaia.deliveries.subscription import CONTROL, SecretBox, Subscription, open_secrets
from atalaia.deliveries.targets.target import Target, TargetFactory
from atalaia.errors import ConfigError, Refused, StoreUnavailable
from atalaia.store.bell import DELIVERIES
from atalaia.store.store import Store

POLL_S = 1.0  # the net below a lost notification
RETRY_S = 1.0
GRACE_S = 5.0  # what is on its way may land in this time when we stop
_log = structlog.get_logger(__name__)


class Dispatcher:
    """Owns lanes and empties them. owner: this worker's id. Every worker runs one."""

    def __init__(
        self,
        store: Store,
        ambient: Ambient,
        formats: Mapping[str, Format],
        targets: TargetFactory,
        box: SecretBox,
        owner: str,
    ) -> None:
        self.lanes: dict[Name, Lane] = {}
        self._store = store
        self._ambient = ambient
        self._owner = owner
        self._book = _TargetBook(targets, box)
        self._alarms = Alarms(ambient.clock)
        self._load = asyncio.Event()
        self._kick = asyncio.Event()
        self._recorder = Recorder(store, ambient, self._recorded, self._drop)
        self._sender = Sender(ambient, formats, self._book.of, self._recorder, self._alarms, self._load.set)
        self._version = -1
        self._seen = 0
        self._told: list[Row] = []  # rows that were committed here since the feed was looked at
        self._stopping = False

    async def run(self) -> None:
        """Send until cancelled; then let land what is on its way and hand the lanes back."""
        await self._begin()
        try:
            with self._store.bell.listening(DELIVERIES, self._hear_rows):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._alarms.run())
                    group.create_task(self._listen(CONTROL, self._kick, 60.0))
                    group.create_task(self._listen(DELIVERIES, self._load, POLL_S))
                    group.create_task(self._beat_loop())
                    group.create_task(self._load_loop())
        finally:
            await self._land()

    async def _begin(self) -> None:
        while True:
            try:
                self._seen = await self._store.read(last_id)
                return
            except (StoreUnavailable, DBAPIError):
                await self._ambient.clock.sleep(RETRY_S)

    async def _land(self) -> None:
        for lane in self.lanes.values():
            lane.paused = True
        if self._sender.flights:
            await asyncio.wait(self._sender.flights, timeout=GRACE_S)
        late = list(self._sender.flights)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(TimeoutError, StoreUnavailable, DBAPIError):
            async with asyncio.timeout(GRACE_S):
                await self._recorder.finished()
                held = list(self.lanes.values())
                await self._store.write(lambda tx: hand_back(tx, held, self._owner))

    async def _listen(self, topic: str, event: asyncio.Event, at_most_s: float) -> None:
        count = self._store.bell.count(topic)
        while True:
            count = await self._store.bell.wait(topic, count, at_most_s=at_most_s)
            event.set()

    def _recorded(self) -> None:
        """Results are in the database: lanes that wait for that may go on."""
        if any(lane.ending and lane.drained for lane in self.lanes.values()):
            self._load.set()
            self._kick.set()

    def _drop(self, lane: Lane) -> None:
        """Let go of a lane that is no longer ours."""
        lane.gone = True
        if self.lanes.get(lane.name) is lane:
            del self.lanes[lane.name]

    # Owning.

    async def _beat_loop(self) -> None:
        clock = self._ambient.clock
        while True:
            self._kick.clear()
            try:
                await self._beat()
            except (StoreUnavailable, DBAPIError) as error:
                _log.warning("leases of lanes were not renewed", error=str(error)[:300])
            else:
                if clock.monotonic() >= self._sender.fence_at:
                    continue  # it took so long that it is worth nothing
            await first_of(clock.sleep(BEAT_S), self._kick.wait())

    async def _beat(self) -> None:
        started = self._ambient.clock.monotonic()
        now = to_ms(self._ambient.clock.now())
        leaving = [lane for lane in self.lanes.values() if lane.ending == "release" and lane.drained]
        held = [lane for lane in self.lanes.values() if lane not in leaving]
        version = self._version

        def work(tx: Connection) -> Beat:
            hand_back(tx, leaving, self._owner)
            return beat(tx, held, self._owner, version, now, take=not leaving)

        answer = await self._store.write(work)
        for lane in leaving:
            self._drop(lane)
        self._sender.fence_at = started + TTL_S - MARGIN_S
        self._apply(answer, held)

    def _apply(self, answer: Beat, held: list[Lane]) -> None:
        for lane in held:
            if lane.lease not in answer.kept:
                _log.warning("a lane was taken over by another worker", lane=lane.lease)
                self._drop(lane)
        if answer.subscriptions is not None:
            self._apply_subscriptions({one.id: one for one in answer.subscriptions})
        for name in answer.touched & self.lanes.keys():
            lane = self.lanes[name]
            lane.ending = lane.ending or "reload"
            self._sender.tell_changed(lane)
        self._apply_taken(answer)
        self._version = answer.version
        for lane in list(self.lanes.values())[: answer.surplus]:
            lane.ending = "release"
        for lane in self.lanes.values():
            self._sender.mark_slow(lane)
            self._sender.pump(lane)
        self._load.set()

    def _apply_taken(self, answer: Beat) -> None:
        subscriptions = self._book.subscriptions
        for taken in answer.taken:
            one = subscriptions.get(taken.name[0])
            if one is None:
                continue  # deleted within this very beat; the lease runs out by itself
            lane = Lane(one, taken.name[1], taken.epoch, circuit=taken.circuit, paused=one.state != "on")
            lane.hold_stuck(taken.dead)
            self.lanes[lane.name] = lane
            self._sender.watch_probe(lane)

    def _apply_subscriptions(self, known: dict[str, Subscription]) -> None:
        self._book.keep(known)
        for lane in list(self.lanes.values()):
            one = known.get(lane.subscription.id)
            if one is None:
                self._drop(lane)
                continue
            changed = one.version != lane.subscription.version
            lane.subscription = one
            lane.paused = one.state != "on"
            if changed:
                self._sender.tell_changed(lane)

    # Loading.

    async def _load_loop(self) -> None:
        while True:
            self._load.clear()
            try:
                if await self._load_once():
                    continue
            except (StoreUnavailable, DBAPIError) as error:
                _log.warning("deliveries were not loaded", error=str(error)[:300])
                await self._ambient.clock.sleep(RETRY_S)
                continue
            await self._load.wait()

    async def _load_once(self) -> bool:
        """Load one part of everything that is wanted; answer whether there is more at once."""
        await self._load_touched()
        more = await self._load_feed()
        more = await self._load_backlogs() or more
        return await self._load_keys() or more

    async def _load_touched(self) -> None:
        for lane in [one for one in self.lanes.values() if one.ending == "reload" and one.drained]:
            block = lane.subscription.policy.order == "block"
            name = lane.name
            dead = await self._store.read(lambda tx, name=name: dead_keys(tx, *name)) if block else set[str]()
            lane.reset()
            lane.hold_stuck(dead)

    def _hear_rows(self, rows: Sequence[Row]) -> None:
        """Keep what was just committed, at most as much as a look at the feed would answer."""
        self._told += rows[: FEED_MOST - len(self._told)]

    def _take_told(self) -> list[Row]:
        """Answer the rows that were told, when they go on where we are; a hole means to read the feed."""
        told = [row for row in self._told if row.id > self._seen]
        self._told.clear()
        whole = bool(told) and told[-1].id - self._seen == len(told)
        return told if whole else []

    async def _load_feed(self) -> bool:
        full = len(self._told) == FEED_MOST
        if told := self._take_told():
            self._seen = told[-1].id
            self._feed([row for row in told if row.state == "pending"])
            return full
        abreast = [lane for lane in self.lanes.values() if not lane.behind]
        names = [f"{lane.subscription.id}:{lane.destination}" for lane in abreast]
        after = self._seen
        rows, self._seen = await self._store.read(lambda tx: read_feed(tx, after, names))
        self._feed(rows)
        return len(rows) == FEED_MOST

    def _feed(self, rows: Sequence[Row]) -> None:
        fed: dict[Name, Lane] = {}
        for row in rows:
            lane = self.lanes.get((row.subscription, row.destination))
            if lane is not None and not self._lost_event(lane, row):
                lane.feed(row)
                fed[lane.name] = lane
        for lane in fed.values():
            self._sender.pump(lane)

    async def _load_backlogs(self) -> bool:
        hungry = [lane for lane in self.lanes.values() if lane.wants_rows]
        if not hungry:
            return False
        upto = self._seen
        asked = [(*lane.name, lane.loaded_to, upto, WINDOW - lane.held) for lane in hungry]

        def work(tx: Connection) -> list[list[Row]]:
            return [read_lane(tx, *one) for one in asked]

        for lane, rows, (*_, most) in zip(hungry, await self._store.read(work), asked, strict=True):
            self._take_backlog(lane, rows, complete=len(rows) < most)
        return any(lane.wants_rows for lane in hungry)

    def _take_backlog(self, lane: Lane, rows: Sequence[Row], *, complete: bool) -> None:
        if lane.gone or lane.ending:
            return
        for row in rows:
            if not self._lost_event(lane, row) and not lane.take(row):
                complete = False
                break
            lane.loaded_to = row.id
        lane.behind = not complete
        for line, next_ms in lane.late:
            self._sender.set_alarm(lane, line, next_ms)
        lane.late.clear()
        self._sender.pump(lane)

    async def _load_keys(self) -> bool:
        asked: list[tuple[Lane, Line, Wanted]] = []
        for lane in self.lanes.values():
            upto = lane.loaded_to if lane.behind else self._seen
            for line in lane.empty:
                asked.append((lane, line, Wanted(*lane.name, line.key, line.loaded_to, upto)))
            lane.empty.clear()
        if not asked:
            return False
        wanted = [want for _, _, want in asked]
        try:
            found = await self._store.read(lambda tx: read_keys(tx, wanted))
        except BaseException:
            for lane, line, _ in asked:
                lane.empty.append(line)
            raise
        for (lane, line, _), (rows, complete) in zip(asked, found, strict=True):
            if not lane.gone and not lane.ending:
                lane.refill(line, [row for row in rows if not self._lost_event(lane, row)], complete=complete)
                self._sender.pump(lane)
        return any(lane.empty for lane, _, _ in asked)

    def _lost_event(self, lane: Lane, row: Row) -> bool:
        """Settle a delivery whose event retention has taken from the log: there is nothing to send."""
        if row.event is not None:
            return False
        state = Cancelled(row.attempts, to_ms(self._ambient.clock.now()))
        self._recorder.add(Result(lane, row.id, state, "The event is no longer in the log."))
        return True


class _TargetBook:
    """The open targets of the subscriptions as they are now."""

    def __init__(self, factory: TargetFactory, box: SecretBox) -> None:
        self._factory = factory
        self._box = box
        self.subscriptions: dict[str, Subscription] = {}
        self._targets: dict[str, tuple[int, Target]] = {}

    def keep(self, known: dict[str, Subscription]) -> None:
        """Forget the targets of subscriptions that are gone. Their connections close when idle."""
        self.subscriptions = known
        for id in self._targets.keys() - known.keys():
            del self._targets[id]

    def of(self, subscription: Subscription) -> Target:
        """Answer the target. Errors: `Refused` when it cannot be opened as it is described."""
        version, target = self._targets.get(subscription.id, (0, None))
        if target is None or version != subscription.version:
            target = self._open(subscription)
            self._targets[subscription.id] = (subscription.version, target)
        return target

    def _open(self, subscription: Subscription) -> Target:
        try:
            secrets = open_secrets(self._box, subscription)
        except Exception as error:
            said = f"The subscription's secrets could not be read ({type(error).__name__})."
            raise Refused(said, ask="Put the right key file back, or write the secrets anew.") from error
        try:
            return self._factory(subscription.target, secrets)
        except ConfigError as error:
            raise Refused(str(error), ask="Correct the subscription.") from error

"""The one worker's part that raises what follows from how things stand, plans notices and sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection

from atalaia.desk.alerts import outbox, passing, returning, watching
from atalaia.desk.alerts.channels import SESSION, Channel, get_channel, secrets_of
from atalaia.desk.alerts.outbox import House
from atalaia.desk.alerts.queries import Notice
from atalaia.desk.alerts.sending import Message, Sent, Way
from atalaia.desk.alerts.wording import Tongue, Tongues, plain
from atalaia.desk.words import N_
from atalaia.errors import ConfigError, Fenced, StoreUnavailable
from atalaia.secretbox import SecretBox
from atalaia.store.bell import FACTS
from atalaia.store.leases import Lease, check
from atalaia.store.store import Store, serialise

log = structlog.get_logger(__name__)

PREFIX = "alerts:"
LEASE = "alerts:all"
EVERY_S = 5.0  # what is due by the clock alone is found so late at most
PAUSE_S = 1.0
# Each sends in a process of its own; more at once would be felt by the rest of the hub.
_AT_ONCE = 2


class Notifier:
    """Works while it holds the lease; `turn` does one round and leaves what is slow to tasks of its own."""

    def __init__(self, store: Store, house: House, box: SecretBox, ways: Mapping[str, Way]) -> None:
        self.tongues: Tongues = plain  # whoever draws screens knows more languages
        self._store = store
        self._house = house
        self._box = box
        self._ways = ways
        self._epoch = 0
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._cut: set[str] = (
            set()
        )  # channels whose lane failed: what it was sending is still to be given back
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._task: asyncio.Task[None] | None = None

    def gained(self, lease: Lease) -> None:
        """Begin to work under this lease."""
        self._task = asyncio.create_task(self.run(lease.epoch), name=LEASE)

    def lost(self, _: str) -> None:
        """Stop at once: what is on its way is cut, and told again by who works next."""
        for task in [*self._lanes.values(), *([self._task] if self._task else [])]:
            task.cancel()

    async def run(self, epoch: int) -> None:
        """Work until cancelled, under the lease's epoch."""
        begun, bell = False, self._store.bell
        while True:
            rung = bell.count(FACTS)
            try:
                if not begun:
                    await self.begin(epoch)
                    begun = True
                await self.turn()
            except StoreUnavailable as error:
                log.warning("alerts.store_unavailable", error=str(error))
            except Fenced:
                return  # the lease's end is on its way to us
            except Exception:
                # A defect outside of any single notice: stay loud, do not spin, lose nothing.
                log.exception("alerts.failed")
            await self._house.ambient.clock.sleep(PAUSE_S)  # a storm of facts is one look
            await bell.wait(FACTS, rung, at_most_s=EVERY_S)

    async def begin(self, epoch: int) -> None:
        """Take over what a worker before us had in its hands when it ended."""
        self._epoch = epoch
        again = await self._store.write(lambda tx: outbox.give_back(tx, epoch))
        if again:
            log.warning("alerts.sent_again", notices=again)

    async def turn(self) -> None:
        """Look once: raise and resolve, write notices down, and send what is due. Errors: `Fenced`."""
        now = self._house.now()
        if await self._store.read(lambda tx: watching.differs(tx, now, self._house.open_ms)):
            await self._store.write(self._watch)
        if await self._store.read(lambda tx: outbox.is_due(tx, self._house)):
            await self._store.write(self._plan)
        if cut := self._cut - self._lanes.keys():
            await self._store.write(lambda tx: self._give_back(tx, cut))
            self._cut -= cut
        if await self._store.read(lambda tx: returning.undelivered(tx, now)):
            await self._store.write(self._take_back)
        for channel in await self._store.read(lambda tx: outbox.waiting(tx, self._house.now())):
            if channel not in self._lanes:
                self._lanes[channel] = task = asyncio.create_task(
                    self._send(channel), name=f"notices {channel}"
                )
                task.add_done_callback(lambda _, channel=channel: self._ended(channel))

    @property
    def busy(self) -> bool:
        """Answer whether anything is being sent."""
        return bool(self._lanes)

    async def settled(self) -> None:
        """Wait until nothing is being sent."""
        while self._lanes:
            await asyncio.gather(*self._lanes.values(), return_exceptions=True)
            await asyncio.sleep(0)

    def _ended(self, channel: str) -> None:
        task = self._lanes.pop(channel)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._cut.add(channel)  # its notice stays `sending` until the next look
            log.error("alerts.lane_failed", channel=channel, exc_info=error)

    def _watch(self, tx: Connection) -> None:
        check(tx, LEASE, self._epoch)
        watching.watch(tx, self._house.ambient, self._house.open_ms)

    def _plan(self, tx: Connection) -> None:
        check(tx, LEASE, self._epoch)
        outbox.write_drafts(tx, self._house, self.tongues)

    def _give_back(self, tx: Connection, channels: set[str]) -> None:
        check(tx, LEASE, self._epoch)
        outbox.give_back_left(tx, self._house, self._epoch, channels)

    def _take_back(self, tx: Connection) -> None:
        check(tx, LEASE, self._epoch)
        returning.take_back(tx, self._house)

    def _claim(self, tx: Connection, channel: str, now_ms: int) -> Notice | None:
        check(tx, LEASE, self._epoch)
        return outbox.claim(tx, channel, self._epoch, now_ms)

    async def _send(self, channel: str) -> None:
        """Send what is due on one channel, one after the other."""
        while await self._send_next(channel):
            pass

    async def _send_next(self, channel: str) -> bool:
        now = self._house.now()
        where = await self._store.read(lambda tx: get_channel(tx, channel))
        one = await self._store.write(lambda tx: self._claim(tx, channel, now))
        if one is None or where is None:
            return False
        about = await self._store.read(lambda tx: passing.about(tx, one))
        async with nullcontext() if where.kind == SESSION else self._free:
            sent = await self._hand_over(where, one, about)
        said = self._house.redactor.text(sent.said)
        if sent.passes:
            await self._store.write(lambda tx: self._pass_on(tx, where, one, said, sent.passes))
            return True
        if not sent.ok:
            log.warning("alerts.not_sent", channel=where.name, said=said, attempt=one.attempts)
        await self._store.write(
            lambda tx: outbox.settle(
                tx,
                self._house,
                one,
                self._epoch,
                ok=sent.ok,
                said=said,
                retry_h=where.policy.retry_h,
                job=sent.job,
            )
        )
        return True

    def _pass_on(self, tx: Connection, channel: Channel, one: Notice, said: str, why: str) -> None:
        serialise(tx)  # two channels must not each rely on the other
        check(tx, LEASE, self._epoch)
        note = self._tongue(channel).word(why)
        passing.pass_on(tx, self._house, one, self._epoch, said=said, note=note % {"name": channel.name})

    def _tongue(self, channel: Channel) -> Tongue:
        return self.tongues(channel.policy.language, ZoneInfo(channel.policy.zone), self._house.now())

    async def _hand_over(self, channel: Channel, one: Notice, about: tuple[str, ...]) -> Sent:
        body = one.body
        if one.again and channel.kind != SESSION:  # a job is never sent twice on our own
            word = self._tongue(channel).word
            body += "\n\n" + word(N_("The hub was cut short while it sent this; it may come twice."))
        try:
            place = self._box.open(channel.sealed)
        except ConfigError as error:
            return Sent(False, str(error))
        for secret in secrets_of(place):
            self._house.redactor.learn(secret)
        way = self._ways.get(channel.kind)
        if way is None:
            return Sent(False, f"This version does not know channels of the kind {channel.kind}.")
        return await way.send(place, Message(one.id, one.title, body, one.severity, about))

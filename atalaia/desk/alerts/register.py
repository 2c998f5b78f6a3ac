"""Sets channels up and tries them, for screens, programs and commands alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.desk.alerts import channels, outbox
from atalaia.desk.alerts.channels import Channel, Policy, get_channel, secrets_of
from atalaia.desk.alerts.sending import Message, Sent, Way
from atalaia.desk.alerts.wording import Tongues, plain, trial
from atalaia.desk.people.model import By, NotAllowed
from atalaia.redact import Redactor
from atalaia.secretbox import SecretBox
from atalaia.store.store import Store


@dataclass(frozen=True)
class Register:
    """The channels of a hub. ways: try addresses, by kind of channel; they need a network, the rest none."""

    store: Store
    ambient: Ambient
    box: SecretBox
    redactor: Redactor
    ways: Mapping[str, Way]
    tongues: Tongues = plain

    async def create(self, name: str, place: str, policy: Policy, *, by: By, enabled: bool = True) -> Channel:
        """Make a channel whose address can be read; nothing is sent. Errors: `NotAllowed` with the field."""
        service = await self._read(place)

        def write(tx: Connection) -> Channel:
            return channels.create_channel(
                tx, self.ambient, self.box, name=name, place=place, hint=service, policy=policy, by=by,
                enabled=enabled,
            )  # fmt: skip

        return await self.store.write(write)

    async def change(
        self, identity: str, *, by: By, name: str | None = None, place: str = "",
        policy: dict[str, Any] | None = None, enabled: bool | None = None,
    ) -> Channel:  # fmt: skip
        """Change what is given; without an address it keeps its own. Errors: `NotAllowed` with the field."""
        service = await self._read(place) if place else None

        def write(tx: Connection) -> Channel:
            before = get_channel(tx, identity)
            wanted = (
                None if policy is None else channels.read_policy(policy, before.policy if before else None)
            )
            return channels.change_channel(
                tx, self.ambient, self.box, identity, by=by, name=name, place=place, hint=service,
                policy=wanted, enabled=enabled,
            )  # fmt: skip

        return await self.store.write(write)

    async def delete(self, identity: str, *, by: By) -> None:
        """Delete a channel. Errors: `NotAllowed` when there is none."""
        await self.store.write(lambda tx: channels.delete_channel(tx, self.ambient, identity, by=by))

    async def test(self, channel: Channel | None, *, place: str = "", language: str = "", by: By) -> Sent:
        """Send a message that says it is a test, to a channel or to an address that is not kept yet.

        What becomes of a kept channel's test is listed among its notices.
        """
        place = place or (self.box.open(channel.sealed) if channel else "")
        self._learn(place)
        now = to_ms(self.ambient.clock.now())
        policy = channel.policy if channel else Policy(language=language or Policy().language)
        tongue = self.tongues(policy.language, ZoneInfo(policy.zone), now)
        title, body = trial(tongue, by.name or by.kind, now)
        message = Message(self.ambient.ids.new(), title, body)
        sent = await self.ways[channels.kind_of(place)].send(place, message)
        if channel is not None:
            await self.store.write(lambda tx: outbox.note_test(tx, self.ambient, channel, message, now, sent))
        return sent

    async def _read(self, place: str) -> str:
        """Answer what the service behind an address is called. Errors: `NotAllowed`."""
        self._learn(place)
        way = self.ways[channels.kind_of(place)]
        found = await way.look(place) if place.strip() else Sent(False, "")
        if place.strip() and not found.ok:
            raise NotAllowed(found.said, field="place")
        return found.service

    def _learn(self, place: str) -> None:
        for secret in secrets_of(place):
            self.redactor.learn(secret)

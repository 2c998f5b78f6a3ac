"""People who write: a scripted population of one phone's contacts, with nights, weekends and habits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING

from simulators.wppconnect.models import GROUP, Media, Message, Person

if TYPE_CHECKING:
    from simulators.wppconnect.host import Host
    from simulators.wppconnect.phone import Phone

HERE = timezone(timedelta(hours=-3))  # Brasília, which has had no summer time since 2019
_TEXTS = (
    "Bom dia!",
    "Tudo certo por aí?",
    "O portão da garagem não abre",
    "Meu pedido já saiu?",
    "Pode me mandar a segunda via do boleto?",
    "Obrigada 🙏",
    "Estou sem sinal desde ontem à noite",
    "Qual o horário de atendimento amanhã?",
    "ok",
    "Segue a foto do medidor",
)
_FILES = (
    ("image", "image/jpeg", "", 18_000),
    ("image", "image/png", "", 900),
    ("ptt", "audio/ogg; codecs=opus", "", 9_000),
    ("document", "application/pdf", "boleto.pdf", 32_000),
    ("video", "video/mp4", "", 120_000),
    ("sticker", "image/webp", "", 6_000),
)
REACTIONS = ("👍", "❤️", "😂", "")


def busy(moment: datetime) -> float:
    """Answer which part of the usual rate people write at: little at night, some at weekends."""
    local = moment.astimezone(HERE)
    if not 7 <= local.hour < 22:
        return 0.02
    return 0.2 if local.weekday() >= 5 else 1.0


class Population:
    """Contacts of one phone. `per_hour`: messages in a busy hour; presence comes four times as often.

    `daily` follows the hours of the week, otherwise the rate is always the same. `migrations`: whether
    contacts move to a lid now and then. The same seed and clock give the same messages.
    """

    def __init__(
        self,
        host: Host,
        phone: Phone,
        seed: int,
        per_hour: float,
        *,
        daily: bool = False,
        migrations: bool = True,
    ) -> None:
        self.host = host
        self.phone = phone
        self.random = Random(seed)
        self.per_hour = per_hour
        self.daily = daily
        self.migrations = migrations
        self._deeds: tuple[tuple[float, Callable[[], object]], ...] = (
            (0.62, self._write),
            (0.14, self._write_in_group),
            (0.12, self._send_file),
            (0.05, self._react),
            (0.04, self._answer),
            (0.015, self._edit),
            (0.01, self._revoke),
            (0.005, self._migrate),
        )

    async def run(self) -> None:
        """Live until the simulator stops."""
        while True:
            await self.host.clock.sleep(self.random.expovariate(5 * self.per_hour / 3600))
            if not self.daily or self.random.random() < busy(self.host.clock.now()):
                self.act()

    def act(self) -> None:
        """Let one thing happen: somebody comes or goes, or does something."""
        if self.random.random() < 0.8:
            state = self.random.choice(("available", "unavailable", "composing", "recording"))
            self.host.presence(self.phone, self._somebody(), state)
            return
        deeds = [deed for _, deed in self._deeds]
        self.random.choices(deeds, [weight for weight, _ in self._deeds])[0]()

    def _somebody(self) -> Person:
        return self.random.choice(list(self.phone.people.values()))

    def _text(self) -> str:
        return f"{self.random.choice(_TEXTS)} #{self.random.randrange(10**6):06d}"

    def _write(self) -> Message:
        quoted = ""
        person = self._somebody()
        if (rows := self.phone.chats.get(person.handle)) and self.random.random() < 0.1:
            quoted = self.random.choice(rows).key
        return self.phone.receive(person.handle, self._text(), quoted=quoted)

    def _write_in_group(self) -> Message:
        group = self._group()
        if group is None:
            return self._write()
        handle, members = group
        return self.phone.receive(handle, self._text(), author=self.random.choice(members))

    def _group(self) -> tuple[str, list[str]] | None:
        known = [one for one in self.phone.groups.values() if one.members]
        group = self.random.choice(known) if known else None
        return (group.handle, group.members) if group is not None else None

    def _send_file(self) -> Message:
        kind, mimetype, filename, size = self.random.choice(_FILES)
        media = Media(mimetype, filename, size, self.random.getrandbits(32))
        group = self._group() if self.random.random() < 0.2 else None
        if group is None:
            return self.phone.receive(self._somebody().handle, kind=kind, media=media)
        author = self.random.choice(group[1])
        return self.phone.receive(group[0], author=author, kind=kind, media=media)

    def _some(self, *, from_me: bool | None = None) -> Message | None:
        recent = list(self.phone.messages.values())[-40:]
        fitting = [one for one in recent if not one.revoked and from_me in (None, one.from_me)]
        return self.random.choice(fitting) if fitting else None

    def _react(self) -> None:
        message = self._some()
        if message is not None:
            who = message.author or (
                self._somebody().handle if message.chat.endswith(GROUP) else message.chat
            )
            self.phone.react(message.key, who, self.random.choice(REACTIONS))

    def _answer(self) -> Message:
        """The owner takes the phone and writes."""
        message = self._some(from_me=False)
        chat = message.chat if message is not None else self._somebody().handle
        written = self.phone.write(chat, self._text())
        self.host.spawn(self.host.carry(self.phone, written))
        return written

    def _edit(self) -> None:
        message = self._some(from_me=False)
        if message is not None and message.kind == "chat":
            self.phone.edit(message.key, self._text())

    def _revoke(self) -> None:
        message = self._some(from_me=False)
        if message is not None:
            self.phone.revoke(message.key)

    def _migrate(self) -> None:
        person = self._somebody()
        if self.migrations and person.number and not person.migrated:
            self.phone.migrate(person.handle)

"""The reading after a connect: what lives on Asterisk now, so that what was missed can be rebuilt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connectors.asterisk import frames, wire
from atalaia.connectors.asterisk.ari import Answer, Ari, AriFailed, words_of
from atalaia.connectors.asterisk.protocol import Status
from atalaia.connectors.asterisk.settings import AsteriskSettings
from atalaia.connectors.asterisk.wavs import Wav, list_wavs, unfinished
from atalaia.events.model import Heard

# The first two are what the interpretation needs; `channelvars` of ari.conf puts them into every channel.
NEEDED = ("CHANNEL(linkedid)", "MIXMONITOR_FILENAME")
VARIABLES = (*NEEDED, "DIALEDPEERNUMBER", "DIALSTATUS", "BRIDGEPEER")
# Beyond so many channels only what is needed is read: events are held back until the reading is over.
CHANNELS_IN_FULL = 200
ASKED_TOGETHER = 200
WAV_CLOSES_WITHIN_S = 2.0


@dataclass
class Reading:
    """What the reading found, for the session itself. newest_ms: creation of the youngest channel."""

    info: Mapping[str, Any] = field(default_factory=dict[str, Any])
    channels: int = 0
    bridges: int = 0
    endpoints: list[str] = field(default_factory=list[str])
    recordings: int = 0
    recordings_trouble: str = ""
    newest_ms: int = 0

    @property
    def version(self) -> str:
        return str(self.info.get("system", {}).get("version", ""))


class Reader:
    """Reads by REST and tells each answer as an event, in the order of the captures."""

    def __init__(
        self, ari: Ari, settings: AsteriskSettings, ambient: Ambient, app: str, tell: Callable[[Heard], None]
    ) -> None:
        self._ari = ari
        self._settings = settings
        self._clock = ambient.clock
        self._app = app
        self._tell = tell

    async def read(self) -> Reading:
        """Read everything. Errors: `AriFailed` when a list is refused or nothing answers."""
        reading = self._reading = Reading()
        reading.info = cast("Mapping[str, Any]", await self._list("/asterisk/info", dict))
        await self._list(f"/applications/{self._app}", dict)
        channels = cast("list[dict[str, Any]]", await self._list("/channels", list))
        bridges = await self._list("/bridges", list)
        reading.channels, reading.bridges = len(channels), len(bridges)
        reading.newest_ms = max((created for _, created in ages(channels)), default=0)
        living = await self._variables(channels)
        endpoints = await self._list("/endpoints", list)
        reading.endpoints = [
            str(one.get("resource")) for one in endpoints if one.get("technology") == "PJSIP"
        ]
        reading.recordings = await self._recordings(living)
        return reading

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())

    async def _list(self, path: str, kind: type[Any]) -> Any:
        answer = await self._ask(path)
        body = answer.json()
        if answer.status != 200 or not isinstance(body, kind):
            raise AriFailed(Status(answer.status, path))
        self._tell_answer(path, answer)
        return body

    async def _ask(self, path: str) -> Answer:
        return await self._ari.get(path)

    def _tell_answer(self, path: str, answer: Answer) -> None:
        self._tell(frames.rest(path, answer.status, answer.body, self._now_ms()))

    async def _variables(self, channels: list[dict[str, Any]]) -> set[str]:
        """Read the variables of each living channel; answer the base names of the recordings being made."""
        living = {_base(wire.read_channel(one).recording) for one in channels if one.get("id")}
        names = VARIABLES if len(channels) <= CHANNELS_IN_FULL else NEEDED
        wanted = [
            (str(one["id"]), name) for one in channels if one.get("id") for name in _unknown(one, names)
        ]
        for start in range(0, len(wanted), ASKED_TOGETHER):
            group = wanted[start : start + ASKED_TOGETHER]
            paths = [f"/channels/{quote(n, safe='')}/variable?variable={quote(v, safe='')}" for n, v in group]
            answers = await _all(self._ask(path) for path in paths)
            for (_, variable), path, answer in zip(group, paths, answers, strict=True):
                self._tell_answer(path, answer)  # 404 (not set, or the channel is gone) is an answer, too
                if variable == "MIXMONITOR_FILENAME" and answer.status == 200:
                    living.add(_base(_value(answer)))
        return living - {""}

    async def _recordings(self, living: set[str]) -> int:
        folder = self._settings.recordings_folder
        if not folder:
            return 0
        wavs = await self._look(Path(folder))
        if wavs and unfinished(wavs, living, self._now_ms() / 1000):
            await self._clock.sleep(WAV_CLOSES_WITHIN_S)
            wavs = await self._look(Path(folder)) or wavs
        if wavs is not None:
            self._tell(frames.recordings(wavs, self._now_ms()))
        return len(wavs or {})

    async def _look(self, folder: Path) -> dict[str, Wav] | None:
        since_s = self._now_ms() / 1000 - self._settings.recordings_back_h * 3600
        try:
            return await asyncio.to_thread(list_wavs, folder, since_s)
        except OSError as error:
            self._reading.recordings_trouble = words_of(error)
            return None


def ages(channels: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Answer (id, creation in Unix ms) of each channel of `GET /channels`."""
    found: list[tuple[str, int]] = []
    for one in channels:
        try:
            channel = wire.read_channel(one)
        except ValueError:
            continue
        found.append((channel.id, channel.created_ms))
    return found


def _unknown(channel: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """Answer the variables that the channel's own `channelvars` do not tell already."""
    told = channel.get("channelvars")
    return [name for name in names if not isinstance(told, dict) or name not in told]


def _value(answer: Answer) -> str:
    body = answer.json()
    return str(cast("dict[str, Any]", body).get("value", "")) if isinstance(body, dict) else ""


def _base(path: str) -> str:
    return path.rpartition("/")[2]


async def _all(work: Iterable[Any]) -> list[Answer]:
    """Run together and answer in order; the first failure ends the others and is raised by itself."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

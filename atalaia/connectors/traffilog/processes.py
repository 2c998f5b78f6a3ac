"""The processes of all vehicles of one account: kept in the interpreter's memory, told as facts.

The upstream's pushes name no process, so what is heard of a vehicle is about the one process of its kind that
runs there; a status without one is a process that somebody else has started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from atalaia.connectors.traffilog import gsensor, process
from atalaia.connectors.traffilog.process import CONFIRMED, RUN_COMMAND, SCHEME_BUILDER, Process
from atalaia.connectors.traffilog.telling import Telling
from atalaia.connectors.traffilog.units import Message
from atalaia.connectors.traffilog.wire import Json, text_of
from atalaia.reactions.interpreter import Memory

_PREPARED_MS = 600_000  # for so long a process that is ready may be the one that a status is about
_KINDS = {"": SCHEME_BUILDER, "scheme builder": SCHEME_BUILDER}


class Processes:
    """Takes what is heard of processes. The memory holds one process a vehicle and kind, the newest."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def queued(self, telling: Telling, vehicle_id: str, asked: Json, job: str) -> None:
        """Take a successful `execute_action_opr`. asked: its parameters."""
        process_id = text_of(asked, "process_id")
        kind = SCHEME_BUILDER if text_of(asked, "toggle_check") == "1" else RUN_COMMAND
        known = self._load(vehicle_id, kind)
        if not process_id or (known is not None and known.process_id == process_id):
            return
        if known is not None and known.runs and known.process_id:
            self._memory.put(f"earlier:{vehicle_id}", process.to_memory(known))
        begun = Process(
            vehicle_id,
            kind,
            process_id,
            comment=text_of(asked, "comment"),
            job=job,
            queued_ms=telling.at_ms,
            command=self._memory.get(f"command:{vehicle_id}") or "" if kind == RUN_COMMAND else "",
        )
        self._memory.delete(f"command:{vehicle_id}")
        self._begin(telling, begun, text_of(asked, "client_id"))

    def prepared(self, telling: Telling, vehicle_id: str, process_id: str, asked: Json, job: str) -> None:
        """Remember a process that is ready to be executed, for the case that the answer to that is lost."""
        if vehicle_id and process_id:
            client_id = text_of(asked, "client_id")
            ready = {"process_id": process_id, "client_id": client_id, "job": job, "at_ms": telling.at_ms}
            self._memory.put(f"prepared:{vehicle_id}", ready)

    def command_added(self, vehicle_id: str, asked: Json) -> None:
        """Remember the raw command of a run command that is being prepared."""
        payload = gsensor.payload_of(text_of(asked, "command_syntax"))
        if vehicle_id and payload:
            self._memory.put(f"command:{vehicle_id}", payload)

    def status(self, telling: Telling, vehicle_id: str, row: Json) -> None:
        """Take a row of `UNIT_CONFIG_STATUS`."""
        told = text_of(row, "type").strip().lower()
        kind = _KINDS.get(told) or re.sub(r"\W+", "_", told)[:40]
        known = self._load(vehicle_id, kind)
        if known is None or (not known.runs and _is_another(known, row)):
            known = self._begun_unheard(telling, vehicle_id, kind)
        if known.runs:
            texts = {name: text_of(row, name) for name in ("status", "progress", "error", "retries")}
            self._tell(telling, known, process.hear_status(known, texts, telling.at_ms))

    def message(self, telling: Telling, vehicle_id: str, message: Message) -> None:
        """Take a raw message to or from the vehicle's unit."""
        for known in self._of(vehicle_id):
            self._tell(telling, known, process.hear_message(known, message, telling.at_ms))

    def beat(self, telling: Telling, vehicle_id: str) -> None:
        """Note that something else was heard of the unit."""
        for known in self._of(vehicle_id):
            if known.runs:
                self._save(replace(known, heard_ms=max(known.heard_ms, telling.at_ms)))

    def keys(self, telling: Telling, vehicle_id: str, assigned: str, loaded: str) -> None:
        """Take the configuration keys of a `get_vehicle_info` row, as far as they agree."""
        known = self._load(vehicle_id, SCHEME_BUILDER)
        if known is not None and assigned.upper() == loaded.upper():
            self._tell(telling, known, process.confirm(known, assigned, loaded, telling.at_ms))

    def verdict(self, telling: Telling, vehicle_id: str, said: Json) -> None:
        """Take what a job has decided by time."""
        process_id, outcome = text_of(said, "process_id"), text_of(said, "outcome")
        if outcome not in (process.CONFIRMED, process.UNCONFIRMED, process.UNKNOWN, process.FAILED):
            return
        fits = [one for one in self._of(vehicle_id) if one.process_id == process_id]
        kept = bool(fits)
        saved = self._memory.get(f"earlier:{vehicle_id}")
        if not fits and saved and saved["process_id"] == process_id:
            fits = [process.from_memory(saved)]
            self._memory.delete(f"earlier:{vehicle_id}")
        job = text_of(said, "job")
        known = fits[0] if fits else Process(vehicle_id, SCHEME_BUILDER, process_id, job=job)
        ended = process.conclude(known, outcome, telling.at_ms)
        self._tell(telling, known, ended, why=text_of(said, "why"), keep=kept)

    def _begin(self, telling: Telling, begun: Process, client_id: str) -> None:
        self._memory.delete(f"prepared:{begun.vehicle_id}")
        self._save(begun)
        data = {**process.evidence(begun), "client_id": client_id, "inferred": begun.inferred}
        telling.say("process.queued", begun.process_id, data, once=True)

    def _begun_unheard(self, telling: Telling, vehicle_id: str, kind: str) -> Process:
        """Answer the process that a status is about when its queueing was not heard.

        One that we had just prepared was executed after all; else somebody else's, without an id.
        """
        ready = self._memory.get(f"prepared:{vehicle_id}")
        if kind != SCHEME_BUILDER or not ready or telling.at_ms - ready["at_ms"] > _PREPARED_MS:
            return Process(vehicle_id, kind, started_ms=telling.at_ms)
        begun = Process(
            vehicle_id,
            kind,
            ready["process_id"],
            job=ready["job"],
            queued_ms=ready["at_ms"],
            inferred=True,
        )
        self._begin(telling, begun, ready["client_id"])
        return begun

    def _tell(
        self, telling: Telling, before: Process, after: Process, *, why: str = "", keep: bool = True
    ) -> None:
        """State what changed, and remember it."""
        key = after.process_id or f"{after.vehicle_id}:{after.started_ms}"
        data = process.evidence(after)
        if after.key_acknowledged and not before.key_acknowledged:
            telling.say("process.key_acknowledged", key, data, once=True)
        if after.outcome and not before.outcome:
            took_ms = after.ended_ms - (after.queued_ms or after.started_ms or after.ended_ms)
            ended = {**data, "outcome": after.outcome, "why": why or _why(after), "took_ms": took_ms}
            telling.say("process.ended", key, ended, once=True)
        elif after.runs and _is_further(after):
            telling.say("process.progressed", key, data)
            after = replace(after, shown_percent=after.percent, shown_status=after.status)
        if after.confirmed_ms and not before.confirmed_ms:
            telling.say("process.confirmed", key, {**data, "outcome": CONFIRMED}, once=True)
        if keep and after != before:
            self._save(after)

    def _of(self, vehicle_id: str) -> Iterator[Process]:
        for kind in (SCHEME_BUILDER, RUN_COMMAND):
            known = self._load(vehicle_id, kind)
            if known is not None:
                yield known

    def _load(self, vehicle_id: str, kind: str) -> Process | None:
        saved = self._memory.get(f"process:{vehicle_id}:{kind}")
        return process.from_memory(saved) if saved else None

    def _save(self, one: Process) -> None:
        self._memory.put(f"process:{one.vehicle_id}:{one.kind}", process.to_memory(one))


def _is_another(ended: Process, row: Json) -> bool:
    """Answer whether a status after the end of a process is about a new one: it begins at the beginning."""
    text = text_of(row, "progress").strip()
    return text_of(row, "status").strip().lower() == "in progress" and text in ("0", "0.0", "0.00")


def _is_further(one: Process) -> bool:
    """Answer whether a person would see a difference: a whole percent, or another word."""
    return int(one.percent) > int(one.shown_percent) or one.status != one.shown_status


def _why(ended: Process) -> str:
    if ended.kind == RUN_COMMAND:
        return "the unit has executed the command"
    if ended.outcome == process.FAILED:
        return f"the upstream says {ended.error or ended.status}"
    return f"the upstream says {ended.status or 'completed'}"

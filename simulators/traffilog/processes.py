"""What `execute` sets going: a Scheme Builder that writes a scheme into a unit, a command to a unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.traffilog import reports
from simulators.traffilog.commands import SYNCHRONOUS_LAST, Command, batches, percent, scheme_commands
from simulators.traffilog.models import Process, Row, Unit, Vehicle

if TYPE_CHECKING:
    from simulators.rules import Rule
    from simulators.traffilog.upstream import Upstream

# How a Scheme Builder can go wrong; each is a fault of the same name.
WRONG = ("sb-no-response", "sb-silence", "sb-error", "sb-disconnected", "sb-batch-timeout", "sb-no-key")


def begin(up: Upstream, process: Process, vehicle: Vehicle) -> None:
    """Start what was queued, in its own time; the vehicle may carry no unit."""
    unit = up.unit_of(vehicle)
    if process.kind == "gsensor":
        up.spawn(_run_command(up, process, vehicle, unit))
    else:
        vehicle.assigned_setting = process.setting_id
        up.spawn(_queue_builder(up, process, vehicle, unit))


async def _queue_builder(up: Upstream, process: Process, vehicle: Vehicle, unit: Unit | None) -> None:
    async with up.lock_of(unit.serial if unit else vehicle.id):
        await Builder(up, process, vehicle, unit).run()


class Stopped(Exception):
    """The process goes no further; `outcome` says how it ended."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass
class Builder:
    """One Scheme Builder on one unit, from its first status to the unit's return."""

    up: Upstream
    process: Process
    vehicle: Vehicle
    unit: Unit | None
    told: str = "0"  # the progress of the last status

    async def run(self) -> None:
        """Go through the run of the contract's section 9.1."""
        up, process = self.up, self.process
        about = {"vehicle_id": self.vehicle.id, "serial": self.vehicle.serial}
        wrong = next((rule for name in WRONG if (rule := up.rules.take(name, **about))), None)
        await up.clock.sleep(up.draw(up.pace.sb_start_s))
        process.state = "running"
        process.key = f"{int(up.now().timestamp()):08X}"
        self.vehicle.key_db = process.key
        scheme = up.schemes[process.setting_id]
        process.total = scheme.commands or up.pace.commands
        try:
            self._status(self._row("0"))
            await self._reachable(wrong)
            up.spawn(self._repeat(self._row("0")))
            await up.clock.sleep(up.draw(up.pace.sb_first_command_s))
            await self._send_all(wrong)
            process.outcome = "completed"
        except Stopped as stop:
            process.outcome = stop.outcome
        finally:
            process.state = "ended"
            self.vehicle.status = {}

    # ---- statuses ------------------------------------------------------------------------

    def _row(self, progress: str, status: str = "In Progress", error: str = " ", retries: str = "0") -> Row:
        return {
            "status": status,
            "progress": progress,
            "type": "Scheme Builder",
            "error": error,
            "retries": retries,
        }

    def _status(self, row: Row) -> None:
        self.told = row["progress"]
        reports.status(self.up, self.vehicle, row)

    async def _repeat(self, row: Row) -> None:
        """Tell a status once or twice more, unless another came meanwhile."""
        for _ in range(self.up.random.randint(1, 2)):
            await self.up.clock.sleep(self.up.draw(self.up.pace.repeat_s))
            if self.told != row["progress"] or self.process.state == "ended":
                return
            reports.status(self.up, self.vehicle, row)

    def _progress(self) -> None:
        row = self._row(percent(self.process.acknowledged, self.process.total))
        self._status(row)
        self.up.spawn(self._repeat(row))

    # ---- commands ------------------------------------------------------------------------

    async def _reachable(self, wrong: Rule | None) -> Unit:
        """Wait for an offline unit, for as long as the upstream does."""
        name = wrong.name if wrong else ""
        if self.unit is not None and self.unit.online and name != "sb-no-response":
            return self.unit
        await self.up.clock.sleep(self.up.pace.silence_s)
        if self.unit is not None and self.unit.online and name != "sb-no-response":
            return self.unit
        if self.up.rules.has("sb-mute-end", vehicle_id=self.vehicle.id):
            raise Stopped("silent")
        self._status(self._row("0", "No Response"))
        raise Stopped("no_response")

    async def _send_all(self, wrong: Rule | None) -> None:
        up, process = self.up, self.process
        parts = batches(scheme_commands(process.total, process.key, up.random))
        keyless = wrong is not None and wrong.name == "sb-no-key"
        turn = round(process.total * wrong.number("at", 0.5)) if wrong is not None else 0
        if wrong is not None and not keyless:
            parts = _cut(parts, turn)
        sent = 0
        for number, part in enumerate(parts):
            if wrong is not None and not keyless and sent == turn:
                await self._go_wrong(wrong)
            if not part[0].numbered:
                await self._reset(keyless)
                return
            await self._send(part, first=number == 0)
            sent += len(part)
            if part[0].letter != "33":
                self._progress()
            alone = number == 0 or len(parts) - number <= SYNCHRONOUS_LAST
            await up.pause(up.pace.last_pause_s if alone else up.pace.batch_pause_s)

    async def _send(self, part: list[Command], *, first: bool) -> None:
        """Send some commands one after the other and hear their acknowledgements come in between."""
        up = self.up
        events: list[tuple[float, int, str, str]] = []
        due = up.clock.monotonic()
        for order, command in enumerate(part):
            assert self.unit is not None
            number = self.unit.next_sent() if command.numbered else ""
            events.append((due, order, "to", f"1502{number}{command.payload}"))
            wait = up.draw(up.pace.sb_first_ack_s) if first else 0.0
            sub = f"{up.random.getrandbits(8):02X}" if command.letter == "F0" else ""
            events.append((due + wait + up.draw(up.pace.transport_ack_s), order, "from", f"1602{number}"))
            done = due + wait + up.draw(up.pace.command_ack_s)
            events.append((done, order, "done", command.acknowledgement + sub))
            due += up.draw(up.pace.command_s)
        for moment, _, way, payload in sorted(events):
            if (left := moment - up.clock.monotonic()) > 0:
                await up.clock.sleep(left)
            await self._online()
            self._carry(way, payload)

    async def _online(self) -> None:
        """Wait for a unit that went off line in the middle, for as long as the upstream does."""
        waited = 0.0
        while self.unit is not None and not self.unit.online:
            if waited >= self.up.pace.silence_s:
                self._status(self._row(self.told, "No Response"))
                raise Stopped("no_response")
            await self.up.clock.sleep(1.0)
            waited += 1.0

    def _carry(self, way: str, payload: str) -> None:
        assert self.unit is not None
        if way == "to":
            reports.to_unit(self.up, self.unit, payload)
        else:
            reports.from_unit(self.up, self.unit, payload)
            self.process.acknowledged += way == "done"

    async def _reset(self, keyless: bool) -> None:
        """Reset the unit: Completed is told at once, the proof comes when the unit is back.

        `keyless`: the unit goes on with what it had.
        """
        up, unit, process = self.up, self.unit, self.process
        assert unit is not None
        reports.to_unit(up, unit, "06025753")
        done = up.rules.take("sb-done", vehicle_id=self.vehicle.id) is not None
        self._status(self._row("100", "Done" if done else "Completed"))
        await up.pause(up.pace.transport_ack_s)
        reports.from_unit(up, unit, "040106")
        process.acknowledged += 1
        if not keyless:
            unit.key, unit.loaded_setting = process.key, process.setting_id
        up.spawn(reboot(up, unit))

    async def _go_wrong(self, rule: Rule) -> None:
        """Carry out a fault in the middle of the run; `for_s` lets it go on afterwards."""
        up, progress = self.up, self.told
        match rule.name:
            case "sb-error":
                text = str(rule.options.get("error", "Internal Error"))
                self._status(self._row(progress, str(rule.options.get("word", "Error")), text))
                raise Stopped("error")
            case "sb-disconnected":
                self._status(self._row(progress, str(rule.options.get("word", "Disconnected Unit"))))
                if self.unit is not None:
                    reports.connected(up, self.unit, False)
            case "sb-batch-timeout":
                self._status(self._row(progress, "Batch Timeout", retries="1"))
                await up.clock.sleep(rule.number("for_s", 20.0))
                self._status(self._row(progress, "Retry", retries="1"))
                return
            case _:
                pass
        if "for_s" not in rule.options:
            raise Stopped("silent")
        await up.clock.sleep(rule.number("for_s", 60.0))
        if self.unit is not None and not self.unit.online:
            reports.connected(up, self.unit, True)


def _cut(parts: list[list[Command]], at: int) -> list[list[Command]]:
    """Answer the same parts with a border after the first `at` commands."""
    cut: list[list[Command]] = []
    for part in parts:
        before = at - sum(len(one) for one in cut)
        cut += [part[:before], part[before:]] if 0 < before < len(part) else [part]
    return cut


async def reboot(up: Upstream, unit: Unit) -> None:
    """Take a unit off line and bring it back with its key and an empty registry."""
    reports.connected(up, unit, False)
    await up.pause(up.pace.reboot_s)
    unit.forget_modules(up.now(), up.draw(up.pace.registry_some_s), up.draw(up.pace.registry_full_s))
    reports.connected(up, unit, True)
    reports.from_unit(up, unit, f"1502{unit.next_told()}1404{unit.key.upper()}")


async def _run_command(up: Upstream, process: Process, vehicle: Vehicle, unit: Unit | None) -> None:
    """Deliver a raw command, also in the middle of a Scheme Builder, and hear the unit acknowledge it."""
    about = {"vehicle_id": vehicle.id, "serial": vehicle.serial}
    await up.clock.sleep(up.draw(up.pace.gsensor_s))
    process.state = "running"
    while unit is None or not unit.online:
        await up.clock.sleep(5.0)
        unit = up.unit_of(vehicle)
    payload = process.command.rsplit(",", 1)[-1].rstrip(")").upper()
    number = unit.next_sent() if up.pace.gsensor_numbered else ""
    reports.to_unit(up, unit, f"1502{number}{payload}" if number else payload)
    if up.rules.take("gsensor-unacknowledged", **about) is not None:
        process.state, process.outcome = "ended", "unacknowledged"
        return
    await up.pause(up.pace.transport_ack_s)
    if number:
        reports.from_unit(up, unit, f"1602{number}")
    await up.pause((0.15, 0.35))
    unit.mounting = process.command
    reports.from_unit(up, unit, f"0401{payload[:2]}")
    process.state, process.outcome = "ended", "acknowledged"

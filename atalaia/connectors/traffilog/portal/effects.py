"""The portal's four writes as steps that are never doubled, each with the reading that finds its trace.

Before a write leaves, the vehicle is read in the same use of the session: rows prove that the session lives
(a stale one takes a write without a word and does nothing), and what is there already is not written again.
After it the same record is read until it shows the write, so a step is done only when it is proven, and a
retry sends again what was not. A write in doubt is looked for in the same way, with a fresh session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from atalaia.connectors.traffilog.portal import forms, lookups, xml
from atalaia.connectors.traffilog.portal.client import THROWN_OUT, Portal, portal_of
from atalaia.connectors.traffilog.portal.forms import Activation
from atalaia.connectors.traffilog.portal.lookups import Vehicle, same_plate, same_serial
from atalaia.connectors.traffilog.portal.xml import Row
from atalaia.errors import InDoubt, Refused, Rejected, Unavailable, Unreadable
from atalaia.jobs.model import (
    CannotTell,
    DidNotHappen,
    Effect,
    Happened,
    JobContext,
    JobFailed,
    StepKind,
    Verdict,
)

T = TypeVar("T")

TOOK_IT = "The portal took it, but"
GOES_ON = "Run it again: it goes on from here."
GUARD_PAUSES_S = (2.0, 5.0, 10.0)
SETTLED_S = 2.0  # a request that was cut off may still be at work when we come to look
CHECK_TRIES, CHECK_PAUSE_S = 3, 1.5
COMMENTS = ("ACCOSSORIES_COMMENTS", "LOGISTIC_COMMENTS")  # where a save leaves our trace
OTHERS_S = 10.0  # within it another uninstallation has put its unit on the vehicle it ordered


class NotApplied(Rejected):
    """The portal took a write, and its record does not show it: surely nothing happened."""


@dataclass(frozen=True, slots=True)
class Reasons:
    """The words under which one write fails.

    said_no: the portal refused it. broke: the portal could not be asked before it left. not_applied: the
    portal took it and does not show it. thrown_out: our session ended, twice; empty = as `said_no`.
    """

    said_no: str
    broke: str
    not_applied: str
    thrown_out: str = ""

    def of(self, error: Rejected) -> str:
        """Answer the word for an error, also for one that comes back from the ledger as its text."""
        if str(error).startswith(TOOK_IT):
            return self.not_applied
        return self.thrown_out if self.thrown_out and THROWN_OUT in str(error) else self.said_no


def unit_of(row: Mapping[str, str]) -> str:
    """Answer the serial that a vehicle's activation data holds, "" for none."""
    return (row.get("DIAL_NUMBER") or row.get("INNER_ID") or "").strip()


def traced(comment: str, trace: str) -> str:
    """Answer a comment with the run's trace at its end, once; people see it in the portal, too."""
    tag = f"#rid={trace}"
    return comment if comment.endswith(tag) else f"{comment} {tag}".strip()


@contextmanager
def half_way(stands: str) -> Generator[None]:
    """Say with a failure of what follows how things stand upstream, and that a retry goes on from there.

    stands: a sentence. Known of the failure: `half_way` is true.
    """
    try:
        yield
    except JobFailed as error:
        said = f"{error} {stands} {GOES_ON}"
        raise JobFailed(error.reason, said, **{**error.known, "half_way": True}) from error


async def run(ctx: JobContext, name: str, work: Callable[[Effect], Awaitable[T]], *, reasons: Reasons,
              probe: Callable[[Mapping[str, Any]], Awaitable[Verdict]],
              unseen: Mapping[str, Any] | None = None) -> T:  # fmt: skip
    """Run an unsafe step; its failures become the job's, under the contract's words.

    unseen: what it answers when a person only says that it happened.
    """
    supposed = dict(unseen or {"already": False})
    try:
        return await ctx.step(name, StepKind.UNSAFE, work, probe=_plain(probe), suppose=lambda _: supposed)
    except Refused:
        raise
    except Rejected as error:
        raise JobFailed(reasons.of(error), str(error)) from error
    except (Unavailable, Unreadable) as error:
        raise JobFailed(reasons.broke, str(error)) from error


async def deactivate(
    ctx: JobContext, name: str, vehicle: Vehicle, serial: str, *, by: str, comment: str, reasons: Reasons
) -> dict[str, Any]:
    """Take the unit off a vehicle; answer {"already": whether it was off}."""

    async def work(effect: Effect) -> dict[str, Any]:
        async with portal_of(ctx) as portal:
            row = await read_guarded(portal, vehicle.id)
            if not _holds(row, serial):
                return {"already": True}
            form = forms.deactivate(vehicle.id, vehicle.plate, by, traced(comment, ctx.trace))

            async def sending() -> None:
                await effect.sending(vehicle_id=vehicle.id, serial=unit_of(row), trace=ctx.trace)

            await portal.write(form, sending)

            async def applied(row: Row) -> bool:
                return not _holds(row, serial)

            await prove(portal, vehicle.id, applied, "still holds the unit")
            return {"already": False}

    async def probe(evidence: Mapping[str, Any]) -> Verdict:
        async with portal_of(ctx) as portal:
            row = await read_fresh(portal, vehicle.id)
        if row is None:
            return CannotTell(f"The portal shows no vehicle {vehicle.id} any more.")
        if _holds(row, str(evidence["serial"])):
            return DidNotHappen(f"Vehicle {vehicle.id} still holds the unit.")
        return Happened({"already": False}, f"Vehicle {vehicle.id} no longer holds the unit.")

    return await run(ctx, name, work, reasons=reasons, probe=probe)


async def save(
    ctx: JobContext, name: str, wanted: Activation, baseline: Row, *, reasons: Reasons
) -> dict[str, Any]:
    """Write a vehicle's activation; answer {"already": whether it was so}. `wanted.day` is filled in here."""

    async def work(effect: Effect) -> dict[str, Any]:
        async with portal_of(ctx) as portal:
            row = await read_guarded(portal, wanted.vehicle_id)
            before = await _compare(portal, wanted, row)
            if unit_of(row) and not before["serial"]:
                said = f"Vehicle {wanted.vehicle_id} holds another unit ({unit_of(row)})."
                raise JobFailed(reasons.said_no, said, vehicle_id=wanted.vehicle_id, serial=unit_of(row))
            if all(before.values()):
                return {"already": True}
            day = forms.day_of(ctx.ambient.clock.now())
            said = replace(wanted, day=day, comment=traced(wanted.comment, ctx.trace))
            form = forms.save(said, baseline)

            async def sending() -> None:
                await effect.sending(
                    vehicle_id=wanted.vehicle_id, serial=wanted.serial, plate=wanted.plate, before=before,
                    trace=ctx.trace,
                )  # fmt: skip

            await portal.write(form, sending)
            missing = [part for part in ("serial", "plate") if not before[part]] or ["asset_type"]

            async def applied(row: Row) -> bool:
                now = await _compare(portal, wanted, row)
                return all(now[part] for part in missing)

            await prove(portal, wanted.vehicle_id, applied, f"does not show the unit {wanted.serial}")
            return {"already": False}

    async def probe(evidence: Mapping[str, Any]) -> Verdict:
        async with portal_of(ctx) as portal:
            row = await read_fresh(portal, wanted.vehicle_id)
            now = await _compare(portal, wanted, row) if row is not None else {}
        if row is None:
            return CannotTell(f"The portal shows no vehicle {wanted.vehicle_id}.")
        if any(f"#rid={evidence['trace']}" in row.get(name, "") for name in COMMENTS):
            return Happened({"already": False}, f"Vehicle {wanted.vehicle_id} carries our trace.")
        return weigh(evidence["before"], now, f"vehicle {wanted.vehicle_id}")

    return await run(ctx, name, work, reasons=reasons, probe=probe)


async def order(
    ctx: JobContext, name: str, client: Vehicle, known: Sequence[str], *, reasons: Reasons
) -> str:
    """Order a stock vehicle for the company of `client`; answer the order's id, "" when nobody knows it.

    known: ids of the company's vehicles before, so that an order in doubt shows by what is new.
    """

    async def work(effect: Effect) -> dict[str, Any]:
        async with portal_of(ctx) as portal:
            await read_guarded(portal, client.id)
            form = forms.order(client.client_id, portal.user, ctx.ambient.clock.now())

            async def sending() -> None:
                await effect.sending(client_id=client.client_id, dated=form["ORDER_DATE"], trace=ctx.trace)

            found = xml.order_of(await portal.write(form, sending))
            if not found:
                raise InDoubt("The portal took the order and named no number.")
            return {"order_id": found}

    async def probe(evidence: Mapping[str, Any]) -> Verdict:
        looks: list[list[Vehicle]] = []
        for pause_s in (SETTLED_S, OTHERS_S):
            await ctx.ambient.clock.sleep(pause_s)
            async with portal_of(ctx) as portal:
                if not portal.fresh:
                    await portal.renew()
                looks.append(await ordered(portal, client, known))
        # Another uninstallation's vehicle looks the same until its unit is on it, a moment later.
        new = [one for one in looks[1] if one.id in {other.id for other in looks[0]}]
        if len(new) == 1 and len(new[0].orders) == 1:
            return Happened({"order_id": new[0].orders[0]}, f"Vehicle {new[0].id} came with an order.")
        if new or looks[1]:
            ids = ", ".join(one.id for one in looks[1])
            orders = [number for one in looks[1] for number in one.orders]
            found = {"order_id": orders[0] if len(orders) == 1 else ""}
            return CannotTell(f"Stock vehicles are new, and any may be ours: {ids}.", found)
        return DidNotHappen("No new stock vehicle of the company has shown up.")

    answer = await run(ctx, name, work, reasons=reasons, probe=probe, unseen={"order_id": ""})
    return str(answer.get("order_id") or "")  # a person who says “it happened” may know no number


async def ordered(portal: Portal, client: Vehicle, known: Sequence[str], order_id: str = "") -> list[Vehicle]:
    """Answer the company's vehicles that came with an order and hold no unit: of this order, or new ones."""
    rows = await lookups.of_client(portal, client.client_id, client.client_name)
    if order_id:
        return [one for one in rows if order_id in one.orders]
    return [one for one in rows if one.orders and not one.serial and one.id not in known]


async def move(
    ctx: JobContext, name: str, vehicle: Vehicle, asset: forms.Asset, reasons: Reasons
) -> dict[str, Any]:
    """Move a vehicle to the company in `asset`; answer {"already": whether it was there}."""

    async def work(effect: Effect) -> dict[str, Any]:
        async with portal_of(ctx) as portal:
            before = _where(asset, await read_guarded(portal, vehicle.id))
            if all(before.values()):
                return {"already": True}

            async def sending() -> None:
                await effect.sending(
                    vehicle_id=vehicle.id, client_id=asset.client_id, group_id=asset.group_id, before=before,
                    trace=ctx.trace,
                )  # fmt: skip

            await portal.write(forms.move(asset), sending)

            async def applied(row: Row) -> bool:
                return row.get("CLIENT_ID") == asset.client_id

            await prove(portal, vehicle.id, applied, "is not with the company")
            return {"already": False}

    async def probe(evidence: Mapping[str, Any]) -> Verdict:
        async with portal_of(ctx) as portal:
            row = await read_fresh(portal, vehicle.id)
        if row is None:
            return CannotTell(f"The portal shows no vehicle {vehicle.id}.")
        return weigh(evidence["before"], _where(asset, row), f"vehicle {vehicle.id}")

    return await run(ctx, name, work, reasons=reasons, probe=probe)


def weigh(before: Mapping[str, bool], now: Mapping[str, bool], what: str) -> Verdict:
    """Judge a write in doubt by what it was to change: all of it is there, none of it, or a part.

    before, now: by the name of a part, whether the record shows it as wanted.
    """
    changed = [part for part, right in before.items() if not right]
    there = [part for part in changed if now.get(part)]
    if changed and len(there) == len(changed):
        return Happened({"already": False}, f"The portal shows it at {what}: {', '.join(there)}.")
    if there or not changed:
        return CannotTell(
            f"The portal shows only a part of it at {what}: {', '.join(there) or 'nothing new'}."
        )
    return DidNotHappen(f"The portal shows nothing of it at {what}.")


async def prove(
    portal: Portal, vehicle_id: str, applied: Callable[[Row], Awaitable[bool]], not_so: str
) -> None:
    """Read a vehicle until it shows what was written, the last time with a fresh session.

    Errors: `NotApplied` when it was read and does not; `InDoubt` when it does not and our session had ended
    meanwhile, for a stale one swallows a write: looking again and sending again is right then;
    `Unavailable` when it could not be read: that proves nothing either way.
    """
    since, stale = portal.account.since, False
    for turn in range(CHECK_TRIES):
        await portal.clock.sleep(CHECK_PAUSE_S if turn else 0)
        if turn == CHECK_TRIES - 1 and not portal.fresh:
            await portal.renew()
        row = await _patiently(portal, vehicle_id)
        if row is not None and await applied(row):
            return
        if turn == 0:
            stale = portal.account.since != since
    if stale:
        raise InDoubt("Our session had ended when it was sent; a portal takes such a write and ignores it.")
    raise NotApplied(f"{TOOK_IT} vehicle {vehicle_id} {not_so}.")


async def read_guarded(portal: Portal, vehicle_id: str) -> Row:
    """Read a vehicle right before it is changed. Errors: `JobFailed` when it is not there."""
    row = await _patiently(portal, vehicle_id)
    if row is None:
        raise JobFailed("vehicle_id_not_found", f"The portal shows no vehicle {vehicle_id}.")
    return row


async def _patiently(portal: Portal, vehicle_id: str) -> Row | None:
    """Read a vehicle over a portal's short absence: the engine does not repeat an unsafe step."""
    for pause_s in GUARD_PAUSES_S:
        try:
            return await lookups.activation_of(portal, vehicle_id)
        except Unavailable:
            await portal.clock.sleep(pause_s)
    return await lookups.activation_of(portal, vehicle_id)


async def read_fresh(portal: Portal, vehicle_id: str) -> Row | None:
    """Read a vehicle with a session of its own, after what was cut off has had time to end."""
    await portal.clock.sleep(SETTLED_S)
    if not portal.fresh:
        await portal.renew()
    return await lookups.activation_of(portal, vehicle_id)


def _plain(
    probe: Callable[[Mapping[str, Any]], Awaitable[Verdict]],
) -> Callable[[Mapping[str, Any]], Awaitable[Verdict]]:
    """Answer the probe with its refusals in words; a portal that is away is asked again by the engine."""

    async def probed(evidence: Mapping[str, Any]) -> Verdict:
        try:
            return await probe(evidence)
        except (Rejected, Refused, Unreadable, JobFailed) as error:
            return CannotTell(f"The portal could not be read: {error}")

    return probed


def _where(asset: forms.Asset, row: Row) -> dict[str, bool]:
    """Answer which parts of a move are there; a group that the record does not show says nothing."""
    return {
        "client_id": row.get("CLIENT_ID", "") == asset.client_id,
        "group_id": row.get("GROUP_ID", asset.group_id) == asset.group_id,
        "asset_type": row.get("ASSET_TYPE", "") == asset.asset_type,
    }


def _holds(row: Mapping[str, str], serial: str) -> bool:
    """Answer whether the record holds this unit; without a serial any unit is meant."""
    held = unit_of(row)
    return same_serial(held, serial) if serial else bool(held)


async def _compare(portal: Portal, wanted: Activation, row: Row) -> dict[str, bool]:
    """Answer which parts of what is wanted are there: the plate is in the vehicle's row of the search."""
    serial = same_serial(unit_of(row), wanted.serial)
    record = await lookups.record_of(portal, wanted.vehicle_id, plate=wanted.plate, serial=wanted.serial)
    plate = record.plate if record else row.get("LICENSE_NMBR", "")
    return {
        "serial": serial,
        "plate": same_plate(plate, wanted.plate),
        "asset_type": row.get("ASSET_TYPE", "") == wanted.asset_type,
    }

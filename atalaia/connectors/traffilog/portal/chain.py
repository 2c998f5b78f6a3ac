"""What follows the portal's part of an installation, as jobs of its own. Source: contract §11.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atalaia.connectors.traffilog.jobs.asked import Chain
from atalaia.connectors.traffilog.jobs.pipeline import Next
from atalaia.connectors.traffilog.portal.lookups import Vehicle
from atalaia.jobs.model import JobContext, JobFailed

NOT_CONFIGURED = "VEHICLE_SETTING_NOT_CONFIGURED"


def need_scheme(chain: Chain | None, vehicle_setting_id: str, *, skip_sb: bool) -> None:
    """Errors: `JobFailed` when an installation has no scheme to send: before anything is written."""
    if chain is not None and not vehicle_setting_id and not skip_sb:
        raise JobFailed(NOT_CONFIGURED, "No scheme is configured for this installation.")


async def go_on(
    ctx: JobContext, chain: Chain | None, vehicle: Vehicle, result: Mapping[str, Any], *,
    client_id: str = "", client_name: str = "", comment: str = "",
) -> Mapping[str, Any]:  # fmt: skip
    """Submit what follows; answer the result with the id of the next job as `next`.

    client_id, client_name: where the vehicle is now, when that is not where it was found.
    """
    if chain is None:
        return result
    shared = {
        "client_id": client_id or vehicle.client_id, "client_name": client_name or vehicle.client_name,
        "vehicle_id": vehicle.id, "comment": comment,
        "chain": {**chain.model_dump(), "record": {**chain.record, "portal": dict(result)}},
    }  # fmt: skip
    following = next_after(shared, result)
    job = await ctx.follow_up(following.kind, following.params, step=following.step)
    return {**result, "next": job}


def next_after(shared: Mapping[str, Any], result: Mapping[str, Any]) -> Next:
    """Answer the next job: a record, a Scheme Builder, or the CAN check where the scheme is on."""
    if result["flow"] == "uninstall":
        return Next("save_record", shared, "save")
    if result["skip_sb"]:
        return Next("vehicle_snapshot", {**shared, "mode": "full"}, "can")
    scheme = {"vehicle_setting_id": result["vehicle_setting_id"]}
    return Next("scheme_builder", {**shared, **scheme}, "scheme_builder")

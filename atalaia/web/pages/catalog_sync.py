"""The models in use, from the portal into the catalog: asked for as a job, taken over by a person."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import Depends, Form, Request, Response
from sqlalchemy import Connection

from atalaia.connectors.traffilog import importing
from atalaia.connectors.traffilog.catalog_files import read_catalog
from atalaia.desk.catalogs.catalogs import MODELS, Catalogs
from atalaia.errors import ConfigError
from atalaia.jobs import queries as jobs
from atalaia.jobs.queries import Job, JobFilter
from atalaia.jobs.submit import Order
from atalaia.web.access import Who, require
from atalaia.web.api.jobs import orders_of
from atalaia.web.i18n import N_
from atalaia.web.pages.common import Words, done, screens
from atalaia.web.parts import parts_of
from atalaia.web.problems import conflict, not_found
from atalaia.web.wire import Identity

routes = screens("catalogs:write")
Writer = Annotated[Who, Depends(require("catalogs:write"))]
KIND = "traffilog.sync_asset_types"
PAGE = f"/catalogs/{MODELS}"


def last_sync(tx: Connection) -> Job | None:
    """Answer the newest job that asked the portal for its models."""
    found = jobs.list_jobs(tx, JobFilter(kinds=(KIND,)), limit=1)
    return found[0] if found else None


@routes.post(f"{PAGE}/sync")
async def ask(request: Request, who: Writer) -> Response:
    """Ask the portal for the models in use; that takes minutes."""
    parts, words = parts_of(request), Words(request)
    orders = orders_of(parts)

    def write(tx: Connection) -> bool:
        able = [one for one in parts.registry.all(tx) if one.connector == "traffilog"]
        if able:
            orders.submit(tx, Order(KIND, able[0].id, {}, who.name))
        return bool(able)

    if not await parts.store.write(write):
        return done(
            request, PAGE, words(N_("Installations need a connection to the telematics portal.")), "bad"
        )
    return done(request, PAGE, words(N_("The portal is asked for its models; that takes minutes.")))


@routes.post(f"{PAGE}/take")
async def take(request: Request, who: Writer, job: Annotated[Identity, Form()]) -> Response:
    """Put what a job found into the catalog; it can be taken back as a whole."""
    parts, words = parts_of(request), Words(request)
    found = await parts.store.read(lambda tx: jobs.get_job(tx, job))
    if found is None or found.kind != KIND:
        raise not_found("job")
    if found.state != "done":
        raise conflict("The portal has not answered yet.")
    try:
        catalog = read_catalog("portal", orjson.dumps(found.result))
    except ConfigError as error:
        return done(request, PAGE, str(error), "bad")
    catalogs = Catalogs(parts.ambient)

    def write(tx: Connection) -> dict[str, Any]:
        counts, _ = importing.put(tx, catalogs, catalog, by=who.name, source=f"portal, job {found.id}")
        return counts

    counts = await parts.store.write(write)
    said = words(
        N_("Imported: %(new)s new, %(changed)s changed, %(problems)s problems."),
        new=sum(one.new for one in counts.values()),
        changed=sum(one.changed for one in counts.values()),
        problems=len(catalog.problems),
    )
    return done(request, PAGE, said)

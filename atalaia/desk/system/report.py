"""The state snapshot: what runs, how it stands and how it is set up, as Markdown without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from atalaia.clock import rfc3339
from atalaia.connections.queries import list_connections
from atalaia.connections.registry import Registry
from atalaia.deliveries.queries import list_views
from atalaia.desk.system.queries import list_cursors, list_workers, sizes, store_bytes
from atalaia.errors import AtalaiaError
from atalaia.events.gaps import list_gaps
from atalaia.jobs.queries import Job, JobFilter, count_by_state, list_jobs, needing_person
from atalaia.redact import Redactor
from atalaia.settings import Settings
from atalaia.store.store import Store
from atalaia.version import VERSION, git_sha

JOBS_SHOWN, GAPS_SHOWN = 50, 20


async def state_report(
    store: Store, registry: Registry, settings: Settings, redactor: Redactor, now_ms: int
) -> str:
    """Answer the snapshot. redactor: should know the connections' secrets; what is named secret never shows.

    Errors: `StoreUnavailable`.
    """
    parts = await store.read(lambda tx: _parts(tx, registry, now_ms))
    parts["Settings"] = _pairs(_told(settings.model_dump(mode="json"), redactor))
    head = [
        "# State of Atalaia",
        "",
        f"Made at {_time(now_ms)} by {VERSION} {git_sha()}, on {store.dialect}.",
        "",
    ]
    body = [line for title, lines in parts.items() for line in (f"## {title}", "", *lines, "")]
    return redactor.text("\n".join([*head, *body]).rstrip() + "\n")


def _parts(tx: Connection, registry: Registry, now_ms: int) -> dict[str, list[str]]:
    counted = sizes(tx)
    return {
        "Workers": _table(
            ("host", "pid", "version", "git sha", "started", "alive", "owns"),
            [
                (one.host, one.pid, one.version, one.git_sha, _time(one.started_ms), one.alive, one.owns)
                for one in list_workers(tx, now_ms)
            ],
        ),
        "Connections": _table(
            ("name", "kind", "wanted", "state", "since", "reason"),
            [
                (one.name, one.connector, one.desired, one.state, _time(one.since_ms), one.reason)
                for one in list_connections(tx)
            ],
        ),
        "Jobs": _jobs(tx),
        "Deliveries": _table(
            ("subscription", "state", "target", "pending", "waiting", "dead", "lag ms"),
            [
                (one.name, one.state, one.target.get("kind"), one.pending, one.waiting, one.dead, one.lag_ms)
                for one in list_views(tx, now_ms)
            ],
        ),
        "Reactions": _table(
            ("reaction", "behind", "parked"),
            [(one.reaction, one.behind, one.parked) for one in list_cursors(tx)],
        ),
        "Gaps": _table(
            ("connection", "from", "to", "cause", "lost"),
            [
                (one.connection, _time(one.from_ms), _time(one.to_ms), one.cause, one.lost)
                for one in list_gaps(tx, limit=GAPS_SHOWN)
            ],
        ),
        "Sizes": _pairs(
            {
                "events": f"{counted.first_seq} to {counted.last_seq}",
                "bytes": store_bytes(tx),
                "schema": tx.scalar(text("select version_num from alembic_version")),
            }
        ),
        "Configuration": _configuration(tx, registry),
    }


def _jobs(tx: Connection) -> list[str]:
    counts = _pairs({str(state): number for state, number in count_by_state(tx).items()})
    shown = {one.id: one for one in (*needing_person(tx, limit=JOBS_SHOWN), *_newest(tx))}
    rows = [
        (one.id, one.kind, _about(one), one.state, one.reason, one.said, _time(one.changed_ms))
        for one in list(shown.values())[:JOBS_SHOWN]
    ]
    return [*counts, "", *_table(("job", "kind", "about", "state", "reason", "said", "changed"), rows)]


def _about(job: Job) -> str:
    """Answer what a job is about, as far as its parameters say it."""
    told = (job.params.get(name) for name in ("plate", "vehicle_id", "serial", "client_id"))
    return next((str(value) for value in told if value), "")


def _newest(tx: Connection) -> Sequence[Any]:
    return list_jobs(tx, JobFilter(), limit=JOBS_SHOWN)


def _configuration(tx: Connection, registry: Registry) -> list[str]:
    """Answer the connections' settings; pydantic shows a secret only as asterisks."""
    try:
        known = registry.all(tx)
    except AtalaiaError as error:
        return [str(error)]
    lines: list[str] = []
    for one in known:
        told = _told(one.settings.model_dump(mode="json", exclude_defaults=True), Redactor())
        lines += [f"### {_cell(one.name)} ({one.connector})", "", *_pairs(told), ""]
    return lines or ["None."]


def _told(values: Mapping[str, Any], redactor: Redactor) -> Mapping[str, Any]:
    return redactor.value(dict(values))


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"- `{name}`: {_cell(value)}" for name, value in values.items()] or ["None."]


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    if not lines:
        return ["None."]
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names), *lines]


def _cell(value: Any) -> str:
    """Answer a value on one line, with nothing in it that Markdown would take for its own."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    for sign in "\\`|<>[]*_#":
        plain = plain.replace(sign, f"\\{sign}")
    return " ".join(plain.split())


def _time(ms: int | None) -> str:
    return "–" if ms is None else rfc3339(ms)

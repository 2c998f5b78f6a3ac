"""What `/metrics` shows, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import Connection

from atalaia.clock import to_ms
from atalaia.connections.queries import list_connections
from atalaia.desk.system.queries import list_cursors, list_workers, media, sizes, store_bytes
from atalaia.events.queries import counts
from atalaia.jobs.queries import count_by_state, needing_person
from atalaia.version import VERSION, git_sha
from atalaia.web.parts import Parts


async def collect(parts: Parts, live_streams: int) -> tuple[bytes, str]:
    """Answer the figures as text, and its media type."""
    registry = CollectorRegistry()
    now_ms = to_ms(parts.ambient.clock.now())

    def read(tx: Connection) -> None:
        _log_metrics(tx, registry, now_ms)
        _connection_metrics(tx, registry, now_ms)
        _job_metrics(tx, registry, now_ms)
        _system_metrics(tx, registry, now_ms)

    await parts.store.read(read)
    Gauge("atalaia_live_streams", "Open live pages", registry=registry).set(live_streams)
    info = Gauge("atalaia_build_info", "Which code this is", ["version", "git_sha"], registry=registry)
    info.labels(VERSION, git_sha()).set(1)
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _log_metrics(tx: Connection, registry: CollectorRegistry, now_ms: int) -> None:
    size = sizes(tx)
    Gauge("atalaia_log_last_seq", "Last sequence of the log", registry=registry).set(size.last_seq)
    Gauge("atalaia_store_bytes", "Size of the database", registry=registry).set(store_bytes(tx))
    lying = media(tx)
    files, taken = (lying.files, lying.bytes) if lying is not None else (0, 0)
    Gauge("atalaia_media_files", "Files of messages, counted hourly", registry=registry).set(files)
    Gauge("atalaia_media_bytes", "Size of the files of messages", registry=registry).set(taken)
    Gauge("atalaia_deliveries_open", "Deliveries on their way", registry=registry).set(size.deliveries_open)
    Gauge("atalaia_deliveries_dead", "Deliveries given up", registry=registry).set(size.deliveries_dead)
    Gauge("atalaia_circuits_open", "Destinations that are down", registry=registry).set(size.circuits_open)
    oldest = (now_ms - size.oldest_open_ms) / 1000 if size.oldest_open_ms else 0
    Gauge("atalaia_delivery_oldest_seconds", "Age of the oldest open delivery", registry=registry).set(oldest)
    minute = Gauge(
        "atalaia_events_last_hour", "Events of the last hour", ["connection", "type"], registry=registry
    )
    for one in counts(tx, since_ms=now_ms - 3_600_000):
        minute.labels(one["connection"], one["type"]).set(one["kept"] + one["counted"] + one["dropped"])


def _connection_metrics(tx: Connection, registry: CollectorRegistry, now_ms: int) -> None:
    labels = ["connection", "name", "connector"]
    state = Gauge("atalaia_connection_live", "1 when proven live", labels, registry=registry)
    age = Gauge(
        "atalaia_connection_heard_seconds", "Seconds since something was heard", labels, registry=registry
    )
    for one in list_connections(tx, with_planes=False):
        named = (one.id, one.name, one.connector)
        state.labels(*named).set(1 if one.state == "live" else 0)
        if one.heard_ms is not None:
            age.labels(*named).set((now_ms - one.heard_ms) / 1000)


def _job_metrics(tx: Connection, registry: CollectorRegistry, now_ms: int) -> None:
    state = Gauge("atalaia_jobs", "Jobs that are kept, by state", ["state"], registry=registry)
    for name, number in count_by_state(tx).items():
        state.labels(name).set(number)
    waiting = needing_person(tx, limit=1)
    age = (now_ms - waiting[0].changed_ms) / 1000 if waiting else 0
    Gauge("atalaia_job_waiting_seconds", "How long a job waits for a person", registry=registry).set(age)


def _system_metrics(tx: Connection, registry: CollectorRegistry, now_ms: int) -> None:
    behind = Gauge(
        "atalaia_reaction_behind", "Events between a reaction and the log", ["reaction"], registry=registry
    )
    parked = Gauge(
        "atalaia_reaction_parked", "Events a reaction could not take", ["reaction"], registry=registry
    )
    for one in list_cursors(tx):
        behind.labels(one.reaction).set(one.behind)
        parked.labels(one.reaction).set(one.parked)
    alive = sum(1 for one in list_workers(tx, now_ms) if one.alive)
    Gauge("atalaia_workers_alive", "Workers that show signs of life", registry=registry).set(alive)

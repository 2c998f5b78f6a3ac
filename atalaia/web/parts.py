"""What the web needs of the house, gathered once at its start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from pydantic import BaseModel, SecretStr
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.connections.registry import Registry
from atalaia.connectors.connector import Connector
from atalaia.deliveries.formats import Format
from atalaia.desk.chats.files import Fetching
from atalaia.desk.chats.outbox import Outbox
from atalaia.desk.people.people import People
from atalaia.desk.people.sessions import Sessions
from atalaia.desk.people.tokens import Tokens
from atalaia.events.log import EventLog
from atalaia.jobs.submit import Orders
from atalaia.redact import Redactor
from atalaia.secretbox import SecretBox
from atalaia.serve import fetching_of, job_kinds, sender_of
from atalaia.settings import Settings
from atalaia.store.files import FOLDER, FileStore
from atalaia.store.store import Store


@dataclass
class Parts:
    """The parts behind the routes; `app.state.parts` holds them, `parts_of(request)` answers them.

    gate: answers the sequence up to which tables follow the log, so that a live page never fetches too early.
    folds: types of events by the projection that takes them; of one that is not named, all of them.
    outbox: asks channels to send; fetching: asks for attachments. Both take orders for jobs.
    test_target: tries a subscription's target, see `deliveries`; None where nothing is delivered.
    """

    settings: Settings
    ambient: Ambient
    store: Store
    log: EventLog
    registry: Registry
    secretbox: SecretBox
    redactor: Redactor
    connectors: Mapping[str, Connector]
    formats: Mapping[str, Format]
    worker: str = ""
    started_ms: int = 0
    supervisor: Any = None
    dispatcher: Any = None
    targets: Any = None
    gate: Callable[[Connection], int] | None = None
    folds: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    people: People = field(init=False)
    sessions: Sessions = field(init=False)
    tokens: Tokens = field(init=False)
    outbox: Outbox = field(init=False)
    fetching: Fetching = field(init=False)
    files: FileStore = field(init=False)

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.store, self.ambient, self.settings)
        self.people = People(self.store, self.ambient, self.settings, self.sessions)
        self.tokens = Tokens(self.store, self.ambient)
        orders = Orders(self.ambient, job_kinds(self.connectors), self.redactor)
        self.outbox = Outbox(self.ambient, sender_of(orders, self.connectors))
        self.fetching = fetching_of(self.settings, self.ambient, orders, self.connectors)
        self.files = FileStore(self.settings.data_dir / FOLDER, self.ambient)

    def learn(self, settings: BaseModel) -> None:
        """Let the redactor know the secrets of a connection, wherever they may show up."""
        for value in settings.model_dump(mode="python").values():
            if isinstance(value, SecretStr):
                self.redactor.learn(value.get_secret_value())


def parts_of(request: Request) -> Parts:
    """Answer the parts behind the app that serves this request."""
    return request.app.state.parts

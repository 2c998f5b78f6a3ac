"""What a job is: declared by connectors, run by the engine, never silently doubled and never forgotten.

A job's code is a plain async function of a `JobContext`. Everything that touches the world happens in a
named step, and each step says how it may be repeated:

- `READ` is repeated freely;
- `IDEMPOTENT` is repeated with the same words, the upstream sees to it that nothing happens twice;
- `UNSAFE` is never repeated on our own. Right before its frame leaves, the step says so (`Effect.sending`),
  which is committed to the ledger first. A step found sent-but-not-answered is *in doubt*: its probe looks
  for the trace upstream, and what the probe cannot tell waits for a person.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.events.model import Appended, Heard
from atalaia.store.files import FileStore

T = TypeVar("T")

Direction = Literal["sent", "received"]


class StepKind(StrEnum):
    """How a step may be repeated; see the module's text."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class Happened:
    """A probe's verdict: the effect is upstream. result: what the step would have answered (JSON-able)."""

    result: Any
    said: str = ""


@dataclass(frozen=True, slots=True)
class DidNotHappen:
    """A probe's verdict: the effect surely did not happen, so the step may be sent again."""

    said: str = ""


@dataclass(frozen=True, slots=True)
class CannotTell:
    """A probe's verdict: a person must decide. said: what was looked at, a sentence for the screen.

    found: what the step may have answered, as far as was seen; offered to that person (JSON-able).
    """

    said: str = ""
    found: Any = None


Verdict = Happened | DidNotHappen | CannotTell
Probe = Callable[[Mapping[str, Any]], Awaitable[Verdict]]  # gets the evidence given to `Effect.sending`
Suppose = Callable[[Mapping[str, Any]], Any]  # gets the same


class Effect(Protocol):
    """What the code of one step may say while it runs."""

    async def sending(self, **evidence: Any) -> None:
        """Commit that the effect leaves now; call it right before the frame is written, once per step.

        evidence: by what the effect can be found upstream (process id, trace, key). JSON-able.
        Errors: `Fenced` when another worker runs the job now: then nothing may be sent.
        """
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided. choice: one of the offered words; data: what was filled in."""

    choice: str
    by: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


class JobFailed(Exception):
    """Raised by a job's code to end it as failed. `str()` is a sentence for the screen.

    reason: a stable word, e.g. `serial_in_use`. known: what the one who asked should see. JSON-able.
    """

    def __init__(self, reason: str, said: str, **known: Any) -> None:
        super().__init__(said)
        self.reason = reason
        self.known = known


class Unconfirmed(Exception):
    """A person said that a step happened, and what it answered nobody knows. `str()` is a sentence.

    Code that cannot go on without the answer lets it pass: the job is done, as `completed_unconfirmed`.
    """


class JobContext(Protocol):
    """The house as a job's code sees it. Code outside of steps must be the same at each run."""

    @property
    def job(self) -> str:
        """The job's id."""
        ...

    @property
    def connection(self) -> str: ...

    @property
    def settings(self) -> Any:
        """The connection's settings: the connector's model, secrets included."""
        ...

    @property
    def trace(self) -> str:
        """A tag unique to this job, fit for a free-text field upstream, e.g. `1767373667936_b0eaa3`."""
        ...

    @property
    def root(self) -> str:
        """The first job of the pipeline; the job itself when it is alone."""
        ...

    @property
    def ambient(self) -> Ambient: ...

    @property
    def files(self) -> FileStore:
        """What was sent to us or is to be sent, by the hash of its content."""
        ...

    async def step(
        self, name: str, kind: StepKind, work: Callable[[Effect], Awaitable[T]], *,
        probe: Probe | None = None, suppose: Suppose | None = None,
    ) -> T:  # fmt: skip
        """Run a step once; a job that is resumed gets the recorded answer instead.

        name: unique within the job. The answer must be JSON-able. suppose: what an unsafe step would have
        answered, as far as its evidence tells: offered to the person who decides, and taken where that
        person says no more than that it happened. `Unavailable` in a READ or IDEMPOTENT
        step is tried again with growing pauses. In an UNSAFE step every error after `sending`, but
        `Rejected` and `Refused`, means in doubt; before `sending` it is an ordinary failure.
        Errors: what `work` raises; `JobFailed` when a person cancels a step in doubt; `Unconfirmed` when
        one says that it happened, and neither the person nor `suppose` knows its answer.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause; a job that is resumed sleeps only for what is left."""
        ...

    async def ask(
        self, name: str, question: str, choices: Sequence[str], *, shown: Any = None, within_s: float
    ) -> Decision | None:
        """Wait for a person to choose; None when nobody did in time. question: a message id (English)."""
        ...

    def section(self, name: str, *, shared: bool = False) -> AbstractAsyncContextManager[None]:
        """Hold a lock of this connection over all workers, e.g. `client:310042`; use it inside a step.

        shared: the name is the whole house's, for what several connections use.
        """
        ...

    async def lock(self, *names: str) -> None:
        """Take further locks of this connection, e.g. of a vehicle that was found; held until the job ends.

        Waits for the jobs that hold them, so call it outside of steps and before anything is changed.
        Errors: `JobFailed` with the reason `locked` when they hold them for half an hour.
        """
        ...

    async def kept(self, name: str) -> str:
        """Answer what any job of any worker kept under a name of the whole house, "" for nothing."""
        ...

    async def keep(self, name: str, text: str) -> None:
        """Keep a secret of an upstream, e.g. its session, sealed; at most 40 characters for the name."""
        ...

    async def progress(self, percent: float | None, said: str, **data: Any) -> None:
        """Tell how far it is; shown live. Cheap: written at most once a second."""
        ...

    def frame(self, direction: Direction, surface: str, text: str) -> None:
        """Keep what was sent or received, for the job's page; secrets are masked before it is kept."""
        ...

    async def answers(self, step: str, since_ms: int) -> list[Any]:
        """Answer what this step answered in other jobs of this kind and connection, begun since then.

        What a probe finds upstream and another job has brought about is not this job's.
        """
        ...

    async def append(self, heard: Sequence[Heard]) -> list[Appended]:
        """Write down what this job's own session heard; durable when this returns."""
        ...

    async def follow_up(self, kind: str, params: Mapping[str, Any], *, step: str) -> str:
        """Submit the pipeline's next job; answer its id. One per (root, step): a repeat answers the same."""
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """One frame a dry run would send. text: masked already by whoever shows it."""

    surface: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class JobKind:
    """One kind of job that a connector offers.

    name: without the connector's, e.g. `scheme_builder`. params: what is asked, checked at submission.
    locks: of these names (per connection) one job runs at a time; a waiting job stays queued.
    known_locks: further ones by what the hub has stored right before it runs; (tx, connection, params).
    at_once: how many of this kind may run at a time per connection; None is no limit.
    plan: the frames that would be sent, in order; None when the kind has no dry run.
    seconds_max: a job that runs longer fails as `too_long` (durable, counted from its start).
    resumes: a person's retry keeps the answers of unsafe steps that are done, unless told otherwise; False
        sends them anew, for kinds whose upstream forgets (a failed process must be started again).
    external: run by workers outside that claim it (`jobs.external`); `run` is then never called.
    offered: False for kinds that only follow others in a pipeline; people are not offered to ask for them.
    """

    name: str
    title: str
    params: type[BaseModel]
    run: Callable[[JobContext, Any], Awaitable[Mapping[str, Any]]]
    locks: Callable[[Any], Sequence[str]] = lambda _: ()
    known_locks: Callable[[Connection, str, Any], Sequence[str]] | None = None
    at_once: int | None = None
    plan: Callable[[Any, Any], Sequence[Planned]] | None = None  # (settings, params)
    seconds_max: float = 3600.0
    resumes: bool = True
    external: bool = False
    offered: bool = True

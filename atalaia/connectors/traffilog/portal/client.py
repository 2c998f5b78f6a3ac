"""One conversation with the portal: log in, ask, write, and notice when the session is no longer ours.

Each login evicts the one before it, so whoever uses the account first takes its section (`portal_of`), over
all workers, and goes on with the session that the last one left. A session that somebody else evicted shows
in two ways: `login="-1"`, after which we log in once; and a correct answer without rows, which only a fresh
session can tell from "not there" (see `lookups`).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, cast

import aiohttp
import orjson
import structlog

from atalaia.ambient import Ambient
from atalaia.clock import from_ms, to_ms, within
from atalaia.connectors.traffilog.heard import PORTAL_EVICTED, PORTAL_KEPT
from atalaia.connectors.traffilog.portal import forms, xml
from atalaia.connectors.traffilog.portal.cookies import SESSION, Cookies
from atalaia.connectors.traffilog.portal.forms import Form
from atalaia.connectors.traffilog.reach import context_of, read_client_error
from atalaia.connectors.traffilog.settings import Sharing, TraffilogSettings
from atalaia.errors import InDoubt, Refused, Rejected, Unavailable
from atalaia.events.model import Heard
from atalaia.jobs.model import Direction, JobContext, JobFailed
from atalaia.redact import MASK

SURFACE = "portal"
SHOWN_CHARS = 6000  # of an answer on the job's page; an activation form has 90,000
EVICTIONS_KEPT = 50
FRESH_S = 60.0
KEPT_TOLD_EVERY = timedelta(minutes=30)  # of use without an eviction: what closes the alert about one
LOGINS_A_MINUTE_MAX = 20  # two owners of one account evict each other without end: brake
BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36"
)
THROWN_OUT = "threw our session out"
ASK_LOGIN = "Correct the portal's login name and password in the connection's settings."

Record = Callable[[Direction, str], None]

log = structlog.get_logger(__name__)


class Expired(Rejected):
    """The portal threw our session out, also right after a login: nothing was done."""


@dataclass
class Account:
    """What this process knows of one account. Whoever holds the account's section may change it.

    evictions: when a session ended before its time; logins: the last ones, for the brake. calm_since: since
    when we use it without one, None before the first use; calm_told: that this has lasted was written down.
    """

    owner: tuple[str, str]  # address and login name
    cookies: Cookies = field(default_factory=Cookies)
    since: datetime | None = None
    evictions: list[datetime] = field(default_factory=list[datetime])
    logins: deque[datetime] = field(default_factory=lambda: deque[datetime](maxlen=LOGINS_A_MINUTE_MAX))
    calm_since: datetime | None = None
    calm_told: bool = False

    def is_calm(self, now: datetime) -> bool:
        """Answer, once for each time without evictions, whether it has lasted long enough to be told."""
        if self.calm_told or self.since is None:
            return False
        self.calm_since = self.calm_since or now
        self.calm_told = now - self.calm_since >= KEPT_TOLD_EVERY
        return self.calm_told

    def mark(self) -> tuple[str, ...]:
        """Answer what changes with each login, and with nothing else."""
        since = self.since.isoformat() if self.since else ""
        return (since, *(self.cookies.values.get(name, "") for name in SESSION))

    def to_text(self) -> str:
        """Answer the session as it is kept for other workers; a secret."""
        since_ms = to_ms(self.since) if self.since else None
        return orjson.dumps({"since_ms": since_ms, "cookies": dict(self.cookies.values)}).decode()

    def take_over(self, text: str) -> None:
        """Go on with the session that another worker left, if it is newer; what cannot be read is none."""
        try:
            told: Any = orjson.loads(text or "{}")
            since = from_ms(told["since_ms"])
            cookies = {str(name): str(value) for name, value in told["cookies"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if self.since is None or since > self.since:
            self.since, self.cookies = since, Cookies(cookies)

    def evicted_since(self, moment: datetime) -> int:
        """Answer how often somebody else's login ended our session since `moment`."""
        return sum(1 for at in self.evictions if at >= moment)


# What this process knows; what all workers share of it is kept sealed in the database.
_ACCOUNTS: dict[tuple[str, str], Account] = {}


def account_of(settings: TraffilogSettings) -> Account:
    """Answer what this process knows of an account, whichever connections use it."""
    owner = (settings.portal_url, settings.portal_login)
    return _ACCOUNTS.setdefault(owner, Account(owner))


def section_of(settings: TraffilogSettings) -> str:
    """Answer the lock of an account, held by whoever uses it: jobs and screens, of any connection."""
    owner = f"{settings.portal_url}\n{settings.portal_login}"
    return f"portal:{hashlib.sha256(owner.encode()).hexdigest()[:24]}"


@asynccontextmanager
async def portal_of(ctx: JobContext) -> AsyncGenerator[Portal]:
    """Use the portal within one step of a job; the account's section is held until the end.

    Errors: `JobFailed` when the connection has no portal; else as the portal's methods.
    """
    settings = cast("TraffilogSettings", ctx.settings)
    if not settings.portal_url:
        raise JobFailed("no_portal", "This connection has no portal: its address is not set.")

    def record(direction: Direction, text: str) -> None:
        ctx.frame(direction, SURFACE, text)

    async with ctx.section(section_of(settings), shared=True):
        account = account_of(settings)
        before, name = account.evictions[-1:], section_of(settings)
        account.take_over(await ctx.kept(name))
        mark = account.mark()
        async with Portal(settings, account, ctx.ambient, record) as portal:
            try:
                yield portal
            finally:
                if account.mark() != mark:
                    await ctx.keep(name, account.to_text())
                new = [at for at in account.evictions if not before or at > before[0]]
                now = ctx.ambient.clock.now()
                told = [_heard_of(ctx, settings, at) for at in new]
                if not new and account.is_calm(now):
                    told.append(Heard(PORTAL_KEPT, "", to_ms(now), orjson.dumps({"job": ctx.job}).decode()))
                if told:
                    await ctx.append(told)


class Portal:
    """The portal's actions in one use of the account, whose section the caller holds.

    `record` gets what is sent and received, without secrets.
    """

    def __init__(
        self,
        settings: TraffilogSettings,
        account: Account,
        ambient: Ambient,
        record: Record | None = None,
    ) -> None:
        self.account = account
        self.clock = ambient.clock
        self.user = settings.portal_login
        self.settings = settings
        self._record = record or _keep_nothing

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context_of(self.settings)),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Origin": self.settings.portal_origin,
                "Referer": self.settings.portal_start,
                "User-Agent": BROWSER,
            },
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def ask(self, form: Form, *, within_s: float | None = None) -> str:
        """Answer what the portal says to a question, logging in where needed.

        Errors: `Unavailable`; `Refused` when it takes no login; `Rejected` with its words.
        """
        await self._be_logged_in()
        text = await self._post(form, within_s)
        if xml.session_of(text) == "expired":
            self._was_evicted()
            await self.renew()
            text = await self._post(form, within_s)
        if xml.session_of(text, reading=False) == "expired":
            raise Unavailable("The portal answers with its login page although it took the login just now.")
        said = xml.error_of(text)
        if said:
            raise Rejected(f"The portal refused {form.action}: {said}")
        return text

    async def write(self, form: Form, sending: Callable[[], Awaitable[None]]) -> str:
        """Send a form that changes something; `sending` is called right before it leaves.

        Ask something about the same vehicle first: rows in its answer prove that the session lives.
        Errors: `Rejected` with the portal's words, `Expired`: nothing was done. `InDoubt`: it may have been.
        """
        await self._be_logged_in()
        await sending()
        text = await self._leave(form)
        if xml.session_of(text, reading=False) == "expired" and not xml.is_page(text):
            self._was_evicted()  # it says so itself: the form was not taken, so it may be sent again
            await self.renew()
            text = await self._leave(form)
            if xml.session_of(text, reading=False) == "expired" and not xml.is_page(text):
                raise Expired(f"The portal {THROWN_OUT} before {form.action}, twice.")
        if xml.is_page(text):
            raise InDoubt(f"The portal answered {form.action} with a page instead of data.")
        said = xml.error_of(text)
        if said:
            raise Rejected(f"The portal refused {form.action}: {said}")
        return text

    @property
    def fresh(self) -> bool:
        """Answer whether the session was made just now. Somebody may have ended it all the same."""
        since = self.account.since
        return since is not None and self.clock.now() - since <= timedelta(seconds=FRESH_S)

    async def renew(self) -> None:
        """Log in with a session of its own. Errors: `Unavailable`; `Refused`: wrong name or password."""
        now, account, settings = self.clock.now(), self.account, self.settings
        recent = [at for at in account.logins if at > now - timedelta(minutes=1)]
        if len(recent) >= LOGINS_A_MINUTE_MAX:
            raise Unavailable(
                f"{len(recent)} logins to the portal within a minute: somebody else uses its account, too."
            )
        account.logins.append(now)
        account.cookies.drop_session()
        account.since = None
        limit = settings.portal_login_within_s
        await self._send("GET", settings.portal_start, None, limit, "the portal's start page")
        form = forms.login(settings.portal_login, settings.portal_secret, settings.portal_language)
        self._record("sent", f"action={forms.LOGIN}&username={settings.portal_login}&password={MASK}")
        text = await self._send("POST", settings.portal_url, form.body(), limit, "the portal's login")
        if not xml.logged_in(text, account.cookies.values):
            self._record("received", text[:SHOWN_CHARS])
            if xml.is_page(text):
                raise Unavailable("The portal shows a page instead of answering the login.")
            raise Refused("The portal does not accept our login name and password.", ask=ASK_LOGIN)
        account.cookies.add_constant()
        account.since = self.clock.now()

    async def _be_logged_in(self) -> None:
        since = self.account.since
        if since is None or self.clock.now() - since > timedelta(minutes=self.settings.portal_session_min):
            await self.renew()

    def _was_evicted(self) -> None:
        now, since = self.clock.now(), self.account.since
        account = self.account
        account.evictions = [*account.evictions[1 - EVICTIONS_KEPT :], now]
        account.calm_since, account.calm_told = now, False
        self._record("received", "(our session had ended: somebody else logged in with the account)")
        if self.settings.portal_sharing is Sharing.OURS:
            lived_s = round((now - since).total_seconds()) if since else 0
            log.warning("portal session ended early", lived_s=lived_s, user=self.user)

    async def _leave(self, form: Form) -> str:
        try:
            return await self._post(form, None)
        except Unavailable as error:
            raise InDoubt(f"{form.action} was sent and its answer is not known: {error}") from error

    async def _post(self, form: Form, within_s: float | None) -> str:
        body = form.body()
        self._record("sent", body)
        limit = within_s or self.settings.portal_within_s
        text = await self._send("POST", self.settings.portal_url, body, limit, form.action)
        cut = "" if len(text) <= SHOWN_CHARS else f" … ({len(text)} characters)"
        self._record("received", text[:SHOWN_CHARS] + cut)
        return text

    async def _send(self, method: str, url: str, body: str | None, limit: float, name: str) -> str:
        """Send one request and take over its cookies. Errors: `Unavailable` when no 200 or 3xx came."""
        headers = {"Cookie": self.account.cookies.header()} if self.account.cookies.values else {}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["X-Requested-With"] = "XMLHttpRequest"

        async def exchange() -> tuple[int, str]:
            async with self._http.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                self.account.cookies.merge(answer.headers.getall("Set-Cookie", []))
                return answer.status, (await answer.read()).decode(errors="replace")

        try:
            status, text = await within(self.clock, limit, exchange())
        except TimeoutError:
            raise Unavailable(f"The portal did not answer {name} within {limit:g} s.") from None
        except aiohttp.ClientError as error:
            raise read_client_error(error, url) from None
        if status != 200 and not 300 <= status < 400:
            raise Unavailable(f"The portal answered {name} with HTTP {status}.")
        return text


def _heard_of(ctx: JobContext, settings: TraffilogSettings, at: datetime) -> Heard:
    """Answer what the log keeps of an eviction: whose login it was, the portal does not say."""
    body = {"user": settings.portal_login, "sharing": settings.portal_sharing.value, "job": ctx.job}
    return Heard(PORTAL_EVICTED, "", to_ms(at), orjson.dumps(body).decode())


def _keep_nothing(direction: Direction, text: str) -> None:
    """Stand for a conversation that is not part of a job."""


def forget_all() -> None:
    """Forget every session of this process, as a fresh one would know none."""
    _ACCOUNTS.clear()

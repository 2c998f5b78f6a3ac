"""Surface C: the HTML5 portal. Sessions by cookie, one per account; answers are XML with attributes."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from aiohttp import web

from simulators.traffilog import portal_xml
from simulators.traffilog.models import Json
from simulators.traffilog.portal_forms import WRITES, odd
from simulators.traffilog.portal_reads import Reads
from simulators.traffilog.portal_writes import Writes

if TYPE_CHECKING:
    from simulators.traffilog.upstream import Upstream

CONSTANT = {"EULA_APPROVED": "1", "APPLICATION_ROOT_NODE": "%7B%22node%22%3A%22-2%22%7D"}
HEADERS = ("Content-Type", "Cookie", "Origin", "Referer")


@dataclass
class User:
    """One account. `clients` empty sees all of them."""

    name: str
    password: str
    clients: tuple[str, ...] = ()


class Portal:
    """The portal as a server. `evictions` counts the sessions that a later login of their account ended.

    `heard` keeps what was asked last, action and names of fields in their order; `headers` what came with it.
    `odd_forms` says what the portal's own screens would have sent otherwise; it is not refused.
    """

    def __init__(self, up: Upstream, users: dict[str, str]) -> None:
        self.up = up
        self.users = {name: User(name, password) for name, password in users.items()}
        self.current: dict[str, str] = {}  # account -> its one live TFL_SESSION
        self.asp_sessions: set[str] = set()
        self.logins: Counter[str] = Counter()
        self.evictions = 0
        self.heard: deque[tuple[str, list[str]]] = deque(maxlen=5_000)
        self.headers: deque[dict[str, str]] = deque(maxlen=5_000)
        self.odd_forms: deque[str] = deque(maxlen=1_000)
        reads, writes = Reads(up), Writes(up)
        self.table = {**reads.table(), **writes.table()}

    def application(self) -> web.Application:
        app = web.Application(client_max_size=4 * 2**20)
        app.router.add_get("/appv2/index.htm", self.bootstrap)
        app.router.add_post("/AppEngine_2_1/default.aspx", self.post)
        return app

    def add_user(self, name: str, password: str, clients: tuple[str, ...] = ()) -> None:
        """Add an account; one with `clients` sees only their groups."""
        self.users[name] = User(name, password, clients)

    def evict(self, account: str = "") -> None:
        """Have somebody else log in with an account, with every account by default."""
        for name in list(self.current):
            if account in ("", name):
                self._new_session(name)

    def lose_sessions(self) -> None:
        """Forget who is logged in, without anybody having done anything."""
        self.current.clear()

    def state(self) -> Json:
        return {
            "logins": dict(self.logins),
            "evictions": self.evictions,
            "odd_forms": list(self.odd_forms),
            "asked": dict(Counter(action for action, _ in self.heard)),
        }

    # ---- sessions ------------------------------------------------------------------------

    def _token(self, size: int = 24) -> str:
        return "".join(self.up.random.choices("abcdefghijklmnopqrstuvwxyz012345", k=size))

    def _new_session(self, account: str) -> str:
        self.evictions += account in self.current
        self.logins[account] += 1
        self.current[account] = self._token(32)
        return self.current[account]

    def _balanced(self, response: web.StreamResponse) -> None:
        # The balancer's cookies change with every answer.
        value = self._token(40)
        response.headers.add("Set-Cookie", f"AWSALB={value}; Path=/")
        response.headers.add("Set-Cookie", f"AWSALBCORS={value}; Path=/; SameSite=None; Secure")

    async def bootstrap(self, request: web.Request) -> web.StreamResponse:
        """Give the first cookies."""
        await self.up.pause(self.up.pace.portal_s)
        response = web.Response(text="<!DOCTYPE html><html></html>", content_type="text/html")
        asp = self._token()
        self.asp_sessions.add(asp)
        response.headers.add("Set-Cookie", f"ASP.NET_SessionId={asp}; path=/; HttpOnly")
        self._balanced(response)
        return response

    def _login(self, fields: dict[str, str], cookies: dict[str, str]) -> web.StreamResponse:
        user = self.users.get(fields.get("username", ""))
        if user is None or user.password != fields.get("password"):
            return _xml(portal_xml.EXPIRED)
        if cookies.get("ASP.NET_SessionId") not in self.asp_sessions:
            return _xml(portal_xml.LOGIN_PAGE)
        session = self._new_session(user.name)
        response = _xml(portal_xml.done("APPLICATION_LOGIN", REDIRECT="default.aspx?node=-2"))
        response.headers.add("Set-Cookie", f"TFL_SESSION={session}; path=/; HttpOnly")
        return response

    def _user(self, cookies: dict[str, str]) -> User | None:
        """Answer whose live session these cookies are."""
        session = cookies.get("TFL_SESSION", "")
        name = next((one for one, token in self.current.items() if token == session), "")
        agreed = all(cookies.get(key) == value for key, value in CONSTANT.items())
        if not name or not agreed or cookies.get("ASP.NET_SessionId") not in self.asp_sessions:
            return None
        return self.users[name]

    # ---- actions -------------------------------------------------------------------------

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Answer one action. The status is 200 whatever happened."""
        pairs = parse_qsl((await request.read()).decode(), keep_blank_values=True)
        fields = dict(pairs)
        action = fields.get("action", "")
        cookies = read_cookies(request.headers.get("Cookie", ""))
        self.heard.append((action, [name for name, _ in pairs]))
        self.headers.append({name: request.headers.get(name, "") for name in HEADERS})
        up = self.up
        up.reach(f"heard:{action}")
        if action in WRITES:
            up.ledger.asked[action] += 1
            self.odd_forms += [f"{action}: {one}" for one in odd(action, [name for name, _ in pairs], fields)]
        if up.rules.take("portal-lost-request", action=action) is not None:
            return _cut(request)
        await up.pause(up.pace.asset_types_s if action == "ASSET_TYPES" else up.pace.portal_s)
        twice = [name for name, _ in pairs].count("action") != 1
        response = self._answer(action, fields, cookies, sound=not twice)
        self._balanced(response)
        up.reach(f"done:{action}")
        if up.rules.take("portal-lost-answer", action=action) is not None:
            return _cut(request)
        if (rule := up.rules.take("portal-slow", action=action)) is not None:
            await up.clock.sleep(rule.number("delay_s", 60.0))
        up.reach(f"answered:{action}")
        return response

    def _answer(
        self, action: str, fields: dict[str, str], cookies: dict[str, str], *, sound: bool
    ) -> web.StreamResponse:
        rules = self.up.rules
        if action == "APPLICATION_LOGIN":
            return self._login(fields, cookies)
        if rules.take("portal-html", action=action) is not None:
            return _xml(portal_xml.LOGIN_PAGE)
        user = self._user(cookies)
        if rules.take("portal-expired", action=action) is not None:
            user = None
        if user is None:
            stale = rules.has("portal-stale", action=action)
            return _xml(_without_rows(action) if stale else portal_xml.EXPIRED)
        broken = rules.take("portal-action-error", action=action) is not None
        if broken or not sound or fields.get("VERSION_ID") != "2" or action not in self.table:
            return _xml(portal_xml.failed(action))
        return _xml(self.table[action](fields, user.clients))


def _without_rows(action: str) -> str:
    """Answer what a stale session gets: the structure without any row, as if nothing was there."""
    if action in ("VHCLS", "GET_VHCL_ACTIVATION_DATA_NEW"):
        return portal_xml.vhcls([])
    return portal_xml.bare(action, "DATA", [])


def read_cookies(header: str) -> dict[str, str]:
    """Read a `Cookie` header; values stay as they were sent."""
    parts = (part.strip().partition("=") for part in header.split(";"))
    return {name: value for name, _, value in parts if name}


def _xml(text: str) -> web.Response:
    kind = "text/html" if text.startswith("<!DOCTYPE") else "text/xml"
    return web.Response(text=text, content_type=kind, charset="utf-8")


def _cut(request: web.Request) -> web.Response:
    """Break the connection in the midst of a request; what is answered goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()

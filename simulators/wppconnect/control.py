"""The simulator's own buttons, on a port of their own: faults, phones, browsers, the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulators.panel import FaultPanel, read_body
from simulators.wppconnect.ledger import placed_json
from simulators.wppconnect.models import Media, Message, Person
from simulators.wppconnect.objects import key_of
from simulators.wppconnect.page import profile_json
from simulators.wppconnect.phone import Phone

if TYPE_CHECKING:
    from simulators.wppconnect.server import WppSimulator

ABOUT = ("kind", "quoted", "forwarded", "at_ms", "key")


class Control:
    """`/_faults` `/_state` `/_ledger` `/_webhooks` `/_population` `/_start` `/_load`, and below a name.

    Those are `/_phones/NAME/…`, `/_sessions/NAME/…`, `/_profiles/NAME/…`.
    """

    def __init__(self, sim: WppSimulator) -> None:
        self.sim = sim

    def application(self) -> web.Application:
        app = web.Application(middlewares=[_lookups])
        app.router.add_routes(FaultPanel(lambda: self.sim.faults).routes())
        add = app.router.add_route
        add("GET", "/_state", self.state)
        add("GET", "/_ledger", self.ledger)
        add("GET", "/_webhooks", self.webhooks)
        add("GET", "/_phones/{phone}", self.phone)
        add("POST", "/_phones/{phone}/receive", self.receive)
        add("POST", "/_phones/{phone}/write", self.write)
        add("POST", "/_phones/{phone}/edit", self.edit)
        add("POST", "/_phones/{phone}/revoke", self.revoke)
        add("POST", "/_phones/{phone}/react", self.react)
        add("POST", "/_phones/{phone}/presence", self.presence)
        add("POST", "/_phones/{phone}/scan", self.scan)
        add("POST", "/_phones/{phone}/remove", self.remove)
        add("POST", "/_sessions/{session}/event", self.event)
        add("GET", "/_profiles", self.profiles)
        add("DELETE", "/_profiles/{profile}/browser", self.end_browser)
        add("DELETE", "/profiles/{profile}/browser", self.end_browser)  # as the agent beside a server
        add("POST", "/_population", self.population)
        add("POST", "/_start", self.start)
        add("GET", "/_load", self.load)
        add("POST", "/_load", self.begin_load)
        return app

    async def state(self, request: web.Request) -> web.Response:
        return web.json_response(self.sim.state())

    async def ledger(self, request: web.Request) -> web.Response:
        """Answer what was placed on the phones; `?session=NAME` for one."""
        return web.json_response(self.sim.ledger(request.query.get("session", "")))

    async def webhooks(self, request: web.Request) -> web.Response:
        """Answer the last webhooks of the server, sent or lost; `?session=NAME` for one session's."""
        name = request.query.get("session", "")
        rows = [one for one in self.sim.host.webhooks.sent if name in ("", one.session)]
        told = [
            {
                "session": one.session,
                "event": one.event,
                "url": one.url,
                "status": one.status,
                "lost": one.lost,
            }
            for one in rows
        ]
        return web.json_response({"webhooks": told})

    # ---- phones --------------------------------------------------------------------------

    def _phone(self, request: web.Request) -> Phone:
        return self.sim.phone(request.match_info["phone"])

    async def phone(self, request: web.Request) -> web.Response:
        """Answer whose phone it is, what it is linked to, and whom it knows."""
        phone = self._phone(request)
        known = [{"wid": one.wid, "number": one.number, "lid": one.lid, "name": one.shown}
                 for one in phone.people.values()]  # fmt: skip
        return web.json_response(
            {
                "session": phone.name,
                "number": phone.account.number,
                "lid": phone.account.lid,
                "linked": phone.linked,
                "people": known,
                "groups": [{"wid": one.wid, "name": one.name} for one in phone.groups.values()],
                "messages": len(phone.messages),
            }
        )

    async def receive(self, request: web.Request) -> web.Response:
        """Place a message that somebody sent.

        Body: `{"from": WID, "text": "...", "group": WID}` and optionally `kind`, `quoted`, `at_ms`, `key`,
        `media` (`{"mimetype", "filename", "size", "seed", "caption"}`). Strangers are taken up.
        """
        phone, body = self._phone(request), await read_body(request)
        chat, author = str(body.get("group") or body["from"]), str(body["from"]) if body.get("group") else ""
        return self._placed(
            phone, phone.receive(_wid(chat), str(body.get("text", "")), author=_wid(author), **_about(body))
        )

    async def write(self, request: web.Request) -> web.Response:
        """Let the owner write on the phone: `{"to": WID, "text": "..."}`."""
        phone, body = self._phone(request), await read_body(request)
        message = phone.write(_wid(str(body["to"])), str(body.get("text", "")), **_about(body))
        self.sim.host.spawn(self.sim.host.carry(phone, message))
        return self._placed(phone, message)

    def _placed(self, phone: Phone, message: Message) -> web.Response:
        return web.json_response(placed_json(phone, message), status=201)

    async def edit(self, request: web.Request) -> web.Response:
        """Change a message: `{"key": KEY, "text": "..."}`."""
        phone, body = self._phone(request), await read_body(request)
        phone.edit(key_of(str(body["key"])), str(body["text"]))
        return self._placed(phone, phone.messages[key_of(str(body["key"]))])

    async def revoke(self, request: web.Request) -> web.Response:
        phone, body = self._phone(request), await read_body(request)
        phone.revoke(key_of(str(body["key"])))
        return self._placed(phone, phone.messages[key_of(str(body["key"]))])

    async def react(self, request: web.Request) -> web.Response:
        """React to a message: `{"key": KEY, "from": WID or "me", "text": "👍"}`."""
        phone, body = self._phone(request), await read_body(request)
        who = str(body.get("from") or "me")
        phone.react(
            key_of(str(body["key"])), "me" if who == "me" else phone.find_or_add(_wid(who)), str(body["text"])
        )
        return self._placed(phone, phone.messages[key_of(str(body["key"]))])

    async def presence(self, request: web.Request) -> web.Response:
        """Let a contact come, go or type: `{"contact": WID, "state": "composing"}`."""
        phone, body = self._phone(request), await read_body(request)
        person = self._person(phone, str(body["contact"]))
        self.sim.host.presence(phone, person, str(body.get("state", "available")))
        return web.json_response({"contact": person.wid}, status=202)

    def _person(self, phone: Phone, wid: str) -> Person:
        return phone.people[phone.find_or_add(_wid(wid))]

    async def scan(self, request: web.Request) -> web.Response:
        """Read the code of a session with this phone: `{"session": NAME, "code": "2@…"}`, both optional."""
        phone, body = self._phone(request), await read_body(request)
        why = self.sim.scan(str(body.get("session") or phone.name), phone.name, str(body.get("code") or ""))
        return web.json_response({"refused": why}, status=409 if why else 200)

    async def remove(self, request: web.Request) -> web.Response:
        """Remove the linked device on the phone."""
        phone = self._phone(request)
        if phone.linked:
            await self.sim.faults.start("device_removed", session=phone.linked)
        return web.json_response({"linked": phone.linked}, status=202)

    async def event(self, request: web.Request) -> web.Response:
        """Let a page say anything: `{"event": "incomingcall", "data": {…}}`."""
        body = await read_body(request)
        listener = self.sim.session(request.match_info["session"]).listener
        if listener is None:
            return web.json_response({"error": "no page listens"}, status=409)
        listener.say(str(body["event"]), dict(body.get("data") or {}))
        return web.json_response({"event": body["event"]}, status=202)

    # ---- the machine ---------------------------------------------------------------------

    async def profiles(self, request: web.Request) -> web.Response:
        """Answer the profiles on the server's disk, and which browsers hold them."""
        return web.json_response({"profiles": [profile_json(one) for one in self.sim.host.profiles.values()]})

    async def end_browser(self, request: web.Request) -> web.Response:
        """End the browser of a profile, as an operator or an agent on the machine does; none is no error."""
        return web.json_response({"ended": self.sim.end_browser(request.match_info["profile"])})

    async def population(self, request: web.Request) -> web.Response:
        """Let contacts write: `{"session": NAME, "per_hour": 60, "seed": 1, "daily": false}`."""
        body = await read_body(request)
        names = [str(body["session"])] if body.get("session") else list(self.sim.host.phones)
        for name in names:
            self.sim.populate(
                name,
                float(body.get("per_hour", 60)),
                seed=int(body.get("seed", 1)),
                daily=bool(body.get("daily", False)),
            )
        return web.json_response({"sessions": names}, status=202)

    # ---- loads ---------------------------------------------------------------------------

    async def start(self, request: web.Request) -> web.Response:
        """Start sessions, each with its webhook, as from stored tokens: `{"webhooks": {NAME: URL}}`."""
        webhooks: dict[str, str] = (await read_body(request))["webhooks"]
        for name, url in webhooks.items():
            self.sim.session(name).start({"webhook": url})
        return web.json_response({"started": len(webhooks)}, status=202)

    async def load(self, request: web.Request) -> web.Response:
        """Answer how far the load is."""
        return web.json_response(self.sim.load.as_json())

    async def begin_load(self, request: web.Request) -> web.Response:
        """Have contacts write: `{"sessions": [NAME], "rate": 1000, "seconds": 10}`, messages a second."""
        body = await read_body(request)
        names = [str(name) for name in body["sessions"]]
        for name in names:
            self.sim.phone(name)
        self.sim.load.begin(names, float(body["rate"]), float(body["seconds"]))
        return web.json_response({"load": "begun"}, status=202)


@web.middleware
async def _lookups(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer 404 for a phone, contact or message that is not there, and for a missing key."""
    try:
        return await handler(request)
    except LookupError as error:
        return web.json_response({"error": f"no {error}"}, status=404)


def _wid(text: str) -> str:
    return f"{text}@c.us" if text.isdigit() else text


def _about(body: dict[str, Any]) -> dict[str, Any]:
    told = {key: body[key] for key in ABOUT if key in body}
    if media := body.get("media"):
        seed = int(media.get("seed", 1))
        told["media"] = Media(
            str(media["mimetype"]), str(media.get("filename", "")), int(media.get("size", 2_000)), seed,
            str(media.get("caption", "")),
        )  # fmt: skip
    return told

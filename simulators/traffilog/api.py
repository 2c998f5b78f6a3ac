"""Surface A: `user_login` and the token probe, over plain HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulators.traffilog import wire
from simulators.traffilog.actions import client_rows
from simulators.traffilog.wire import Answer

if TYPE_CHECKING:
    from simulators.traffilog.server import Doors, TraffilogSimulator


class Api:
    """`POST /appengine_3/{app_guid}/{version}/json`."""

    def __init__(self, sim: TraffilogSimulator) -> None:
        self.up = sim.upstream
        self.doors: Doors = sim.doors

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/appengine_3/{guid}/{version}/json", self.post)
        return app

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Answer one action; the HTTP status is 200 also for what went wrong."""
        up = self.up
        try:
            body: Any = json.loads(await request.read())
            action: Any = body["action"]
            name, parameters = str(action["name"]), dict(action["parameters"])
        except (ValueError, KeyError, TypeError):
            return _text(wire.BAD)
        up.reach(f"heard:{name}")
        if (rule := up.rules.take("login-slow")) is not None:
            await up.clock.sleep(rule.number("delay_s", 30.0))
        await up.pause(up.pace.answer_s)
        if (rule := up.rules.take("login-status")) is not None:
            return web.Response(status=int(rule.number("status", 502)), text="<html>Bad Gateway</html>")
        if name == "user_login":
            return await self._login(parameters)
        if name == "get_clients_list":
            return self._probe(parameters)
        return _text(wire.UNKNOWN)

    async def _login(self, parameters: dict[str, Any]) -> web.StreamResponse:
        up = self.up
        if up.rules.take("login-hangs") is not None:
            await asyncio.Event().wait()
        if up.rules.take("login-empty") is not None:
            # A blip of the balancer: zero bytes with a status of 200.
            return _text("")
        if up.rules.take("login-pool-exhausted") is not None:
            return self._answer("user_login", Answer([{"error_code": "6666"}], "6666"), "")
        name, password = str(parameters.get("login_name")), str(parameters.get("password"))
        refused = up.rules.take("login-refused") is not None
        session = None if refused else up.accounts.login(name, password)
        if session is None:
            # What a wrong password really answers was never recorded: an envelope without a token.
            return self._answer("user_login", Answer(value="1", description="login failed"), "")
        up.reach("done:user_login")
        rows = [{"session_token": session.token}] if self.doors.login_form != "properties" else []
        outer = session.token if self.doors.login_form != "data" else ""
        return self._answer("user_login", Answer(rows), outer)

    def _probe(self, parameters: dict[str, Any]) -> web.StreamResponse:
        session = self.up.accounts.find(str(parameters.get("session_token", "")))
        if session is None:
            return _text(wire.FORBIDDEN)
        rows = client_rows(list(self.up.clients.values()))
        return self._answer("get_clients_list", Answer(rows), session.token.lower())

    def _answer(self, name: str, answer: Answer, token: str) -> web.StreamResponse:
        properties: dict[str, object] = {
            "action_name": name,
            "data": [
                {key: value if key == "session_token" else wire.percent(value) for key, value in row.items()}
                for row in answer.rows
            ],
            "action_value": answer.value,
            "description": answer.description,
        }
        if token:
            properties["session_token"] = token
        return _text(wire.compact({"response": {"properties": properties}}))


def _text(text: str) -> web.StreamResponse:
    return web.Response(text=text, content_type="application/json")

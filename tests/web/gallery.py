"""A small app that shows the frame and every component with sample data, on a real port."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atalaia.ambient import Ambient
from atalaia.clock import SystemClock, to_ms
from atalaia.web import render
from atalaia.web.assets import static_routes
from atalaia.web.i18n import DEFAULT_ZONE
from atalaia.web.ranges import TimeRange
from atalaia.web.states import SIGNS

CSP = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
ZONE = ZoneInfo(DEFAULT_ZONE)
MINUTE, HOUR = 60_000, 3_600_000


def wave(count: int, low: float, high: float, shift: float = 0) -> list[float | None]:
    middle, reach = (low + high) / 2, (high - low) / 2
    return [round(middle + reach * math.sin(place / 3.1 + shift), 1) for place in range(count)]


def sample(now: int, ranged: TimeRange) -> SimpleNamespace:
    return SimpleNamespace(
        attention=attention(now),
        tiles=tiles(now),
        stats=stats(),
        range=ranged,
        plot=plot(now),
        calls=calls(now),
        states=list(SIGNS),
        planes=planes(now),
        timeline=timeline(now),
        raw={
            "type": "ChannelDestroyed",
            "cause": 16,
            "channel": {"id": "1763671736.42", "caller": {"name": "", "number": "1121002"}, "tags": []},
            "timestamp": "2026-11-20T20:48:56.130+0000",
            "ok": True,
            "note": None,
        },
    )


def attention(now: int) -> list[dict[str, Any]]:
    return [
        {
            "title": "Portaria Sul",
            "text": "Senha recusada pelo Asterisk. Informe a senha nova; a sessão volta sozinha.",
            "since": now - 47 * MINUTE,
            "href": "/connections/2",
            "action": "Informar senha",
        },
        {
            "title": "3 entregas mortas para “Painel da central”",
            "text": "O destino respondeu 410 em todas as tentativas.",
            "since": now - 3 * HOUR,
            "href": "/deliveries?state=dead",
            "action": "Ver entregas",
            "state": "dead",
        },
    ]


def tiles(now: int) -> list[dict[str, Any]]:
    bars = [{"state": "live", "label": "ao vivo"}] * 34 + [{"state": "lost", "label": "lacuna"}] * 2
    rows = [
        ("Portaria Norte", "live", 12 * 86_400_000, "evento de canal", 3200, bars + bars[:4], ""),
        ("Portaria Sul", "needs_person", 47 * MINUTE, "HTTP 401", 47 * MINUTE, bars, "Senha recusada"),
        ("Central 16", "hung", 95_000, "sem resposta ao canário", 31_000, bars[20:] + bars, "Não responde"),
        ("Laboratório", "waiting", 8000, "conexão recusada", 8000, bars, "Nova tentativa em 12 s"),
        ("Entrada por HTTP", "stopped", 3 * 86_400_000, "parada por Ana", 3 * 86_400_000, bars, ""),
    ]
    return [
        {
            "name": name,
            "href": f"/connections/{place}",
            "status": status,
            "since": now - since,
            "kind": "Asterisk 22.5.0" if place != 2 else "Asterisk 16.28.0",
            "proof": proof,
            "proof_at": now - proof_ago,
            "rate": wave(24, 2, 40, place),
            "rate_label": f"{38 - 7 * place} eventos/min",
            "bars": history,
            "bars_label": "99,2 % ouvido em 24 h",
            "note": note,
            "id": f"conn-{place}",
        }
        for place, (name, status, since, proof, proof_ago, history, note) in enumerate(rows)
    ]


def stats() -> list[dict[str, Any]]:
    return [
        {"label": "Ligações hoje", "value": "1.284", "values": wave(24, 10, 90), "note": "ontem 1.190"}
        | {"href": "/calls"},
        {"label": "Atendidas", "value": "93", "unit": "%", "values": wave(24, 80, 99, 1), "tone": "good"},
        {"label": "Em conversa", "value": "7", "note": "3 tocando", "glow": "talking"},
        {"label": "Entregas pendentes", "value": "12", "values": wave(24, 0, 14, 2), "tone": "idle"},
        {"label": "Idade da fila", "value": "4,2", "unit": "s", "tone": "ask"}
        | {"values": [1, 2, None, None, 3, 2, 4, 8, 4]},
    ]


def plot(now: int) -> dict[str, Any]:
    start = now - now % HOUR - 23 * HOUR
    answered: list[float | None] = [*wave(9, 2, 20), None, None, *wave(13, 20, 62, 4)]
    return {
        "x": [start + place * HOUR for place in range(24)],
        "series": [
            {"label": "Atendidas", "unit": "", "tone": "info", "kind": "bars", "values": answered},
            {"label": "Taxa", "unit": "%", "tone": "good", "kind": "line", "values": wave(24, 82, 98, 2)},
        ],
        "gaps": [{"from": start + 520 * MINUTE, "to": start + 620 * MINUTE, "label": "Sem ouvir"}],
    }


def calls(now: int) -> list[dict[str, Any]]:
    kinds = ["on_call", "ringing", "closed", "unanswered", "closed", "closed"]
    sent = ["delivered", "pending", "delivered", "retrying", "dead", "delivered"]
    return [
        {
            "id": f"call-{place}",
            "state": kinds[place % 6],
            "origin": f"112{place % 4 + 1}00{place % 9}",
            "client": ["Edifício Aurora", "Vila das Acácias", "Solar do Lago"][place % 3],
            "destiny": ["Portaria", "Apto 402", "Unidade 1204 (celular)", "94"][place % 4],
            "at": now - 65_000 - place * 190_000,
            "ring_ms": 4000 + place * 1700 % 21_000,
            "talk_ms": 61_000 + place * 37_000 % 600_000 if place % 6 not in (1, 3) else None,
            "delivery": sent[place % 6],
        }
        for place in range(14)
    ]


def planes(now: int) -> list[dict[str, Any]]:
    return [
        {"name": "Socket", "state": "ok", "at": now - 1000, "note": "pong em 4 ms"},
        {"name": "Canário", "state": "ok", "at": now - 21_000, "note": "voltou em 38 ms"},
        {"name": "REST", "state": "ok", "at": now - 9000, "note": "Asterisk 22.5.0"},
        {"name": "Banner AMI", "state": "unknown", "at": None, "note": "porta não informada"},
        {"name": "Canais", "state": "failed", "at": now - 340_000, "note": "2 canais, nenhum evento"},
    ]


def timeline(now: int) -> list[dict[str, Any]]:
    began = now - 130_000
    row = [
        (0, "heard", "ChannelCreated", "PJSIP/1121002-0000002a", "idle", "phone-outgoing"),
        (12, "fact", "call.opened", "1121002 → Portaria", "info", "phone-ringing"),
        (130, "sent", "Barramento cliente112", "confirmada na 1ª tentativa, 8 ms", "good", "send"),
        (5130, "fact", "call.answered", "atendida por 1122001", "good", "phone-call"),
        (65_300, "heard", "ChannelDestroyed", "causa 16", "idle", "phone-end"),
        (65_320, "fact", "call.ended", "encerrada, 60 s de conversa", "idle", "phone-check"),
    ]
    return [
        {"at": began + after, "kind": kind, "title": title, "text": text, "tone": tone, "icon": icon}
        | ({"href": "/events/1"} if kind == "fact" else {"body": {"n": after}})
        for after, kind, title, text, tone, icon in row
    ]


@dataclass
class Gallery:
    """The running app; `say` puts a message on the live stream of every open page."""

    url: str = ""
    streams: list[asyncio.Queue[str]] = field(default_factory=list[asyncio.Queue[str]])
    region: str = "<p>first</p>"
    region_status: int = 200

    def say(self, topic: str, data: str, number: int) -> None:
        lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
        for stream in self.streams:
            stream.put_nowait(f"id: {number}\nevent: {topic}\n{lines}\n")

    async def live(self, request: Request) -> Response:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self.streams.append(queue)

        async def lines() -> AsyncIterator[str]:
            yield f"event: tick\ndata: {to_ms(SystemClock().now())}\n\n"
            while text := await queue.get():
                yield text

        return StreamingResponse(lines(), media_type="text/event-stream")


def person() -> SimpleNamespace:
    chosen = {"language": None, "zone": None, "theme": None}
    return SimpleNamespace(name="Ana Prado", email="ana@exemplo.com.br", role="admin", **chosen)


class Around:
    """What the real app does around each request: who is signed in, the token, the policy."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", CSP.encode())]
            await send(message)

        if scope["type"] == "http":
            signed_in = not scope["path"].startswith(("/sign-in", "/welcome", "/out"))
            scope.setdefault("state", {}).update(
                person=person() if signed_in else None, csrf="token-of-this-session", counts={"alerts": 2}
            )
        await self.app(scope, receive, with_policy if scope["type"] == "http" else send)


def app(gallery: Gallery, ambient: Ambient | None = None) -> Starlette:
    ambient = ambient or Ambient()

    def show(request: Request) -> Response:
        now = to_ms(ambient.clock.now())
        ranged = TimeRange.read(request.query_params, now, ZONE)
        return render.page(request, "gallery.html", remember="gallery", sample=sample(now, ranged))

    def filtered(request: Request) -> Response:
        now = to_ms(ambient.clock.now())
        ranged = TimeRange.read(request.query_params, now, ZONE)
        shown = {"sample": sample(now, ranged), "person": None}
        return render.recall(request, "few") or render.page(
            request, "gallery.html", block="actions", remember="few", **shown
        )

    def sign_in(request: Request) -> Response:
        wrong = "bad" in request.query_params
        return render.page(request, "sign_in.html", error="E-mail ou senha não conferem." if wrong else "")

    def welcome(request: Request) -> Response:
        errors = {"again": "As duas senhas são diferentes."}
        return render.page(request, "set_password.html", first=True, errors=errors)

    def broken(request: Request) -> Response:
        return render.problem_page(
            request,
            500,
            "Something broke inside the hub",
            kept="Nothing was acknowledged, so nothing is lost.",
            todo="Try again in a moment.",
            error_id="01JD7H2K",
        )

    def region(request: Request) -> Response:
        return Response(gallery.region, gallery.region_status, media_type="text/html")

    def suggest(request: Request) -> Response:
        return JSONResponse([{"title": "Apto 402", "hint": "ramal", "href": "/found"}])

    pages = {
        **dict.fromkeys(("/", "/calls", "/connections", "/found"), show),
        "/filtered": filtered,
        "/sign-in": sign_in,
        "/welcome": welcome,
        "/broken": broken,
        "/out/broken": broken,
        "/live": gallery.live,
        "/region": region,
        "/search/suggest": suggest,
    }
    routes = [*(Route(path, does) for path, does in pages.items()), *static_routes()]
    made = Starlette(routes=routes, middleware=[Middleware(Around)])
    made.state.ambient, made.state.worlds, made.state.health = ambient, ("calls",), "healthy"
    return made


@asynccontextmanager
async def running(ambient: Ambient | None = None) -> AsyncIterator[Gallery]:
    """Serve the gallery on a free port."""
    gallery = Gallery()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    gallery.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(app(gallery, ambient), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield gallery
    finally:
        for stream in gallery.streams:
            stream.put_nowait("")
        server.should_exit = True
        await task
        listener.close()

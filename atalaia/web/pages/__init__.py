"""The screens; `ROUTERS` lists their modules."""

from __future__ import annotations

from fastapi import APIRouter

from atalaia.web.pages import channels, people, settings, sign_in, tokens, worlds

ROUTERS: tuple[APIRouter, ...] = (
    sign_in.routes, settings.routes, people.routes, tokens.routes, channels.routes, *worlds.ROUTERS,
)  # fmt: skip

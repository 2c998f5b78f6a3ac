"""The screens; `ROUTERS` lists their modules."""

from __future__ import annotations

from fastapi import APIRouter

from atalaia.web.pages import sign_in

ROUTERS: tuple[APIRouter, ...] = (sign_in.routes,)

"""People with an account of their own at the portal, and which companies they may see. Contract §12.1.

A technician's login makes a session of its own account and evicts only that; ours is not touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from atalaia.ambient import Ambient
from atalaia.connectors.traffilog.portal import forms, lookups, xml
from atalaia.connectors.traffilog.portal.client import Account, Portal
from atalaia.connectors.traffilog.portal.xml import Row
from atalaia.connectors.traffilog.settings import TraffilogSettings


@dataclass(frozen=True, slots=True)
class Client:
    """A company of the portal."""

    client_id: str
    client_descr: str
    default_group_name: str


async def groups_of_person(
    settings: TraffilogSettings, ambient: Ambient, username: str, password: str
) -> list[Row]:
    """Log in as a person and answer the groups that he sees; nothing of it is kept.

    Errors: `Refused`: wrong name or password. `Unavailable`: the portal is down.
    """
    own = settings.model_copy(update={"portal_user": username, "portal_password": SecretStr(password)})
    async with Portal(own, Account((settings.portal_url, username)), ambient) as portal:
        return await lookups.groups(portal)


async def clients(portal: Portal) -> list[Client]:
    """Answer the companies that our account sees."""
    rows = xml.read(await portal.ask(forms.clients())).rows(forms.CLIENTS, "CLIENT")
    return [
        Client(row.get("CLIENT_ID", ""), row.get("CLIENT_DESCR", ""), row.get("DEFAULT_GROUP_NAME", ""))
        for row in rows
    ]


async def schemes(portal: Portal, client_id: str) -> list[Row]:
    """Answer a company's schemes.

    Shape: VEHICLE_SETTING_ID, VEHICLE_SETTING_NAME, CREATED_BY_USER_NAME, UPDATED_AT (`dd/mm/yyyy hh:mm:ss`).
    Errors: as `Portal.ask`.
    """
    return xml.read(await portal.ask(forms.schemes_of(client_id))).rows(forms.SCHEMES)


def seen_by(person: Sequence[Mapping[str, str]], companies: Sequence[Client]) -> list[Client]:
    """Answer the companies whose name one of the person's groups carries, in any letter case."""
    names = {row.get("CLIENT_DESCR", "").strip().casefold() for row in person} - {""}
    return [one for one in companies if one.client_descr.strip().casefold() in names]

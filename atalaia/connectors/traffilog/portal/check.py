"""The portal's part of the test before a connection is saved: does it take our login and show the groups."""

from __future__ import annotations

from atalaia.ambient import Ambient
from atalaia.connections.session import CheckStep
from atalaia.connectors.traffilog.portal import lookups
from atalaia.connectors.traffilog.portal.client import Account, Portal
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.errors import Refused, Rejected, Unavailable, Unreadable

LOGIN, GROUP = "Portal login", "Production root group"


async def check_login(settings: TraffilogSettings, ambient: Ambient) -> list[CheckStep]:
    """Log in and look for the production root group. Never raises for what the portal does.

    The login ends a session that jobs may be using; they log in again.
    """
    account = Account((settings.portal_url, settings.portal_login))
    try:
        async with Portal(settings, account, ambient) as portal:
            groups = await lookups.groups(portal)
    except Refused as error:
        return [CheckStep(LOGIN, "failed", str(error), error.ask, {})]
    except (Unavailable, Rejected, Unreadable) as error:
        return [
            CheckStep(LOGIN, "failed", str(error), "Try again later; if it stays so, check the address.", {})
        ]
    good = CheckStep(
        LOGIN, "ok", "The portal takes our login name and password.", "", {"groups": len(groups)}
    )
    return [good, _root_group(settings.root_group, {row.get("GROUP_ID", "") for row in groups})]


def _root_group(asked: str, seen: set[str]) -> CheckStep:
    if not asked:
        said, todo = "No production root group is set.", "Give its id to move vehicles between companies."
        return CheckStep(GROUP, "skipped", said, todo, {})
    if asked in seen:
        return CheckStep(GROUP, "ok", "Our account sees the production root group.", "", {})
    said, todo = f"Our account does not see the group {asked}.", "Correct its id, or ask for access to it."
    return CheckStep(GROUP, "failed", said, todo, {})

"""Who may do what: scopes, and the roles that bundle them."""

from __future__ import annotations

from typing import Literal, get_args

from atalaia.desk.words import N_

Role = Literal["admin", "agent", "technician", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)

# Scope -> what it allows, in plain words for the token form.
SCOPES: dict[str, str] = {
    "events:read": N_("Read the event log"),
    "events:write": N_("Send events in"),
    "calls:read": N_("Read calls and endpoints"),
    "connections:read": N_("Read connections, their health and their gaps"),
    "connections:write": N_("Set up, switch and remove connections"),
    "deliveries:read": N_("Read subscriptions, deliveries and attempts"),
    "deliveries:write": N_("Send deliveries again and let dead letters go"),
    "subscriptions:write": N_("Set up, change and remove subscriptions"),
    "alerts:read": N_("Read alerts"),
    "alerts:write": N_("Take and silence alerts"),
    "alerts:admin": N_("Set up, try and remove channels for alerts"),
    "jobs:read": N_("Read jobs with their steps and frames"),
    "jobs:write": N_("Ask for jobs, cancel, retry and decide about them"),
    "vehicles:read": N_("Read vehicles, their parameters and processes"),
    "installations:read": N_("Read installations, their photos and catalogs"),
    "installations:write": N_("Start, approve and end installations; add photos"),
    "catalogs:write": N_("Change catalogs of clients, schemes and models"),
    "chats:read": N_("Read conversations, messages and contacts"),
    "chats:write": N_("Assign, label, note, close and answer conversations; merge contacts"),
    "people:admin": N_("Invite, change and disable people"),
    "tokens:admin": N_("Make and revoke API tokens"),
    "settings:admin": N_("Read and change settings"),
    "system:read": N_("Read workers, versions, queues and metrics"),
}

_VIEWER = frozenset(
    {
        "events:read", "calls:read", "connections:read", "deliveries:read", "alerts:read", "system:read",
        "jobs:read", "vehicles:read", "installations:read", "chats:read",
    }
)  # fmt: skip
# Whoever installs units, on a phone at the vehicle: those, and what he needs to see for it.
_TECHNICIAN = frozenset({"vehicles:read", "installations:read", "installations:write"})
_BY_ROLE: dict[str, frozenset[str]] = {
    "viewer": _VIEWER,
    "technician": _TECHNICIAN,
    "agent": _VIEWER
    | {"alerts:write", "chats:write", "deliveries:write", "installations:write", "jobs:write"},
    "admin": frozenset(SCOPES),
}


def scopes_of(role: str) -> frozenset[str]:
    """Answer what a person with this role may do; an unknown role may do nothing."""
    return _BY_ROLE.get(role, frozenset())

"""Who may do what: scopes, and the roles that bundle them."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["admin", "agent", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)

# Scope -> what it allows, in plain words for the token form.
SCOPES: dict[str, str] = {
    "events:read": "Read the event log",
    "events:write": "Send events in",
    "calls:read": "Read calls and endpoints",
    "connections:read": "Read connections, their health and their gaps",
    "connections:write": "Set up, switch and remove connections",
    "deliveries:read": "Read subscriptions, deliveries and attempts",
    "deliveries:write": "Set up subscriptions; replay and skip deliveries",
    "alerts:read": "Read alerts",
    "people:admin": "Invite, change and disable people",
    "tokens:admin": "Make and revoke API tokens",
    "settings:admin": "Read and change settings",
    "system:read": "Read workers, versions, queues and metrics",
}

_VIEWER = frozenset(
    {"events:read", "calls:read", "connections:read", "deliveries:read", "alerts:read", "system:read"}
)
_BY_ROLE: dict[str, frozenset[str]] = {
    "viewer": _VIEWER,
    "agent": _VIEWER | {"deliveries:write"},
    "admin": frozenset(SCOPES),
}


def scopes_of(role: str) -> frozenset[str]:
    """Answer what a person with this role may do; an unknown role may do nothing."""
    return _BY_ROLE.get(role, frozenset())

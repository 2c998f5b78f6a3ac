"""Dry runs: the exact frames that would be sent, with placeholders for what only the upstream can say."""

from __future__ import annotations

from atalaia.connectors.traffilog.login import login_body
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.connectors.traffilog.wire import Action, Token, build_frame
from atalaia.jobs.model import JobFailed, Planned

# Of a real token's length, so that the frames of a plan have the length of those that are sent.
_TOKEN = Token("0" * 42)


class Sketch:
    """Collects frames in order. Correlation ids are counted instead of drawn, so that a plan is stable."""

    def __init__(self) -> None:
        self.planned: list[Planned] = []

    def login(self, settings: TraffilogSettings) -> None:
        """Add the login; whoever shows the plan masks the password."""
        body = login_body(settings.user, settings.password.get_secret_value()).decode()
        self.planned.append(Planned("login", body, f"POST to {settings.login_url}"))

    def frame(self, action: Action, note: str = "") -> None:
        """Add a frame of the socket."""
        mtkn = f"{len(self.planned):025d}"
        text = build_frame(action, _TOKEN, mtkn, f"{200_000 + len(self.planned)}")
        self.planned.append(Planned("websocket", text, note))


def refuse_read_only(settings: TraffilogSettings) -> None:
    """Refuse to change anything upstream when the connection is for reading alone. Errors: `JobFailed`."""
    if settings.read_only:
        raise JobFailed("read_only", "The connection's settings say that nothing may be changed upstream.")

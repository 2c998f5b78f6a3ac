"""What one should see in the hub for each fault of the demo's WhatsApp, in both languages of the screen."""

from __future__ import annotations

EXPECTED: dict[str, tuple[str, str]] = {}

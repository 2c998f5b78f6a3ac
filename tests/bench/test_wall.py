"""`bench wall` in small: pages and changes of a real hub, read as a browser reads them."""

from __future__ import annotations

from atalaia.bench import wall


async def test_the_pages_are_weighed_and_changes_are_read_from_the_stream():
    figures = await wall.bench(sessions=60, seconds=3, rate=20, browser=False)

    assert 0 < figures["page"]["kb_gzip"] < figures["page"]["kb"]
    assert figures["changes_told"] > 0
    assert figures["screen"] == {"not_run": "not asked for"}
    assert figures["baseline"]["name"].startswith("aiohttp")

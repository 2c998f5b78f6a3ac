"""Static files under addresses that carry a hash of their content, so browsers keep them for good.

One hash covers the whole tree: scripts import each other by relative address, and those must change
together. An address with another hash is answered too, without the right to be kept.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from functools import cached_property, lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

STATIC_DIR = Path(__file__).parent / "static"
FOR_GOOD = "public, max-age=31536000, immutable"
_SQUEEZE = {".css", ".js", ".svg", ".json"}
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css", ".json": "application/json"}


class Assets:
    """The files below one folder, read into memory on first use."""

    def __init__(self, folder: Path = STATIC_DIR) -> None:
        self.folder = folder
        self._kept: dict[tuple[str, bool], bytes] = {}
        self._vendored: dict[str, str] = {}

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Every file by its path below the folder; nothing else is ever served."""
        found = (file for file in sorted(self.folder.rglob("*")) if file.is_file())
        return {file.relative_to(self.folder).as_posix(): file for file in found}

    @cached_property
    def version(self) -> str:
        """Twelve hex digits over all names and contents."""
        total = hashlib.sha256()
        for name, file in self.paths.items():
            total.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
        return total.hexdigest()[:12]

    def url(self, name: str) -> str:
        """Answer the address of `name`, as in `app/main.js`. Errors: KeyError when there is no such file."""
        if name not in self.paths:
            raise KeyError(f"no static file {name!r}")
        return f"/static/{self.version}/{name}"

    def vendored(self, ending: str) -> str:
        """Answer the address of the one vendored file that ends so, whatever its version."""
        if ending not in self._vendored:
            places = (name for name in self.paths if name.startswith("vendor/"))
            found = [name for name in places if name.endswith(f"/{ending}")]
            if len(found) != 1:
                raise KeyError(f"{len(found)} vendored files end in {ending!r}")
            self._vendored[ending] = self.url(found[0])
        return self._vendored[ending]

    @cached_property
    def icon_names(self) -> frozenset[str]:
        """The names in the icon sprite."""
        name = next(path for path in self.paths if path.endswith("/icons.svg"))
        return frozenset(re.findall(r'<symbol id="([^"]+)"', self.paths[name].read_text()))

    def content(self, name: str, *, squeezed: bool) -> bytes:
        """Answer the bytes of `name`, gzipped when `squeezed`; both forms stay in memory."""
        if (name, squeezed) not in self._kept:
            raw = self.paths[name].read_bytes()
            self._kept[name, squeezed] = gzip.compress(raw, 9, mtime=0) if squeezed else raw
        return self._kept[name, squeezed]


@lru_cache
def assets() -> Assets:
    """Answer the product's own static files."""
    return Assets()


async def serve_static(request: Request) -> Response:
    """Answer `/static/<hash>/<path>`: kept for good under the right hash, 404 for what is not there."""
    files, name = assets(), request.path_params["path"]
    if name not in files.paths:
        return PlainTextResponse("no such file\n", status_code=404)
    suffix = Path(name).suffix
    squeezed = suffix in _SQUEEZE and "gzip" in request.headers.get("accept-encoding", "")
    current = request.path_params["version"] == files.version
    headers = {
        "Cache-Control": FOR_GOOD if current else "no-cache",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if squeezed:
        headers["Content-Encoding"] = "gzip"
    kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    return Response(files.content(name, squeezed=squeezed), media_type=kind, headers=headers)


async def serve_favicon(_: Request) -> Response:
    """Answer the tower, for browsers that ask without reading the page."""
    return Response(
        assets().content("app/favicon.svg", squeezed=False),
        media_type="image/svg+xml",
        headers={"Cache-Control": "public, max-age=86400"},
    )


def static_routes() -> list[Route]:
    """Answer the routes that the app mounts; they need no sign-in."""
    return [
        Route("/static/{version}/{path:path}", serve_static, methods=["GET"]),
        Route("/favicon.ico", serve_favicon, methods=["GET"], include_in_schema=False),
    ]

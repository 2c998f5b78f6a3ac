"""Files that old callers name by their address: fetched once, from where the hub may dial. Contract §1.5."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp
from yarl import URL

from atalaia.deliveries.guard import Guard, Refusal
from atalaia.deliveries.targets.webhook import GuardedResolver
from atalaia.errors import ConfigError
from atalaia.settings import Settings
from atalaia.web.old.gateway.common import GatewayRefusal

FILE_BYTES_MAX = 48 * 1024 * 1024  # as much as fits into a body of 64 MB as base64
LIMIT_S = 60.0  # callers of the old gateway stop listening after about that
REDIRECTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file, what its server says of its type, and the name in its address."""

    content: bytes
    mimetype: str
    filename: str


async def fetch(address: str, settings: Settings) -> Fetched:
    """Fetch a file. Errors: `GatewayRefusal` 400, also for what lies in our own network and was not allowed.

    Each dial is checked after names were resolved, so that neither a name nor a redirect leads inside.
    """
    guard = Guard(settings.allow_private_targets)
    connector = aiohttp.TCPConnector(resolver=GuardedResolver(guard), socket_factory=guard.make_socket)
    limit = aiohttp.ClientTimeout(total=LIMIT_S)
    try:
        guard.check_url(address)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limit, trust_env=False) as session,
            session.get(address, max_redirects=REDIRECTS_MAX) as answer,
        ):
            if answer.status != 200:
                raise _refusal(f"The file's address answered HTTP {answer.status}.")
            content = await _read(answer)
            return Fetched(content, answer.content_type, URL(address).name)
    except (ConfigError, Refusal, ValueError) as error:
        raise _refusal(str(error).replace("target.url", "url", 1)) from None
    except TimeoutError:
        raise _refusal(f"The file was not there within {LIMIT_S:g} s.") from None
    except (aiohttp.ClientError, OSError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, Refusal) else error
        raise _refusal(f"The file could not be fetched: {cause}") from None
    finally:
        await connector.close()


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_chunked(65_536):
        size += len(part)
        if size > FILE_BYTES_MAX:
            raise _refusal("The file is larger than 48 MB.")
        parts.append(part)
    return b"".join(parts)


def _refusal(said: str) -> GatewayRefusal:
    return GatewayRefusal(400, said, "MISSING_MEDIA")

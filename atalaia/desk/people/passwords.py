"""Passwords and the random secrets that stand for a person or a program."""

from __future__ import annotations

import asyncio
import hashlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

# 19 MiB and two passes: the second setting of OWASP's list, about 25 ms; the default's 64 MiB for each
# guess that runs would be a way to exhaust a small machine.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Checked when there is no such account, so that the answer takes as long as for one that exists.
_NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1$SiNzan/s29XGfOlOeNj"
    "WBQ$A8byrJ+3zhBINJySbngzemlmvCry2zr9890CqZXysFM"
)  # At once; more wait. Each needs 19 MiB and a core.
_AT_ONCE = 2
_gates: dict[int, asyncio.Semaphore] = {}


async def hash_password(password: str) -> str:
    """Answer the argon2id hash; takes about 25 ms of another thread."""
    async with _gate():
        return await asyncio.to_thread(_HASHER.hash, password)


async def verify_password(hashed: str | None, password: str) -> bool:
    """Answer whether the password fits; no hash takes the same time and never fits."""
    async with _gate():
        return await asyncio.to_thread(_verify, hashed, password)


def _verify(hashed: str | None, password: str) -> bool:
    try:
        _HASHER.verify(hashed or _NOBODY, password)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False
    return hashed is not None


def _gate() -> asyncio.Semaphore:
    """One semaphore per event loop; a semaphore cannot be shared between loops."""
    loop = id(asyncio.get_running_loop())
    if loop not in _gates:
        _gates.clear()  # the other loops of this process are over: tests
        _gates[loop] = asyncio.Semaphore(_AT_ONCE)
    return _gates[loop]


def new_secret(prefix: str = "") -> str:
    """Answer 256 random bits as text.

    Secrets never come from the ambient's randomness: that may be seeded.
    """
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Answer the SHA-256 under which a random secret is stored; 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()

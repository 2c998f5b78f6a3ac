"""Encryption at rest: what the database holds of secrets is useless without a key that is not in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from atalaia.errors import ConfigError

_FIRST_LINE = (
    "# Atalaia's keys, newest first. Without them the stored secrets cannot be read: keep a copy apart.\n"
)


class SecretBox:
    """Seals with the newest key and opens with any. `seal` and `open` speak text; what is sealed is ASCII."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ConfigError(
                "No key to protect stored secrets with. Remove the empty key file, or set ATALAIA_KEYS."
            )
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise ConfigError(
                "A key that protects stored secrets is not 32 bytes in URL-safe base64. "
                "Restore the key file from its copy; a new key cannot open what an old one sealed."
            ) from None

    @classmethod
    def from_file(cls, path: Path) -> SecretBox:
        """Open the key file at `path`; make one, for our eyes only, when there is none.

        Errors: `ConfigError` when it cannot be read or made.
        """
        try:
            if not path.exists():
                _write(path, [new_key()], exclusive=True)
            return cls(_read(path))
        except FileExistsError:  # another process was faster
            return cls(_read(path))
        except OSError as error:
            raise ConfigError(
                f"The key file {path} cannot be used: {error.strerror}. Check its owner and rights."
            ) from None

    @classmethod
    def from_text(cls, keys: str) -> SecretBox:
        """Read keys from a setting: newest first, separated by commas or blanks."""
        return cls(keys.replace(",", " ").split())

    def seal(self, text: str) -> str:
        """Encrypt `text`."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, text: str) -> str:
        """Decrypt what `seal` answered. Errors: `ConfigError` when no key fits."""
        try:
            return self._fernet.decrypt(text.encode()).decode()
        except InvalidToken:
            raise ConfigError(
                "A stored secret was sealed with a key that this hub does not have. "
                "Restore the key file from its copy, or enter the secret again."
            ) from None

    def reseal(self, text: str) -> str:
        """Encrypt again with the newest key what an older one sealed. Errors: as `open`."""
        return self.seal(self.open(text))


def new_key() -> str:
    """Answer a fresh random key."""
    return Fernet.generate_key().decode()


def add_key(path: Path) -> None:
    """Put a fresh key in front of those in the file at `path`; old seals stay readable."""
    _write(path, [new_key(), *_read(path)], exclusive=False)


def _read(path: Path) -> list[str]:
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and path.stat().st_uid == os.getuid():
        path.chmod(0o600)  # copied by hand, usually: the file is ours, so we may close it
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _write(path: Path, keys: Sequence[str], *, exclusive: bool) -> None:
    """Write the key file so that nobody ever sees half of it, and nobody but us sees it at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _FIRST_LINE + "".join(f"{key}\n" for key in keys)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if not exclusive:
        fresh.replace(path)
        return
    try:
        os.link(fresh, path)  # unlike a rename it refuses to replace what another process just made
    finally:
        fresh.unlink()

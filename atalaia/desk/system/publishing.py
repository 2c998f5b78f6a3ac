"""Commits the state snapshot to a git repository and pushes it, with the `git` that is installed."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from atalaia.errors import AtalaiaError, ConfigError
from atalaia.redact import Redactor
from atalaia.settings import Settings

FILE = "state.md"
AUTHOR = ("-c", "user.name=Atalaia", "-c", "user.email=atalaia@localhost")
WITHIN_S = 60.0


class NotPublished(AtalaiaError):
    """Git refused or could not reach the repository; the snapshot was not pushed."""


@dataclass(frozen=True)
class Repository:
    """Where snapshots go. folder: our own clone. url: a path or an address; may hold a password."""

    folder: Path
    url: str
    branch: str
    redactor: Redactor

    async def publish(self, report: str, message: str) -> str:
        """Commit the report on top of what is there and push it; answer the commit's id.

        A report that equals the last one makes no commit. Errors: `ConfigError` without git or a repository;
        `NotPublished` with what git said, secrets masked.
        """
        if not self.url:
            raise ConfigError("No git repository is set for snapshots. Set snapshot_repository.")
        await asyncio.to_thread(self.folder.mkdir, parents=True, exist_ok=True)
        await self._git("init", "--quiet")
        await self._follow()
        await asyncio.to_thread((self.folder / FILE).write_text, report)
        await self._git("add", FILE)
        if await self._git("status", "--porcelain", "--", FILE):
            await self._git(*AUTHOR, "commit", "--quiet", "--no-gpg-sign", "--message", message)
        await self._git("push", "--quiet", self.url, f"HEAD:refs/heads/{self.branch}")
        return (await self._git("rev-parse", "HEAD")).strip()

    async def _follow(self) -> None:
        """Stand on the branch as it is there now; on nothing where there is none yet."""
        there = await self._git("ls-remote", "--heads", self.url, f"refs/heads/{self.branch}")
        if there.strip():
            await self._git("fetch", "--quiet", "--depth", "1", self.url, f"refs/heads/{self.branch}")
            await self._git("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
        else:
            await self._git("checkout", "--quiet", "--orphan", "snapshots")

    async def _git(self, *words: str) -> str:
        """Run git in our clone; nobody is asked for anything."""
        env = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_DIR": str(self.folder / ".git")}
        env["GIT_WORK_TREE"] = str(self.folder)
        try:
            process = await asyncio.create_subprocess_exec(
                "git", *words, cwd=self.folder, env=env, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except FileNotFoundError:
            raise ConfigError("Snapshots are pushed by git, which is not installed.") from None
        try:
            out, errors = await asyncio.wait_for(process.communicate(), WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise NotPublished(f"git {words[0]} did not end within {WITHIN_S:g} s.") from None
        if process.returncode:
            said = " ".join(errors.decode(errors="replace").split())[-300:]
            raise NotPublished(f"git {_verb(words)} failed: {self.redactor.text(said)}")
        return out.decode(errors="replace")


def repository_of(settings: Settings, redactor: Redactor) -> Repository:
    """Answer where the settings want snapshots to go."""
    url, branch = settings.snapshot_repository.get_secret_value(), settings.snapshot_branch
    return Repository(settings.data_dir.resolve() / "snapshots", url, branch, redactor)


def _verb(words: tuple[str, ...]) -> str:
    return next(word for word in words if not word.startswith("-") and "=" not in word)

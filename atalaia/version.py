"""Which code this is."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from atalaia import __version__

VERSION = __version__
_ROOT = Path(__file__).resolve().parent.parent


@cache
def git_sha() -> str:
    """Answer the short commit of the checkout we run from, `""` when we do not run from one."""
    return _git("rev-parse", "--short=12", "HEAD")


@cache
def git_branch() -> str:
    """Answer the branch of that checkout at the first call, `""` when it is on none."""
    return _git("branch", "--show-current")


def _git(*words: str) -> str:
    if not (_ROOT / ".git").exists():
        return ""
    try:
        answer = subprocess.run(  # noqa: S603  # no word of it comes from outside
            ["git", "-C", str(_ROOT), *words],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()

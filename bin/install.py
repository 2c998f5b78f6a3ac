"""Put the locked packages into the checkout's own virtual environment.

Usage: PYTHON bin/install.py base|dev

Called by `bin/atalaia` and `bin/test` when a lock file is not what the environment holds; only the
standard library is here. Two at once wait for each other. Progress goes to stderr.
Environment: ATALAIA_VENV, another place than .venv.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("ATALAIA_VENV") or ROOT / ".venv").absolute()
LOCKS = ROOT / "requirements"


def say(text: str) -> None:
    print(f"atalaia: {text}", file=sys.stderr, flush=True)


def stop(text: str) -> None:
    say(text)
    sys.exit(1)


def run(*words: str | Path) -> bool:
    """Run quietly; what went wrong is shown only when it failed."""
    done = subprocess.run(
        words,
        cwd=LOCKS,  # `python -m` would import from the folder the user happens to stand in
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        say(f"this failed: {' '.join(str(word) for word in words)}\n{done.stdout[-4000:]}")
    return done.returncode == 0


def is_current(kind: str) -> bool:
    """A copy of the lock file is the stamp, so any change of it installs again."""
    stamp = VENV / f"{kind}.lock"
    return (
        (VENV / "bin" / "python").exists()
        and stamp.exists()
        and stamp.read_bytes() == (LOCKS / f"{kind}.lock").read_bytes()
    )


def make_environment() -> None:
    if (VENV / "bin" / "python").exists():
        return
    say(f"making {VENV} with Python {sys.version.split()[0]}")
    shutil.rmtree(VENV, ignore_errors=True)
    if shutil.which("uv"):
        made = run("uv", "venv", "--quiet", "--python", sys.executable, VENV)
    elif importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        made = run(sys.executable, "-m", "venv", VENV)
    else:
        made = False
        say("this Python has no venv module: on Debian and Ubuntu, apt-get install python3-venv")
    if not made:
        shutil.rmtree(VENV, ignore_errors=True)
        stop("could not make the virtual environment, see above")


def find_uv() -> str | None:
    """uv installs in seconds what takes pip half a minute, so it is fetched first when it is not there."""
    if found := shutil.which("uv"):
        return found
    ours = VENV / "bin" / "uv"
    if not has_pip() and not ours.exists():
        run(VENV / "bin" / "python", "-m", "ensurepip")
    if not ours.exists() and not run(*pip(), "--require-hashes", "-r", LOCKS / "uv.lock"):
        say("going on with pip, which takes longer")
        return None
    return str(ours)


def pip() -> list[str | Path]:
    options = ("--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--no-compile")
    return [VENV / "bin" / "python", "-m", "pip", "install", *options]


def install(kind: str) -> None:
    lock = LOCKS / f"{kind}.lock"
    count = sum(1 for line in lock.read_text().splitlines() if "==" in line and not line.startswith("#"))
    say(f"installing {count} packages from requirements/{kind}.lock")
    uv = find_uv()
    done = uv is not None and run(
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        VENV / "bin" / "python",
        "--no-deps",
        "--require-hashes",
        "-r",
        lock,
    )
    if not done and not (has_pip() and run(*pip(), "--require-hashes", "-r", lock)):
        stop(
            "could not install the packages: is the package index reachable? Run the command again to go on."
        )
    for held in ("base", "dev") if kind == "dev" else ("base",):
        shutil.copyfile(LOCKS / f"{held}.lock", VENV / f"{held}.lock")


def has_pip() -> bool:
    return any((VENV / "lib").glob("python3*/site-packages/pip"))


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) == 2 else ""
    if kind not in ("base", "dev"):
        stop("usage: bin/install.py base|dev")
    started = time.monotonic()
    VENV.parent.mkdir(parents=True, exist_ok=True)
    with open(VENV.with_name(f"{VENV.name}.lock"), "w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is installing, waiting for it")
            fcntl.flock(guard, fcntl.LOCK_EX)
        if is_current(kind):
            return
        make_environment()
        install(kind)
    say(f"installed in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()

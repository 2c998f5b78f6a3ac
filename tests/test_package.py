"""The package: locks that pin everything, commands that set themselves up, a wheel that holds everything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(kind: str) -> dict[str, list[str]]:
    """Read a lock file: from `name==version` to its hashes."""
    pins: dict[str, list[str]] = {}
    current = ""
    for line in (ROOT / "requirements" / f"{kind}.lock").read_text().splitlines():
        if found := re.match(r"([a-z0-9][a-z0-9._-]*)==(\S+)", line):
            current = f"{found[1]}=={found[2]}"
            pins[current] = []
        elif found := re.match(r"\s+--hash=(sha256:[0-9a-f]{64})", line):
            pins[current].append(found[1])
        else:
            assert not line or line.startswith("#"), f"{kind}.lock: {line}"
    return pins


def names(pins: dict[str, list[str]]) -> set[str]:
    return {pin.partition("==")[0] for pin in pins}


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return found[0].lower().replace("_", "-")


@pytest.mark.parametrize("kind", ["base", "dev", "uv"])
def test_every_locked_package_has_hashes_and_no_address(kind: str):
    assert [pin for pin, hashes in locked(kind).items() if not hashes] == []


def test_the_locks_hold_what_the_project_asks_for():
    project = PROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    assert {name_of(one) for one in wanted} <= names(locked("base"))
    assert {name_of(one) for one in PROJECT["dependency-groups"]["dev"]} <= names(locked("dev"))


def test_the_development_lock_contains_the_base_lock():
    assert set(locked("base")) <= set(locked("dev"))


def clean_environment(**changes: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ATALAIA_", "PYTHON", "VIRTUAL_"))
    }
    return {**kept, **changes}


def command(*words: str | Path, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def only(folder: Path, **programs: str) -> str:
    """Make a PATH with nothing but the basic tools and the given scripts."""
    folder.mkdir()
    for tool in ("sh", "dirname", "readlink", "cmp", "env"):
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_without_a_new_enough_python_the_command_says_what_to_do(tmp_path: Path):
    env = {"PATH": only(tmp_path / "bin", python3="exit 1"), "ATALAIA_VENV": str(tmp_path / "venv")}
    done = command(ROOT / "bin" / "atalaia", "--help", cwd=tmp_path, env=env)

    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "ATALAIA_PYTHON" in done.stderr


@pytest.mark.slow
def test_without_a_package_index_the_command_says_so_and_can_be_tried_again(tmp_path: Path):
    env = clean_environment(
        PATH=f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
        ATALAIA_VENV=str(tmp_path / "venv"),
        ATALAIA_PYTHON=str(Path(sys.base_prefix) / "bin" / "python3"),
        **dict.fromkeys(("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"), "http://127.0.0.1:9/"),
        PIP_RETRIES="0", UV_NO_CACHE="1", PIP_NO_CACHE_DIR="1", UV_HTTP_RETRIES="0",
    )  # fmt: skip
    done = command(ROOT / "bin" / "atalaia", "--help", cwd=tmp_path, env=env)

    assert done.returncode == 1
    assert "is the package index reachable?" in done.stderr
    assert not (tmp_path / "venv" / "base.lock").exists()


@pytest.mark.slow
def test_a_fresh_clone_sets_itself_up_once_and_runs_from_anywhere(tmp_path: Path):
    clone, elsewhere = tmp_path / "clone", tmp_path / "elsewhere"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True, capture_output=True)
    elsewhere.mkdir()
    (elsewhere / "typing.py").write_text(
        "raise RuntimeError('the folder one stands in is not to be imported')\n"
    )
    link = tmp_path / "hub"
    link.symlink_to(clone / "bin" / "atalaia")
    env = clean_environment()

    two = [
        subprocess.Popen(
            [link, "--help"], cwd=elsewhere, env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    printed = [one.communicate(timeout=170) for one in two]

    assert [one.returncode for one in two] == [0, 0], printed
    assert all("Usage" in out for out, _ in printed), printed
    assert sum("installing" in errors for _, errors in printed) >= 1
    again = command(link, "--help", cwd=elsewhere, env={**env, "PIP_NO_INDEX": "1", "UV_OFFLINE": "1"})
    assert (again.returncode, again.stderr) == (0, "")


@pytest.mark.slow
def test_the_wheel_holds_everything_that_runs(tmp_path: Path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())

    listed = subprocess.run(
        ["git", "ls-files", "-z", "atalaia", "simulators"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    tracked = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    assert tracked - held == set()
    assert {Path(name).name for name in held if ".dist-info/licenses/" in name} == {"LICENSE", "NOTICE"}

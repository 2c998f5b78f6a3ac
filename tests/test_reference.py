"""The drawn reference pages are what the code says, and the manual's snippets do what they promise."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from atalaia.deliveries.signing import sign

ROOT = Path(__file__).resolve().parent.parent
HOOKS = (ROOT / "docs" / "how-to" / "receive-webhooks.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"specversion":"1.0","type":"call.ended","data":{"name":"João"}}'
NOW_MS = 1_795_691_917_000


def test_the_drawn_pages_are_current():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "docs", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [
        path.relative_to(ROOT / "docs")
        for kind in ("tutorials", "how-to", "reference", "explanation")
        for path in (ROOT / "docs" / kind).glob("*.md")
    ]
    assert pages
    assert [str(page) for page in pages if f"({page})" not in index] == []


def snippet(language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", HOOKS, re.DOTALL)
    return next(one for one in found if containing in one)


def headers() -> dict[str, str]:
    return sign([(SECRET, None)], "01a2178c-98a5-742c-8838-2a8447ca6c36", NOW_MS, BODY.encode())


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_the_manuals_javascript_verifies_what_we_sign():
    script = snippet("js", "function verify") + textwrap.dedent(
        f"""
        Date.now = () => {NOW_MS};
        const headers = {json.dumps(headers())};
        const body = Buffer.from({json.dumps(BODY)});
        console.log(verify({SECRET!r}, headers, body), verify({SECRET!r}, headers, Buffer.from('x')),
                    verify('whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', headers, body));
        """
    )
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["true", "false", "false"], done.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_the_manuals_shell_makes_our_signature(tmp_path: Path):
    (tmp_path / "body").write_bytes(BODY.encode())
    given = headers()
    known = {"SECRET": SECRET, "ID": given["webhook-id"], "TIMESTAMP": given["webhook-timestamp"]}
    done = subprocess.run(
        ["sh", "-c", snippet("sh", "openssl dgst")],
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin", **known}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"v1,{done.stdout.strip()}" == given["webhook-signature"], done.stderr

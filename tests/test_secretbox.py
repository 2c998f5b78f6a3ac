"""What is sealed opens with our keys only, also after they were changed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.errors import ConfigError
from atalaia.secretbox import SecretBox, add_key, new_key

BOX = SecretBox([new_key()])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_is_unreadable_and_opens_again(text: str) -> None:
    sealed = BOX.seal(text)
    assert sealed.isascii()
    assert len(text) < 4 or text not in sealed
    assert BOX.open(sealed) == text


def test_the_key_file_is_made_once_for_our_eyes_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret.key"
    sealed = SecretBox.from_file(path).seal("x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SecretBox.from_file(path).open(sealed) == "x"
    assert [file.name for file in path.parent.iterdir()] == ["secret.key"]


def test_a_key_file_that_others_may_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    SecretBox.from_file(path)
    path.chmod(0o644)
    SecretBox.from_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_key_seals_and_the_old_ones_still_open(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    old = SecretBox.from_file(path)
    sealed = old.seal("x")
    add_key(path)
    both = SecretBox.from_file(path)
    fresh = both.reseal(sealed)
    assert (both.open(sealed), both.open(fresh)) == ("x", "x")
    with pytest.raises(ConfigError, match="key that this hub does not have"):
        old.open(fresh)


def test_what_is_wrong_with_the_keys_is_said_without_saying_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No key"):
        SecretBox.from_text(" , ")
    with pytest.raises(ConfigError) as wrong:
        SecretBox.from_text("not-a-key-canary")
    assert "canary" not in str(wrong.value)
    (tmp_path / "secret.key").mkdir()
    with pytest.raises(ConfigError, match="cannot be used"):
        SecretBox.from_file(tmp_path / "secret.key")

"""The reading of recordings tells sizes, times and what the header says."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from atalaia.connectors.asterisk.wavs import list_wavs, unfinished
from tests.connectors.asterisk.session.rig import Rig

NOW_S = 1_795_207_931.0  # 2026-11-20


def wav(folder: Path, name: str, data_bytes: int, *, header: int | None = None, age_s: float = 0) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    length = data_bytes if header is None else header
    path.write_bytes(b"RIFF" + bytes(36) + struct.pack("<I", length) + bytes(data_bytes))
    os.utime(path, (NOW_S - age_s, NOW_S - age_s))


def test_files_are_described_as_in_the_captures(tmp_path: Path) -> None:
    wav(tmp_path, "2026/11/20/a.wav", 48_320, age_s=13)
    wav(tmp_path, "2026/11/20/b.wav", 0)

    found = list_wavs(tmp_path, NOW_S - 3600)

    assert list(found) == ["2026/11/20/b.wav", "2026/11/20/a.wav"]
    assert found["2026/11/20/a.wav"] == {
        "bytes": 48_364, "mtime": NOW_S - 13, "seconds": 3.02, "header_data_bytes": 48_320,
    }  # fmt: skip


def test_old_days_and_other_files_are_left_out(tmp_path: Path) -> None:
    wav(tmp_path, "2026/11/20/new.wav", 16_000, age_s=7200)
    wav(tmp_path, "2026/11/10/moved.wav", 16_000)  # a day long gone is not even opened
    wav(tmp_path, "2025/01/01/old.wav", 16_000)
    wav(tmp_path, "odd/place/kept.WAV", 16_000)
    (tmp_path / "2026/11/20/new.mp3").write_bytes(b"x")

    assert set(list_wavs(tmp_path, NOW_S - 86_400)) == {"2026/11/20/new.wav", "odd/place/kept.WAV"}


def test_a_file_that_is_no_wav_says_nothing_of_a_header(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"too short")
    assert "header_data_bytes" not in list_wavs(tmp_path, 0)["x.wav"]


def test_only_files_of_ended_calls_are_waited_for(tmp_path: Path) -> None:
    wav(tmp_path, "ended.wav", 32_000, header=0)
    wav(tmp_path, "living.wav", 32_000, header=0)
    wav(tmp_path, "closed.wav", 32_000)
    wav(tmp_path, "unanswered.wav", 0)
    wav(tmp_path, "killed-long-ago.wav", 32_000, header=0, age_s=600)

    assert unfinished(list_wavs(tmp_path, 0), {"living.wav"}, NOW_S) == ["ended.wav"]


async def test_a_session_tells_the_recordings_before_the_reading_is_complete(
    rig: Rig, tmp_path: Path
) -> None:
    wav(tmp_path, "x.wav", 16_000)
    os.utime(tmp_path / "x.wav", (rig.clock.now().timestamp(), rig.clock.now().timestamp()))

    await rig.connect(recordings_folder=str(tmp_path))

    assert rig.port.types()[-2:] == ["recordings", "control"]
    assert rig.port.bodies("recordings")[0]["x.wav"]["seconds"] == 1.0


async def test_a_recordings_folder_that_cannot_be_read_does_not_stop_hearing(
    rig: Rig, tmp_path: Path
) -> None:
    await rig.connect(recordings_folder=str(tmp_path / "none"))

    await rig.spin(lambda: any(word == "alert" for word, _ in rig.port.told))
    assert rig.port.bodies("recordings") == []
    assert rig.port.controls() == ["connected", "snapshot"]

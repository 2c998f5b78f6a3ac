"""The configuration is told at the start and whenever it changes, and never holds a password."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import create_engine, text

from simulators.asterisk.world import demo_world
from simulators.asterisk.world import write_etc as write_world
from tests.connectors.asterisk.session.rig import Rig

ENDPOINT = "#include pjsip/{0}.pjsip ; Endpoint:{0} CLI:112 TYPE:apto PW:test-only-secret GUID:g\n"


def write(folder: Path, *endpoints: str) -> None:
    (folder / "__CLIENTES__.DEF").write_text("[112]\nname = Residencial\nvhost = cliente112\n")
    (folder / "endpoints_pjsip.def").write_text("".join(ENDPOINT.format(one) for one in endpoints))
    (folder / "__MQSERVERS__.DEF").write_text(
        "[mq1]\nhost = mq.example.test\nuser = u\npassword = test-only-mq\n"
    )


@pytest_asyncio.fixture
async def etc(rig: Rig, tmp_path: Path) -> Path:
    write(tmp_path, "1121001", "1121002")
    rig.over["etc_folder"] = str(tmp_path)
    return tmp_path


async def test_the_directory_is_told_first_and_without_passwords(rig: Rig, etc: Path) -> None:
    await rig.connect()

    (directory,) = rig.port.bodies("directory")
    assert rig.port.types()[0] == "directory"
    assert [one["number"] for one in directory["endpoints"]] == ["1121001", "1121002"]
    assert directory["rules"]["server"] == "voip1"
    assert "test-only" not in rig.port.heard[0].body


async def test_a_changed_file_is_told_without_a_restart(rig: Rig, etc: Path) -> None:
    await rig.connect()

    write(etc, "1121001", "1121002", "1121003")
    await rig.run_until(lambda: len(rig.port.bodies("directory")) == 2, at_most_s=10)

    assert len(rig.port.bodies("directory")[1]["endpoints"]) == 3
    assert rig.port.controls() == ["connected", "snapshot"]


async def test_a_bad_line_is_told_with_file_and_line(rig: Rig, etc: Path) -> None:
    with (etc / "endpoints_pjsip.def").open("a") as file:
        file.write("#include pjsip/9.pjsip ; Endpoint:1121009 CLI:999 TYPE:apto\n")

    await rig.connect()

    (problem,) = rig.port.bodies("directory")[0]["problems"]
    assert (problem["file"], problem["line"]) == ("endpoints_pjsip.def", 3)


async def test_a_file_that_vanishes_does_not_make_us_forget_everybody(rig: Rig, etc: Path) -> None:
    await rig.connect()

    (etc / "endpoints_pjsip.def").rename(etc / "endpoints_pjsip.bak")
    await rig.run_until(lambda: any(word == "alert" for word, _ in rig.port.told), at_most_s=10)
    assert len(rig.port.bodies("directory")) == 1
    (etc / "endpoints_pjsip.bak").rename(etc / "endpoints_pjsip.def")
    await rig.run_until(
        lambda: rig.port.told[-1] == ("calm", "asterisk.configuration:connection-1"), at_most_s=10
    )


async def test_endpoints_of_which_asterisk_knows_nothing_are_shown(rig: Rig, etc: Path) -> None:
    write(etc, "1121001", "1121777")

    await rig.connect()
    await rig.spin(lambda: any(word == "alert" for word, _ in rig.port.told))

    alert = next(text for word, text in rig.port.told if word == "alert")
    assert "1 configured endpoint(s): 1121777" in alert


async def test_database_mode_reads_the_tables_and_keeps_the_last_reading(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "realtime.db"
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as tx:
        for statement in (
            "create table ps_endpoints (id text)",
            "create table ps_atalaia (id text, client text, type text, name text)",
            "create table clients (code text, name text, vhost text, status text)",
            "insert into ps_endpoints values ('1121001')",
            "insert into ps_atalaia values ('1121001', '112', 'apto', 'Casa')",
            "insert into clients values ('112', 'Residencial', 'cliente112', 'active')",
        ):
            tx.execute(text(statement))
    await rig.connect(source="database", database_url=f"sqlite:///{file}")
    assert rig.port.bodies("directory")[0]["endpoints"][0]["name"] == "Casa"

    with engine.begin() as tx:
        tx.execute(text("update ps_atalaia set name = 'Portaria'"))
    await rig.run_until(lambda: len(rig.port.bodies("directory")) == 2, at_most_s=40)
    engine.dispose()
    file.write_bytes(b"no database any more")
    await rig.run_until(lambda: any(word == "alert" for word, _ in rig.port.told), at_most_s=40)

    assert len(rig.port.bodies("directory")) == 2


async def test_the_demo_world_reads_without_an_error(rig: Rig, tmp_path: Path) -> None:
    write_world(tmp_path, demo_world())

    await rig.connect(etc_folder=str(tmp_path))

    (directory,) = rig.port.bodies("directory")
    assert [one for one in directory["problems"] if one["level"] == "error"] == []
    assert len(directory["clients"]) == 3


@pytest.mark.parametrize("missing", ["__CLIENTES__.DEF", "endpoints_pjsip.def"])
async def test_a_missing_file_at_the_start_is_told_and_hearing_begins(
    rig: Rig, etc: Path, missing: str
) -> None:
    (etc / missing).unlink()

    await rig.connect()

    problems = rig.port.bodies("directory")[0]["problems"]
    assert any(problem["file"] == missing for problem in problems)

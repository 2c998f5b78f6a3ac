"""Configuration: text files as people edit them, the database's tables, and both together."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from sqlalchemy import create_engine, text

from atalaia.connectors.asterisk.directory import Client, Directory, Known, Rules
from atalaia.connectors.asterisk.sources import Sources, read_directory, read_mq_servers
from atalaia.errors import ConfigError, Unavailable
from tests.connectors.asterisk.folding import RECORDINGS, world

CLIENTS = """\
[112]
name = Residencial
vhost = cliente112
allow_ips = 203.0.113.12, 203.0.113.13
[113]
push = no
"""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "__CLIENTES__.DEF").write_text(CLIENTS)
    (tmp_path / "endpoints_pjsip.def").write_text("")
    return tmp_path


def endpoints(etc: Path, *lines: str) -> Directory:
    (etc / "endpoints_pjsip.def").write_text("\n".join(lines) + "\n")
    return read_directory(Sources(etc=etc))


def said(directory: Directory) -> list[tuple[str, int, str, str]]:
    return [(one.file, one.line, one.kind, one.level) for one in directory.problems]


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the shared test world is not beside this checkout")
def test_the_test_world_is_read_without_a_problem() -> None:
    found = read_directory(Sources(etc=RECORDINGS.parents[1] / "asterisk" / "etc"))

    assert found.problems == ()
    assert (len(found.clients), len(found.endpoints), len(found.ring_groups)) == (3, 27, 4)
    assert found.find("1121001") == Known("apto", "112", "cliente112")
    assert found.find("1128002") == Known("ring-group", "112", "cliente112")
    assert found.ring_groups["1128002"].strategy == "hunt"


def test_a_client_has_what_his_section_says_and_defaults_for_the_rest(etc: Path) -> None:
    clients = read_directory(Sources(etc=etc)).clients

    assert clients["112"].allow_ips == ("203.0.113.12", "203.0.113.13")
    assert clients["113"] == Client("113", "113", "cliente113", push=False)


def test_keys_come_in_any_letter_case_and_unknown_ones_are_kept(etc: Path) -> None:
    found = endpoints(
        etc, "#include pjsip/1121001.pjsip ; endpoint:1121001 cli:112 Type:APTO pw:x Guid:g FLOOR:3"
    )

    endpoint = found.endpoints["1121001"]
    assert (endpoint.type, endpoint.guid, endpoint.extra) == ("apto", "g", {"floor": "3"})


def test_a_password_is_nowhere_in_what_goes_into_the_log(etc: Path) -> None:
    found = endpoints(etc, "#include pjsip/1.pjsip ; Endpoint:1121001 CLI:112 TYPE:apto PW:canary-secret",
        "#include pjsip/1.pjsip ; Endpoint:1121x CLI:112 TYPE:apto PW:canary-secret")  # fmt: skip

    assert b"canary-secret" not in orjson.dumps(found.to_body())


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Endpoint:1121001 TYPE:apto", "an endpoint's line"),
        ("Endpoint:1121001 CLI:12 TYPE:apto", "CLI of an endpoint"),
        ("Endpoint:1121001 CLI:112 TYPE:phone", "TYPE of an endpoint"),
        ("Endpoint:112100 CLI:112 TYPE:apto", "Endpoint of a line"),
        ("Endpoint:999x001 CLI:112 TYPE:apto", "Endpoint of a line"),
        ("Endpoint:9991001 CLI:999 TYPE:apto", "CLI of an endpoint"),
    ],
)
def test_a_bad_line_is_reported_with_its_place_and_skipped(etc: Path, line: str, kind: str) -> None:
    found = endpoints(etc, "; a comment", f"#include pjsip/x.pjsip ; {line}",
        "#include pjsip/1121002.pjsip ; Endpoint:1121002 CLI:112 TYPE:apto")  # fmt: skip

    assert list(found.endpoints) == ["1121002"]
    assert said(found) == [("endpoints_pjsip.def", 2, kind, "error")]
    assert all(one.remedy and one.reason for one in found.problems)


def test_lines_that_are_no_endpoints_are_comments(etc: Path) -> None:
    found = endpoints(
        etc, "", "; Endpoint:1121001 CLI:112 TYPE:apto", "#include other.conf", "#include a.conf ; mine: no"
    )

    assert (found.endpoints, found.problems) == ({}, ())


def test_of_two_lines_for_one_endpoint_the_last_wins_with_a_warning(etc: Path) -> None:
    line = "#include pjsip/x.pjsip ; Endpoint:1121001 CLI:112 TYPE:"
    found = endpoints(etc, line + "apto", line + "unidade")

    assert found.endpoints["1121001"].type == "unidade"
    assert said(found) == [("endpoints_pjsip.def", 2, "endpoint 1121001", "warning")]


def test_an_old_endpoint_of_four_digits_belongs_to_its_client(etc: Path) -> None:
    found = endpoints(etc, "#include pjsip/1131.pjsip ; Endpoint:1131 CLI:112 TYPE:apto")

    assert found.find("1131") == Known("apto", "112", "cliente112")
    assert found.problems == ()


def test_files_with_a_byte_order_mark_and_other_line_ends_are_read(etc: Path) -> None:
    path = etc / "endpoints_pjsip.def"
    path.write_bytes(
        b"\xef\xbb\xbf#include pjsip/1.pjsip ; Endpoint:1121001 CLI:112 TYPE:apto\r\n\xff\xfe\r\n"
    )
    found = read_directory(Sources(etc=etc))

    assert list(found.endpoints) == ["1121001"]
    assert said(found) == [("endpoints_pjsip.def", 2, "a line", "error")]


def test_a_missing_file_is_a_problem_but_ring_groups_are_optional(tmp_path: Path) -> None:
    found = read_directory(Sources(etc=tmp_path))

    assert said(found) == [
        ("__CLIENTES__.DEF", 0, "the file", "error"), ("endpoints_pjsip.def", 0, "the file", "error"),
    ]  # fmt: skip


def test_bad_sections_of_clients_are_reported(etc: Path) -> None:
    (etc / "__CLIENTES__.DEF").write_text(
        "name = x\n[12]\n[112]\nstatus = gone\nrecord = perhaps\nnonsense\n[112]\nname = B\n[\n"
    )
    found = read_directory(Sources(etc=etc))

    assert found.clients["112"].name == "B"
    assert [(one.line, one.level) for one in found.problems] == [
        (1, "error"), (2, "error"), (6, "error"), (3, "error"), (3, "warning"), (7, "warning"), (9, "error"),
    ]  # fmt: skip


def test_ring_groups_are_checked_too(etc: Path) -> None:
    lines = [
        "RingGroup:1128001 CLI:112 NAME:P STRATEGY:hunt TIMEOUT:7 MEMBERS:1121001,1121009",
        "RingGroup:x CLI:112",
        "RingGroup:2 CLI:999",
        "RingGroup:3 CLI:112 STRATEGY:loud",
        "RingGroup:4 CLI:112 TIMEOUT:long",
    ]
    (etc / "ringgroups.def").write_text("".join(f"; {line}\nexten => x\n" for line in lines))
    found = endpoints(etc, "#include pjsip/1121001.pjsip ; Endpoint:1121001 CLI:112 TYPE:apto")

    [group] = found.ring_groups.values()
    assert (group.strategy, group.timeout_s, group.members) == ("hunt", 7, ("1121001", "1121009"))
    assert [(one.line, one.level) for one in found.problems] == [
        (1, "warning"), (3, "error"), (5, "error"), (7, "error"), (9, "error"),
    ]  # fmt: skip


def test_servers_come_in_order_and_hide_their_passwords(etc: Path) -> None:
    (etc / "__MQSERVERS__.DEF").write_text(
        "[b]\nhost = b.example\nuser = u\npassword = canary-secret\ntls = yes\n"
        "[a]\nhost = a\nport = x\n[c]\nport = 1\n[d]\nhost=d\n"
    )
    servers, problems = read_mq_servers(Sources(etc=etc))

    assert [(one.name, one.port, one.tls) for one in servers] == [("b", 5671, True), ("d", 5672, False)]
    assert servers[0].password == "canary-secret"
    assert "canary-secret" not in repr(servers)
    assert len(problems) == 2


def test_one_file_may_lie_elsewhere(etc: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere.def"
    other.write_text("#include pjsip/1.pjsip ; Endpoint:1121005 CLI:112 TYPE:apto\n")
    found = read_directory(Sources(etc=etc, endpoints=other))

    assert list(found.endpoints) == ["1121005"]


def test_a_changed_file_changes_the_stamp(etc: Path) -> None:
    sources = Sources(etc=etc)
    before = sources.stamp()
    assert sources.stamp() == before

    (etc / "ringgroups.def").write_text("; new\n")
    assert sources.stamp() != before


def test_what_the_log_keeps_is_what_was_read() -> None:
    directory = world(server="voip7", ia_numbers=("94", "95"))

    assert Directory.from_body(orjson.loads(orjson.dumps(directory.to_body()))) == directory
    assert (
        Directory.from_body(
            {"endpoints": [{"number": "1", "client": "2", "type": "apto", "colour": "red"}]}
        ).rules
        == Rules()
    )


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("1127001", "apto"),
        ("1122009", "ring-member"),
        ("1123009", "unidade"),
        ("1128009", "ring-group"),
        ("1129009", "ia"),
    ],
)
def test_the_number_plan_explains_numbers_of_known_clients_only(number: str, kind: str) -> None:
    directory = Directory(world().clients)

    assert directory.find(number) is None
    assert directory.infer(number) == Known(kind, "112", "cliente112")
    for stranger in ("999" + number[3:], number + "0", number[:6], "1125001", "112700x"):
        assert directory.infer(stranger) is None


def fill(url: str, *statements: str) -> str:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
    return url


TABLES = (
    "create table ps_endpoints (id varchar(40), context varchar(40))",
    "create table ps_atalaia (id varchar(40), client char(3), type varchar(16), name varchar(80))",
    "insert into ps_endpoints (id) values ('1121001'), ('1121002'), ('1121003')",
    "insert into ps_atalaia values ('1121001','112','unidade','Ana'), ('1121002','112','robot','')",
    "insert into ps_atalaia values ('1121009','112','apto','')",
)


def test_the_database_wins_over_the_files(etc: Path, tmp_path: Path) -> None:
    url = fill(f"sqlite:///{tmp_path}/a.db", *TABLES,
        "create table clients (code char(3), name varchar(80), vhost varchar(80), push varchar(3))",
        "insert into clients values ('112', 'Banco', 'vhost-db', 'no')",
        "create table ring_groups (number varchar(8), client char(3), strategy varchar(8), members text)",
        "insert into ring_groups values ('1128001','112','queue','1121001, 1121002')",
        "insert into ring_groups values ('1128002','112','?','')")  # fmt: skip
    (etc / "endpoints_pjsip.def").write_text("#include pjsip/1.pjsip ; Endpoint:1121001 CLI:112 TYPE:apto\n"
        "#include pjsip/2.pjsip ; Endpoint:1121005 CLI:112 TYPE:apto\n")  # fmt: skip
    found = read_directory(Sources(etc=etc, database_url=url))

    assert found.find("1121001") == Known("unidade", "112", "vhost-db")
    assert found.find("1121005") == Known("apto", "112", "vhost-db")
    assert (found.clients["112"].push, found.clients["113"].vhost) == (False, "cliente113")
    assert found.ring_groups["1128001"].members == ("1121001", "1121002")
    assert sorted((one.file, one.kind) for one in found.problems) == [
        ("table ps_atalaia", "row 1121002"), ("table ps_atalaia", "row 1121009"),
        ("table ps_endpoints", "row 1121003"), ("table ring_groups", "row 1128002"),
    ]  # fmt: skip


def test_a_database_without_our_tables_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    found = read_directory(Sources(database_url=f"sqlite:///{tmp_path}/empty.db"))

    assert [one.file for one in found.problems] == ["table ps_atalaia", "table ps_endpoints"]


def test_a_database_that_is_away_or_misspelt_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as away:
        read_directory(Sources(database_url="mysql+pymysql://u:canary-secret@127.0.0.1:1/x"))
    with pytest.raises(ConfigError) as odd:
        read_directory(Sources(database_url="nosuch://u:canary-secret@h/x"))

    assert "canary-secret" not in str(away.value) + str(odd.value)

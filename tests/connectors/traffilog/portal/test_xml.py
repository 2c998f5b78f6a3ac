"""What the portal answers, recorded and made up: rows, odd attributes, lost sessions, errors."""

from __future__ import annotations

from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.connectors.traffilog.portal import forms, xml
from atalaia.connectors.traffilog.portal.cookies import Cookies
from atalaia.errors import Unreadable

EMPTY = (
    '<root REQUEST_ID="" DURATION="0"><DATASOURCE DATASOURCE="VHCLS" ACT="REFRESH" EXCELDATASOURCE="DATA" />'
    '<DATASOURCE DATASOURCE="GET_OUTGOING_MSGS" ACT="REFRESH" /></root>'
)
ONE = EMPTY.replace(
    'EXCELDATASOURCE="DATA" />',
    'EXCELDATASOURCE="DATA"><DATA VEHICLE_ID="2900108" CLIENT_DESCR="R&#225;pido &amp; Filhos" X_NEW="1" />'
    "</DATASOURCE>",
    1,
)
FORM = (
    '<root><DATASOURCE DATASOURCE="HTML"><table class="x"><TD nowrap>a > b<br></table></DATASOURCE>'
    '<DATA DATASOURCE="GET_VHCL_ACTIVATION_DATA_NEW" VEHICLE_ID="2900108" DIAL_NUMBER="920001747" '
    'iDRIVE_UNIT_SN="q" /></root>'
)


def test_an_empty_list_is_an_answer():
    assert len(EMPTY) == 169
    assert xml.read(EMPTY).rows("VHCLS") == []


def test_a_missing_list_is_none():
    with pytest.raises(Unreadable, match="no data source VHCLS"):
        xml.read("<root/>").rows("VHCLS")


def test_rows_belong_to_the_source_around_them_and_keep_attributes_that_nobody_knows():
    answer = xml.read(
        ONE.replace('"GET_OUTGOING_MSGS" ACT="REFRESH" />', '"GET_OUTGOING_MSGS"><DATA A="1" /></DATASOURCE>')
    )

    assert answer.rows("VHCLS") == [
        {"VEHICLE_ID": "2900108", "CLIENT_DESCR": "Rápido & Filhos", "X_NEW": "1"}
    ]
    assert answer.rows("GET_OUTGOING_MSGS") == [{"A": "1"}]


def test_an_answer_may_be_one_bare_data_source():
    text = (
        '<DATASOURCE DATASOURCE="CLIENTS" ACT="REFRESH"><CLIENT CLIENT_ID="310209" CLIENT_DESCR="Rápido" />'
        "</DATASOURCE>"
    )

    assert xml.read(text).rows("CLIENTS", "CLIENT") == [{"CLIENT_ID": "310209", "CLIENT_DESCR": "Rápido"}]


def test_the_row_of_an_activation_is_found_amid_its_html():
    row = xml.activation_row(xml.read(FORM), forms.ACTIVATION)

    assert row is not None
    assert (row["DIAL_NUMBER"], row["iDRIVE_UNIT_SN"]) == ("920001747", "q")
    assert xml.activation_row(xml.read(EMPTY), forms.ACTIVATION) is None


@pytest.mark.parametrize(
    ("text", "reading", "writing"),
    [
        (EMPTY, "live", "live"),
        ('<root login="-1" />', "expired", "expired"),
        ("\ufeff\n<!DOCTYPE HTML><html>", "expired", "expired"),
        ("<root>Action: VHCLS error</root>", "expired", "live"),
        ('<DATA LOGIN_NAME="login" X="-1" />', "live", "live"),
    ],
)
def test_a_lost_session_is_told_apart_from_an_answer(text: str, reading: str, writing: str):
    assert (xml.session_of(text), xml.session_of(text, reading=False)) == (reading, writing)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (EMPTY, ""),
        ('<root><ERROR DESCRIPTION="no &amp; never" /></root>', "no & never"),
        ("<ERROR>broken</ERROR>", "broken"),
        ("<ERROR />", "an error without words"),
        ("Action: SAVE_VHCL_ACTIVATION_NEW error.", "Action: SAVE_VHCL_ACTIVATION_NEW error"),
        ('<ERROR MESSAGE="Failed to link unit (7)" />', "Failed to link unit"),
        ("<x>no privilege to edit</x>", "No privilege to edit"),
    ],
)
def test_an_error_is_told_in_the_portals_words(text: str, said: str):
    assert xml.error_of(text) == said


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ('<DATA ORDER_ID="77001" />', "77001"),
        ('<DATA ORDER="77002" />', "77002"),
        ('<DATA ORDER_ID="-1" />', ""),
        ('<DATA REORDER="5" />', ""),
    ],
)
def test_an_orders_id_has_one_of_two_names(text: str, order: str):
    assert xml.order_of(text) == order


def test_a_login_shows_by_its_cookie_or_by_where_it_sends_us():
    assert xml.logged_in("", {"TFL_SESSION": "x"})
    assert xml.logged_in('<root REDIRECT="index.htm?node=-2&amp;x=1" />', {})
    assert not xml.logged_in("<root />", {"ASP.NET_SessionId": "x"})


values = st.dictionaries(st.from_regex(r"[A-Z_]{1,12}", fullmatch=True), st.text(max_size=30), max_size=8)


@given(st.lists(values, max_size=5))
def test_what_is_escaped_into_attributes_comes_out_as_it_was(rows: list[dict[str, str]]):
    clean = [{k: v.replace("\x00", "") for k, v in row.items() if k != "DATASOURCE"} for row in rows]
    written = "".join(
        "<DATA" + "".join(f' {k}="{escape(v)}"' for k, v in row.items()) + " />" for row in clean
    )

    answer = xml.read(f'<DATASOURCE DATASOURCE="VHCLS">{written}</DATASOURCE>')

    assert answer.rows("VHCLS") == clean


@given(st.text(max_size=300), st.text(alphabet='<>"=/DATASOURCE &;#-![]', max_size=300))
def test_no_text_breaks_the_readers(one: str, other: str):
    for text in (one, other, one + other):
        answers = [xml.read(text), xml.error_of(text), xml.session_of(text), xml.order_of(text)]
        assert len(answers) == 4  # each answered, whatever it makes of the text


def test_cookies_are_merged_and_sent_in_the_portals_order():
    cookies = Cookies()
    cookies.merge(
        ["AWSALB=a; Path=/", "X=1", "ASP.NET_SessionId=s; path=/; HttpOnly", "AWSALBCORS=b; Secure"]
    )
    cookies.merge(["TFL_SESSION=t=1==; path=/", "AWSALB=a2; Path=/", "X=; Max-Age=0"])
    cookies.add_constant()

    assert cookies.header() == (
        "ASP.NET_SessionId=s; TFL_SESSION=t=1==; EULA_APPROVED=1; "
        "APPLICATION_ROOT_NODE=%7B%22node%22%3A%22-2%22%7D; LOGIN_DATA=; AWSALB=a2; AWSALBCORS=b"
    )
    cookies.drop_session()
    assert set(cookies.values) == {
        "EULA_APPROVED", "APPLICATION_ROOT_NODE", "LOGIN_DATA", "AWSALB", "AWSALBCORS",
    }  # fmt: skip

"""Whatever is secret stays so, wherever it stands and however it is written."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atalaia.redact import MASK, Redactor, is_secret_name

CANARY = "cAnary-7f3a9"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Basic {base64.b64encode(b'user:' + CANARY.encode()).decode()}",
        f"authorization: Bearer {CANARY}",
        f"{{'Authorization': 'Bearer {CANARY}'}}",
        f"GET http://user:{CANARY}@host:8088/ari HTTP/1.1",
        f"amqp://{CANARY}@host/vhost",
        f"postgresql+asyncpg://atalaia:{CANARY}@db/atalaia failed",
        f"ws://host/ari/events?app=x&api_key=user:{CANARY}&subscribeAll=true",
        f"/intake?token={CANARY}#top",
        f"password={CANARY}",
        f"password: {CANARY}, host: x",
        f"SRV:mq1;USER:calls;PW:{CANARY};PORT:5672",
        f'{{"password": "{CANARY}"}} is what I sent',
        f'body {{\\"api_key\\": \\"{CANARY}\\"}} refused',
        f"X-Admin-Key: {CANARY}",
        f"Cookie: atalaia_session={CANARY}",
        f"senha={CANARY}",
        f"ARI_PASSWORD={CANARY}",
        f"refresh_token={CANARY}",
    ],
)
def test_secrets_are_found_by_their_shape(text: str) -> None:
    masked = Redactor().text(text)
    assert CANARY not in masked
    assert base64.b64encode(b"user:" + CANARY.encode()).decode() not in masked
    assert MASK in masked


@pytest.mark.parametrize(
    "text",
    [
        "The call from 1140101 to 1140102 was answered after 12 s.",
        "http://host:8088/ari/channels?app=atalaia&limit=10",
        "order kept per key; key: order-7",
        "password_hint: none",
        "3 tokens were revoked",
        "basic checks passed",
        "ana@example.com signed in",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True), ("ari_password", True), ("X-Api-Key", True), ("authorization", True),
        ("Set-Cookie", True), ("PW", True), ("clientSecret", True), ("access_token", True), ("csrf", True),
        ("PHPSESSID", True), ("key", False), ("token_hint", False), ("secrets_set", False),
        ("password_changed_at", False), ("message_id", False), ("keyboard", False), ("token_count", False),
        ("has_password", False),
    ],
)  # fmt: skip
def test_names_tell_what_is_secret(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


# Long enough to be told apart from chance, and not a part of the words around it.
canaries = st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=40).filter(
    lambda text: len(set(text)) > 3 and MASK not in text
)


def forms(secret: str) -> list[str]:
    return [secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1],
            base64.b64encode(secret.encode()).decode()]  # fmt: skip


@given(canaries, st.text(max_size=30), st.text(max_size=30))
def test_a_learned_secret_is_nowhere_in_a_text(secret: str, before: str, after: str) -> None:
    redactor = Redactor([secret])
    for form in forms(secret):
        masked = redactor.text(f"{before} {form} {after}")
        assert form not in masked.replace(before, "").replace(after, "")


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(canaries, nested, st.lists(st.sampled_from(["a", "list", "password", "data", "x-token"]), max_size=5))
def test_a_learned_secret_is_nowhere_in_nested_json(secret: str, noise: object, path: list[str]) -> None:
    value: object = {"said": f"it was {secret}!", "noise": noise}
    for name in path:
        value = [value] if name == "list" else {name: value}
    redactor = Redactor([secret])
    masked = redactor.json(json.dumps(value))
    text = json.dumps(json.loads(masked), ensure_ascii=False)
    assert json.dumps(secret, ensure_ascii=False)[1:-1] not in text.replace(
        json.dumps(noise, ensure_ascii=False), ""
    )


@given(
    canaries,
    st.sampled_from(["password", "API_KEY", "x-admin-key", "authorization", "cookie", "pw", "senha"]),
)
def test_what_stands_under_a_secret_name_is_masked_unlearned(secret: str, name: str) -> None:
    assume(secret not in name)
    for value in ({name: secret}, {"a": [{name: {"deep": [secret]}}]}, {name: [secret, 1]}):
        assert secret not in str(Redactor().value(value))
        masked = json.loads(Redactor().json(json.dumps(value)))
        assert secret not in str(masked)


@given(nested)
def test_json_without_secrets_comes_back_to_the_byte(value: object) -> None:
    body = json.dumps(value, indent=1)
    assert Redactor().json(body) == body or is_suspect(value)


def is_suspect(value: object) -> bool:
    return Redactor().value(value) != value


def test_keys_spelled_with_escapes_are_read_as_what_they_mean() -> None:
    assert CANARY not in Redactor().json(f'{{"p\\u0061ssword": "{CANARY}"}}')


def test_log_entries_and_headers_are_masked() -> None:
    redactor = Redactor([CANARY])
    entry = {
        "event": f"sent {CANARY}",
        "password": "x",
        "count": 3,
        "error": ValueError(CANARY),
        "body": b"a=1",
    }
    masked = redactor.processor(None, "info", dict(entry))
    assert CANARY not in str(masked)
    assert (masked["password"], masked["count"], masked["body"]) == (MASK, 3, "a=1")
    headers = dict(redactor.headers([("Authorization", "Basic x"), ("Accept", "text/html")]))
    assert headers == {"Authorization": MASK, "Accept": "text/html"}


def test_a_very_short_secret_is_not_learned_but_its_name_still_hides_it() -> None:
    redactor = Redactor(["abc"])
    assert redactor.text("abcdef") == "abcdef"
    assert redactor.value({"password": "abc"}) == {"password": MASK}


SECRETS = st.lists(st.text(alphabet='abAB/ %"é', min_size=4, max_size=8), max_size=6)


@given(SECRETS, st.text(alphabet='abAB/ %"é', max_size=60))
def test_with_thousands_of_secrets_the_same_is_masked_as_with_a_few(secrets: list[str], text: str):
    few = Redactor(secrets)
    many = Redactor([*secrets, *(f"{place:x}-only-to-be-many" for place in range(1000, 1400))])

    for masked in (text, text + "".join(secrets), " ".join(secrets)):
        assert many.text(masked) == few.text(masked)

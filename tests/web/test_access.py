"""Who gets in, who does not, and what a browser cannot be tricked into."""

from __future__ import annotations

import re
from datetime import timedelta

import structlog
from structlog.testing import capture_logs

from atalaia.clock import HeldClock
from atalaia.desk.people.roles import SCOPES
from atalaia.events.log import read_after
from atalaia.web.access import COOKIE
from tests.web.site import EMAIL, PASSWORD, Site


async def facts(site: Site) -> list[str]:
    return [event.type for event in await site.parts.store.read(lambda tx: read_after(tx, 0, family=1))]


def move(clock: HeldClock, seconds: float) -> None:
    """Let time pass without waking what sleeps: days would wake it a million times."""
    clock.set(clock.now() + timedelta(seconds=seconds))


async def test_the_first_start_makes_one_administrator_by_a_link_that_works_once(site: Site) -> None:
    secret = await site.parts.people.first_link()
    browser = site.client(Accept="text/html")
    async with browser.get(f"/welcome/{secret}") as page:
        assert page.status == 200
    form = {"name": "Ana", "email": EMAIL, "password": PASSWORD, "again": PASSWORD}
    async with browser.post(f"/welcome/{secret}", data=form, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
    async with browser.get("/api/me") as me:
        assert set((await me.json())["scopes"]) == set(SCOPES)
    async with site.client().post(f"/welcome/{secret}", data=form) as again:
        assert again.status == 404
    assert await site.parts.people.first_link() is None
    assert await facts(site) == ["person.created", "person.signed_in"]


async def test_a_wrong_password_and_an_unknown_person_get_the_same_answer(site: Site) -> None:
    await site.person()
    texts: list[str] = []
    for email, password in ((EMAIL, "not it at all"), ("nobody@example.com", PASSWORD)):
        async with site.client(Accept="text/html").post(
            "/sign-in", data={"email": email, "password": password}
        ) as no:
            assert no.status == 422
            assert COOKIE not in no.cookies
            text = await no.text()
            texts.append(text.replace(email, ""))
    assert texts[0] == texts[1]
    assert (await facts(site)).count("person.sign_in_failed") == 2


async def test_too_many_wrong_passwords_are_slowed_down_and_forgiven_later(
    site: Site, clock: HeldClock
) -> None:
    await site.person()
    wrong, right = ({"email": EMAIL, "password": word} for word in ("not it at all", PASSWORD))
    client = site.client(Accept="text/html")
    for _ in range(site.parts.settings.sign_ins_per_minute):
        async with client.post("/sign-in", data=wrong) as answer:
            assert answer.status == 422
    async with client.post("/sign-in", data=right) as slowed:
        assert slowed.status == 429
        assert int(slowed.headers["Retry-After"]) >= 1
    move(clock, 60)
    async with client.post("/sign-in", data=right, allow_redirects=False) as fine:
        assert fine.status == 303


async def test_a_form_of_another_site_does_nothing(site: Site) -> None:
    browser = await site.browser()
    token = await browser.csrf()
    for headers, form in (
        ({}, {}),
        ({}, {"csrf": "x" + token[1:]}),
        ({"Sec-Fetch-Site": "cross-site"}, {"csrf": token}),
        ({"Sec-Fetch-Site": "same-site"}, {"csrf": token}),
        ({"Origin": "https://evil.example"}, {"csrf": token}),
        ({"Origin": "null"}, {"csrf": token}),
    ):
        async with browser.http.post("/sign-out", data=form, headers=headers) as answer:
            assert answer.status == 403, headers
        async with browser.http.post("/api/tokens", json={}, headers=headers) as answer:
            assert answer.status == 403, headers
    async with browser.http.get("/api/me") as me:
        assert me.status == 200
    async with await browser.post("/sign-out") as out:
        assert out.status == 200
    async with browser.http.get("/api/me") as me:
        assert me.status == 401


async def test_a_one_time_link_is_not_in_the_log(site: Site) -> None:
    structlog.reset_defaults()  # whatever an earlier test in this process configured
    secret = await site.parts.people.first_link()
    with capture_logs() as said:
        async with site.client(Accept="text/html").get(f"/welcome/{secret}") as page:
            assert page.headers.getall("Referrer-Policy") == ["no-referrer"]
    assert "/welcome/" in str(said)
    assert str(secret) not in str(said)


async def test_another_site_cannot_sign_a_browser_in(site: Site) -> None:
    await site.person()
    form = {"email": EMAIL, "password": PASSWORD}
    async with site.client().post("/sign-in", data=form, headers={"Sec-Fetch-Site": "cross-site"}) as answer:
        assert answer.status == 403


async def test_sessions_end_when_nobody_uses_them_and_live_on_when_somebody_does(
    site: Site, clock: HeldClock
) -> None:
    browser = await site.browser()
    hours = site.parts.settings.session_hours
    for _ in range(3):
        move(clock, hours * 3600 * 0.7)
        async with browser.http.get("/api/me") as me:
            assert me.status == 200
    move(clock, hours * 3600 + 1)
    async with browser.http.get("/api/me") as me:
        assert me.status == 401


async def test_a_role_may_do_what_it_may_and_no_more(site: Site) -> None:
    viewer = await site.browser("viewer", "vi@example.com")
    async with viewer.http.get("/api/events") as read:
        assert read.status == 200
    for path in ("/api/people", "/api/tokens", "/api/settings"):
        async with viewer.http.get(path) as refused:
            assert refused.status == 403, path


async def test_a_disabled_person_is_out_at_once_and_the_last_administrator_stays(site: Site) -> None:
    admin = await site.api()
    await site.browser("admin", "boss@example.com")
    viewer = await site.browser("viewer", "vi@example.com")
    async with admin.get("/api/people") as answer:
        ids = {person["email"]: person["id"] for person in await answer.json()}
    async with admin.patch(f"/api/people/{ids['vi@example.com']}", json={"disabled": True}) as done:
        assert (await done.json())["disabled_at"] is not None
    async with viewer.http.get("/api/me") as out:
        assert out.status == 401
    async with admin.patch(f"/api/people/{ids['boss@example.com']}", json={"role": "viewer"}) as refused:
        assert refused.status == 422


async def test_an_invitation_is_a_link_to_choose_a_password(site: Site) -> None:
    admin = await site.api()
    asked = {"email": "Bob@Example.com ", "name": "Bob", "role": "agent"}
    async with admin.post("/api/people", json=asked) as made:
        assert made.status == 201
        link = (await made.json())["link"].removeprefix(site.url)
    bob = site.client(Accept="text/html")
    async with bob.post(link, data={"password": PASSWORD, "again": "another one here"}) as unlike:
        assert unlike.status == 422
    async with bob.post(link, data={"password": "short", "again": "short"}) as short:
        assert short.status == 422
    async with bob.post(link, data={"password": PASSWORD, "again": PASSWORD}, allow_redirects=False) as done:
        assert done.status == 303
    async with bob.get("/api/me") as me:
        assert (await me.json())["name"] == "Bob"
    async with admin.post("/api/people", json=asked) as twice:
        assert twice.status == 422
        assert (await twice.json())["errors"][0]["field"] == "email"


async def test_a_token_is_shown_once_and_stops_when_revoked_or_expired(site: Site, clock: HeldClock) -> None:
    admin = await site.api()
    asked = {"name": "dashboard", "scopes": ["calls:read"], "expires_at": "2026-01-02T00:00:00Z"}
    async with admin.post("/api/tokens", json=asked) as made:
        body = await made.json()
        secret, identity = body["secret"], body["token"]["id"]
    async with admin.get("/api/tokens") as listed:
        assert secret not in await listed.text()
    program = site.client(secret)
    async with program.get("/api/calls") as calls:
        assert calls.status == 200
    async with program.get("/api/events") as events:
        assert events.status == 403
    move(clock, 2 * 86_400)
    async with program.get("/api/calls") as expired:
        assert expired.status == 401
    async with admin.delete(f"/api/tokens/{identity}") as revoked:
        assert revoked.status == 204
    async with admin.get(f"/api/tokens/{identity}") as one:
        assert (await one.json())["revoked_at"] is not None


async def test_a_token_cannot_make_a_stronger_one(site: Site) -> None:
    weak = await site.api("tokens:admin")
    async with weak.post("/api/tokens", json={"name": "x", "scopes": ["people:admin"]}) as answer:
        assert answer.status == 403


async def test_every_answer_keeps_browsers_from_harm(site: Site) -> None:
    client = site.client(Accept="text/html")
    for path in ("/sign-in", "/nowhere", "/health", "/api/me"):
        async with client.get(path) as answer:
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["X-Request-Id"])


async def test_a_page_without_a_session_leads_to_the_sign_in_and_back(site: Site) -> None:
    client = site.client(Accept="text/html")
    async with client.get("/settings/people?x=1", allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.headers["Location"] == "/sign-in?next=%2Fsettings%2Fpeople%3Fx%3D1"
    await site.person()
    form = {"email": EMAIL, "password": PASSWORD, "next": "//evil.example/"}
    async with client.post("/sign-in", data=form, allow_redirects=False) as answer:
        assert answer.headers["Location"] == "/"


async def test_a_body_beyond_the_limit_is_refused(site: Site) -> None:
    client = await site.api()
    big = b'{"name": "' + b"x" * site.parts.settings.body_bytes_max + b'"}'
    async with client.post("/api/tokens", data=big, headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == 413
        assert answer.content_type == "application/problem+json"


async def test_the_same_key_acts_once_and_another_body_is_refused(site: Site) -> None:
    client = await site.api()
    asked = {"name": "once", "scopes": ["calls:read"]}
    key = {"Idempotency-Key": "k-1"}
    async with client.post("/api/tokens", json=asked, headers=key) as first:
        one = await first.json()
    async with client.post("/api/tokens", json=asked, headers=key) as again:
        assert (again.status, again.headers["Idempotent-Replayed"]) == (201, "true")
        assert await again.json() == one
    async with client.post("/api/tokens", json={**asked, "name": "other"}, headers=key) as other:
        assert other.status == 422
    async with client.get("/api/tokens") as listed:
        assert [token["name"] for token in await listed.json()].count("once") == 1


async def test_what_was_refused_may_be_tried_again_under_the_same_key(site: Site) -> None:
    client = await site.api()
    key = {"Idempotency-Key": "k-2"}
    async with client.post("/api/tokens", json={"name": "x", "scopes": ["no:such"]}, headers=key) as refused:
        assert refused.status == 422
    async with client.post("/api/tokens", json={"name": "x", "scopes": ["calls:read"]}, headers=key) as fine:
        assert fine.status == 201


async def test_one_asker_cannot_take_the_api_from_the_others(site: Site) -> None:
    # The limit of the test site is wide; the door's own limiter is what is asked here.
    from atalaia.web.limits import Limiter

    limiter = Limiter(site.parts.ambient.clock, 2)
    assert [limiter.take("a") > 0 for _ in range(3)] == [False, False, True]
    assert limiter.take("b") == 0


async def test_the_access_log_names_the_token_by_its_id_and_never_by_its_secret(site: Site) -> None:
    token, secret = await site.parts.tokens.make("portal", ["calls:read"])
    client = site.client(secret)
    with capture_logs() as logs:
        async with client.get(f"/api/calls?token={secret}") as answer:
            assert answer.status == 200

    [entry] = [one for one in logs if one["event"] == "request"]
    line = str(site.parts.redactor.processor(None, "info", dict(entry)))
    assert f"token {token.id}" in line
    assert secret not in line

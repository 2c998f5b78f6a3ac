"""The connection's own session: when it is live, what it keeps, how it ends."""

from __future__ import annotations

from atalaia.clock import to_ms
from atalaia.connectors.traffilog.protocol import SessionSpent
from atalaia.connectors.traffilog.reach import Cause, Unreached
from atalaia.connectors.traffilog.session import ANSWERS
from atalaia.errors import Refused, Unavailable
from atalaia.events.gaps import Reconcile
from simulators.traffilog.world import load_world
from tests.connections.unasked import busy
from tests.connectors.traffilog.live.rig import VEHICLE, Rig


async def test_a_session_is_live_once_its_own_request_was_answered(rig: Rig):
    await rig.connect()

    assert rig.port.words() == ["live"]
    assert {name: state for name, (state, _, _) in rig.port.planes.items()} == {
        "login": "proven", "socket": "proven", "answers": "proven",
    }  # fmt: skip


async def test_a_watched_unit_is_heard_and_filed_under_its_vehicle(rig: Rig):
    await rig.connect(watched=[VEHICLE])
    await rig.passing(lambda: "UNIT_MESSAGES" in rig.port.types())

    [first, *_] = [one for one in rig.port.heard if one.type == "traffilog.UNIT_MESSAGES"]
    assert first.key == VEHICLE
    await rig.passing(lambda: rig.port.planes.get("pushes", ("",))[0] == "proven")


async def test_what_is_heard_holds_no_token(rig: Rig):
    await rig.connect(watched=[VEHICLE])
    await rig.passing(lambda: "UNIT_MESSAGES" in rig.port.types())

    tokens = [session.token for session in rig.sim.upstream.accounts.sessions.values()]
    kept = "".join(one.body for one in rig.port.heard).lower()
    assert tokens and not any(token.lower() in kept for token in tokens)


async def test_an_unknown_watched_vehicle_is_an_alarm_and_no_reason_to_fail(rig: Rig):
    await rig.connect(watched=["2999999", VEHICLE])

    await rig.passing(lambda: rig.port.words() == ["live", "alert"])
    assert "2999999" in next(title for word, title in rig.port.told if word == "alert")


async def test_subscriptions_are_given_back_before_the_socket_closes(rig: Rig):
    await rig.connect(watched=[VEHICLE])
    await rig.passing(lambda: "UNIT_MESSAGES" in rig.port.types())
    assert rig.session is not None
    rig.session.cancel()
    await rig.passing(rig.session.done)

    sessions = rig.sim.upstream.accounts.sessions.values()
    assert [session.left_dirty for session in sessions] == [False]


async def test_after_a_gap_the_watched_vehicles_are_read_anew_and_the_rest_is_said_to_be_unknown(rig: Rig):
    await rig.connect(watched=[VEHICLE, "2999999"])
    gap = Reconcile(1, 2, ("g1",))
    rig.port.gaps.put_nowait(gap)
    await rig.passing(lambda: bool(rig.port.closed))

    [(what, report)] = rig.port.closed
    assert what == gap
    assert (report.checked, report.recovered) == ({"vehicles": 2}, {"vehicles_read": 1})
    assert report.lost == "unknown"
    assert "repeats nothing" in report.unknown


async def test_a_routine_check_finds_the_watched_vehicles_still_known(rig: Rig):
    await rig.connect(watched=[VEHICLE])
    rig.port.gaps.put_nowait(Reconcile(1, 2))
    await rig.passing(lambda: bool(rig.port.closed))

    [(what, report)] = rig.port.closed
    assert what.routine
    assert (report.checked, report.recovered, report.lost) == ({"vehicles": 1}, {}, "no")


async def test_units_that_are_silent_for_longer_than_usual_are_asked_for_and_subscribed_to_anew(rig: Rig):
    await rig.connect(watched=[VEHICLE])
    rig.port.usual = busy("units", 600, to_ms(rig.clock.now()))
    await rig.passing(lambda: ("session.looked", ANSWERS) in rig.port.told)

    assert rig.session is not None
    assert not rig.session.done()


async def test_a_gap_that_could_not_be_read_stays_open(rig: Rig):
    await rig.connect(watched=[VEHICLE])
    await rig.sim.faults.start("mute")
    rig.port.gaps.put_nowait(Reconcile(1, 2, ("g1",)))
    assert rig.session is not None
    await rig.passing(rig.session.done)
    assert rig.port.closed == []


async def test_a_wrong_password_needs_a_person(rig: Rig):
    error = await rig.fails(password="not-this-one")

    assert isinstance(error, Refused)
    assert "password" in error.ask
    assert rig.port.planes["login"][0] == "failing"


async def test_an_empty_login_answer_is_tried_again(rig: Rig):
    await rig.sim.faults.start("login-empty", times=2)
    await rig.connect()

    assert rig.port.words() == ["live"]


async def test_why_a_login_is_tried_again_is_shown_while_it_is(rig: Rig):
    await rig.sim.faults.start("login-empty", times=2)
    session = rig.begin()
    await rig.passing(lambda: rig.port.planes.get("login", ("",))[0] == "failing")
    assert "empty body" in rig.port.planes["login"][2]["said"]

    await rig.passing(lambda: "live" in rig.port.words() or session.done())
    assert rig.port.planes["login"][0] == "proven"


async def test_a_mute_socket_is_doubted_and_then_left(rig: Rig):
    await rig.connect()
    await rig.sim.faults.start("mute")
    session = rig.session
    assert session is not None
    await rig.passing(session.done)

    error = session.exception()
    assert isinstance(error, Unreached) and error.cause is Cause.MUTE
    assert rig.port.words() == ["live", "suspect"]
    assert rig.port.planes["answers"][0] == "failing"


async def test_one_lost_answer_is_a_doubt_that_passes(rig: Rig):
    await rig.connect()
    await rig.sim.faults.start("drop-answer", times=1)
    await rig.passing(lambda: len(rig.port.words()) >= 3)

    assert rig.port.words() == ["live", "suspect", "live"]


async def test_a_dropped_socket_ends_the_session_at_once(rig: Rig):
    await rig.connect()
    await rig.sim.faults.start("drop")
    session = rig.session
    assert session is not None
    await rig.passing(session.done, step_s=0)

    error = session.exception()
    assert isinstance(error, Unreached) and error.cause is Cause.SOCKET


async def test_an_upstream_that_is_gone_is_a_port_that_refuses(rig: Rig):
    await rig.sim.close_ports()
    error = await rig.fails()

    assert isinstance(error, Unreached) and error.cause is Cause.TCP
    await rig.sim.open_ports()


async def test_an_unknown_name_is_told_apart(rig: Rig):
    error = await rig.fails(api_url="http://no-such-host.invalid/appengine_3")

    assert isinstance(error, Unreached) and error.cause is Cause.DNS


async def test_a_foreign_origin_is_refused_by_the_socket(rig: Rig):
    error = await rig.fails(origin="https://elsewhere.example.test")

    assert isinstance(error, Unreached) and error.cause is Cause.SOCKET
    assert "403" in str(error)


async def test_a_login_is_renewed_ahead_of_its_end_without_missing_a_message(rig: Rig):
    await rig.connect(watched=[VEHICLE], token_min=1)
    logins = rig.sim.upstream.accounts.logins
    await rig.passing(lambda: rig.sim.upstream.accounts.logins > logins)
    await rig.passing(lambda: len(rig.sim.upstream.connections.open) == 1)

    assert set(rig.port.words()) == {"live"}
    sessions = rig.sim.upstream.accounts.sessions.values()
    assert [session.left_dirty for session in sessions] == [False, False]


async def test_a_spent_token_is_answered_with_a_new_login(rig: Rig):
    await rig.connect(watched=[VEHICLE])
    await rig.sim.faults.start("burn-tokens")
    logins = rig.sim.upstream.accounts.logins
    await rig.passing(lambda: rig.sim.upstream.accounts.logins > logins)
    await rig.passing(lambda: rig.port.words()[-1:] == ["live"])

    assert rig.session is not None and not rig.session.done()


async def test_a_forbidden_frame_is_a_spent_session_not_a_wrong_password(rig: Rig):
    await rig.sim.faults.start("forbidden")
    error = await rig.fails()

    assert isinstance(error, SessionSpent) and isinstance(error, Unavailable)


async def test_what_was_heard_while_the_store_was_away_is_written_down_when_it_is_back(rig: Rig):
    await rig.connect(watched=[VEHICLE])
    rig.port.away = True
    pushed = rig.sim.upstream.connections.pushed
    await rig.passing(lambda: rig.sim.upstream.connections.pushed > pushed + 2)
    heard = len(rig.port.heard)
    rig.port.away = False
    await rig.passing(lambda: len(rig.port.heard) > heard + 2)
    assert rig.session is not None and not rig.session.done()


async def test_a_hundred_watched_units_are_all_heard_on_one_socket():
    rig = Rig(world=load_world(100))
    await rig.start()
    vehicles = sorted(rig.sim.upstream.vehicles)
    await rig.connect(watched=vehicles)
    await rig.passing(lambda: {one.key for one in rig.port.heard} >= set(vehicles))

    keys = {one.key for one in rig.port.heard if one.type == "traffilog.UNIT_MESSAGES"}
    assert keys <= set(vehicles)
    assert len(rig.sim.upstream.connections.open) == 1
    await rig.close()

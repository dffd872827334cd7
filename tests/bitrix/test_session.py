from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.bitrix.auth import OAuth, Webhook
from airflow_b24.bitrix.errors import AuthError, RefusedError, RequestError
from airflow_b24.bitrix.flows import attempt, call
from airflow_b24.bitrix.limits import urgently
from airflow_b24.bitrix.protocol import Answer, Lost, Request, Response
from airflow_b24.bitrix.session import Ask, Send, Session, Sleep, encode

SECRET = "k1x7v9q2m4z8t6w3"
WEBHOOK = Webhook.parse(f"https://portal.example/rest/1/{SECRET}/")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TRUE = Answer(200, {}, b'{"result":true}')
READ = Request("crm.invoice.get", {"id": 2}, write=False)
WRITE = Request("x.add", write=True, send_before=5.0)


def refusal(status: int, code: str, **headers: str) -> Answer:
    return Answer(status, headers, json.dumps({"error": code}).encode())


def steps_of(session: Session, request: Request, outcomes: Sequence[Answer | Lost]) -> tuple[list[Any], Any]:
    """Take a session's steps for one request as a client does, with scripted outcomes for what it sends."""
    steps, taken, script = session.steps(attempt(request)), [], iter(outcomes)
    try:
        step = next(steps)
        while True:
            taken.append(step)
            answer = next(script) if isinstance(step, Send) else step.question() if isinstance(step, Ask) else None
            step = steps.send(answer)
    except StopIteration as stop:
        return taken, stop.value


def sent(steps: list[Any]) -> list[Send]:
    return [step for step in steps if isinstance(step, Send)]


class SlowPace:
    """Gives out turns, each of which may be moved back while it is waited for."""

    def __init__(self, *waits: Sequence[float]) -> None:
        self.waits = list(waits)
        self.held: list[float] = []
        self.urgent: list[bool] = []

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        assert n == 1
        self.urgent.append(urgent)
        yield from self.waits.pop(0)

    def push_back(self, seconds: float) -> None:
        self.held.append(seconds)


class RotatingTokens:
    def __init__(self) -> None:
        self.token = "token-0-abcdef"
        self.expired: list[str] = []

    def current(self) -> str:
        return self.token

    def refresh(self, expired: str) -> str:
        self.expired.append(expired)
        self.token = f"token-{len(self.expired)}-abcdef"
        return self.token


def session(**settings: Any) -> Session:
    return Session(settings.pop("auth", WEBHOOK), **{"now": lambda: NOW, **settings})


def test_a_request_goes_to_the_webhooks_address() -> None:
    steps, result = steps_of(session(), READ, [TRUE])
    assert [step.url.reveal() for step in steps] == [f"https://portal.example/rest/1/{SECRET}/crm.invoice.get"]
    assert json.loads(steps[0].body) == {"id": 2}
    assert result == Response(True)


def test_a_step_shows_no_secret() -> None:
    steps, _ = steps_of(session(), READ, [TRUE])
    assert SECRET not in repr(steps)


def test_a_slot_is_booked_and_waited_for() -> None:
    steps, _ = steps_of(session(pace=SlowPace([2.5])), READ, [TRUE])
    assert [type(step) for step in steps] == [Ask, Sleep, Ask, Send]
    assert steps[1] == Sleep(2.5)


def test_a_slot_that_is_moved_back_meanwhile_is_waited_for_again() -> None:
    steps, _ = steps_of(session(pace=SlowPace([2.5, 3.0])), READ, [TRUE])
    assert [step for step in steps if isinstance(step, Sleep)] == [Sleep(2.5), Sleep(3.0)]


def test_a_slot_in_the_past_is_not_waited_for() -> None:
    steps, _ = steps_of(session(pace=SlowPace([])), READ, [TRUE])
    assert [type(step) for step in steps] == [Ask, Send]


def test_a_request_whose_slot_is_reserved_books_none() -> None:
    steps, _ = steps_of(session(pace=SlowPace()), Request("x.get", write=False, paced=False), [TRUE])
    assert [type(step) for step in steps] == [Send]


def test_a_slot_far_away_is_a_refusal_with_its_time() -> None:
    steps, error = steps_of(session(pace=SlowPace([180.5])), WRITE, [])
    assert sent(steps) == []
    assert isinstance(error, RefusedError)
    assert error.retry_at == NOW + timedelta(seconds=180.5)


def test_each_repeat_books_a_slot_of_its_own() -> None:
    pace = SlowPace([], [], [])
    refused = refusal(503, "QUERY_LIMIT_EXCEEDED")
    _, result = steps_of(session(pace=pace), READ, [refused, refused, TRUE])
    assert result == Response(True)
    assert pace.waits == []


@pytest.mark.parametrize(("said", "held_s"), [({}, 3.0), ({"retry-after": "7"}, 7.0), ({"retry-after": "900"}, 60.0)])
def test_whoever_is_refused_for_too_many_requests_holds_all_back(said: dict[str, str], held_s: float) -> None:
    pace = SlowPace([])
    steps, _ = steps_of(session(pace=pace), WRITE, [refusal(503, "QUERY_LIMIT_EXCEEDED", **said)])
    assert pace.held == [held_s]
    # Told once the answer is there: nothing is asked of anybody before it leaves.
    assert [type(step) for step in steps] == [Ask, Send, Ask]


@pytest.mark.parametrize("answer", [TRUE, refusal(429, "OPERATION_TIME_LIMIT"), Answer(503, {}, b"<html>")])
def test_no_other_answer_holds_anybody_back(answer: Answer) -> None:
    pace = SlowPace([])
    steps_of(session(pace=pace), WRITE, [answer])
    assert pace.held == []


def test_what_is_asked_for_urgently_goes_first() -> None:
    pace = SlowPace([], [], [])
    steps_of(session(pace=pace), READ, [TRUE])
    with urgently():
        steps_of(session(pace=pace), READ, [TRUE])
    steps_of(session(pace=pace), READ, [TRUE])
    assert pace.urgent == [False, True, False]


def test_a_token_travels_in_the_body() -> None:
    auth = OAuth.at("https://portal.example", RotatingTokens())
    steps, _ = steps_of(session(auth=auth), READ, [TRUE])
    assert sent(steps)[0].url.reveal() == "https://portal.example/rest/crm.invoice.get"
    assert json.loads(sent(steps)[0].body) == {"id": 2, "auth": "token-0-abcdef"}
    assert "token-0" not in repr(steps)


def test_the_token_that_expired_is_the_one_that_is_replaced() -> None:
    tokens = RotatingTokens()
    auth = OAuth.at("https://portal.example", tokens)
    steps, result = steps_of(session(auth=auth), READ, [refusal(401, "expired_token"), TRUE])
    assert [json.loads(step.body)["auth"] for step in sent(steps)] == ["token-0-abcdef", "token-1-abcdef"]
    assert tokens.expired == ["token-0-abcdef"]
    assert result == Response(True)


def test_a_write_with_a_window_refreshes_nothing() -> None:
    tokens = RotatingTokens()
    auth = OAuth.at("https://portal.example", tokens)
    _, error = steps_of(session(auth=auth), WRITE, [refusal(401, "expired_token")])
    assert isinstance(error, RefusedError)
    assert (error.code, error.status, error.method, error.retry_at) == ("expired_token", 401, "x.add", NOW)
    assert tokens.expired == []


def test_what_a_windowed_write_found_expired_is_renewed_by_the_next_request() -> None:
    tokens = RotatingTokens()
    here = session(auth=OAuth.at("https://portal.example", tokens))
    steps_of(here, WRITE, [refusal(401, "expired_token")])
    steps, _ = steps_of(here, READ, [TRUE])
    again, result = steps_of(here, WRITE, [TRUE])
    assert [json.loads(step.body)["auth"] for step in sent(steps + again)] == ["token-1-abcdef"] * 2
    assert (tokens.expired, result) == (["token-0-abcdef"], Response(True))


def test_a_write_with_a_window_asks_nobody_for_a_token_that_was_there_a_moment_ago() -> None:
    here = session(auth=OAuth.at("https://portal.example", RotatingTokens()))
    assert [type(step) for step in steps_of(here, READ, [TRUE])[0]] == [Ask, Send]
    assert [type(step) for step in steps_of(here, WRITE, [TRUE])[0]] == [Send]


def test_an_answer_long_on_its_way_does_not_renew_the_token_that_replaced_its_own() -> None:
    tokens = RotatingTokens()
    here = session(auth=OAuth.at("https://portal.example", tokens))
    slow = here.steps(call("scope"))
    question = next(slow)
    late = slow.send(question.question())
    assert isinstance(late, Send)
    steps_of(here, READ, [refusal(401, "expired_token"), TRUE])
    again = slow.send(refusal(401, "expired_token"))
    repeated = slow.send(again.question())
    assert json.loads(repeated.body)["auth"] == "token-1-abcdef"
    assert tokens.expired == ["token-0-abcdef"]


def test_a_token_that_cannot_be_renewed_is_an_error_without_the_frames_that_hold_it() -> None:
    class NoRefresh(RotatingTokens):
        def refresh(self, expired: str) -> str:
            raise AuthError("AUTHORISE_AGAIN", "authorise the app")

    _, error = steps_of(
        session(auth=OAuth.at("https://portal.example", NoRefresh())), READ, [refusal(401, "expired_token")]
    )
    assert error.code == "AUTHORISE_AGAIN"
    shown = traceback.TracebackException.from_exception(error, capture_locals=True, compact=False)
    assert "token-0-abcdef" not in "".join(shown.format(chain=True))


def test_a_token_that_cannot_be_had_is_an_error_value() -> None:
    class NoTokens(RotatingTokens):
        def current(self) -> str:
            raise AuthError("NOT_INSTALLED", "authorise the app")

    steps, error = steps_of(session(auth=OAuth.at("https://portal.example", NoTokens())), READ, [])
    assert sent(steps) == []
    assert isinstance(error, AuthError)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_renamed_portal_is_found_again_within_the_allowed_hosts(status: int) -> None:
    moved = Answer(status, {"location": f"https://new.example/rest/1/{SECRET}/x"}, b"<html>")
    here = session(allowed_hosts=["NEW.example"])
    steps, result = steps_of(here, READ, [moved, TRUE])
    assert [step.url.reveal().split("/")[2] for step in sent(steps)] == ["portal.example", "new.example"]
    assert result == Response(True)
    assert str(here.origin) == "https://new.example"


def test_each_of_several_that_were_asked_at_the_old_address_is_sent_to_the_new_one() -> None:
    here = session(allowed_hosts=["new.example", "newer.example"])
    # All three leave for the old address before it answers any of them; the last hears from it last of all.
    first, second, last = several = [here.steps(attempt(READ)) for _ in range(3)]
    assert [asked_at(each) for each in several] == ["portal.example"] * 3
    assert [asked_at(each, moved_to("new.example")) for each in (first, second)] == ["new.example"] * 2
    assert asked_at(first, moved_to("newer.example")) == "newer.example"
    assert asked_at(last, moved_to("new.example")) == "newer.example"


def moved_to(host: str) -> Answer:
    return Answer(302, {"location": f"https://{host}/rest/1/{SECRET}/x"}, b"<html>")


def asked_at(steps: Any, answer: Answer | None = None) -> str:
    """The host that is asked after this answer."""
    step = steps.send(answer)
    while not isinstance(step, Send):
        step = next(steps)
    return step.url.reveal().split("/")[2]


def test_a_write_with_a_window_is_not_sent_to_the_new_address() -> None:
    moved = Answer(302, {"location": "https://new.example/"}, b"")
    steps, error = steps_of(session(allowed_hosts=["new.example"]), WRITE, [moved])
    assert len(sent(steps)) == 1
    assert isinstance(error, RefusedError)


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/rest/1/x/",
        "http://new.example/",
        "https://new.example:8443/",
        "https://user@new.example/",
        "https://new.example.evil.example/",
        "https://evil.example\\@new.example/",
        "//new.example/",
        "/login",
        "https://[bad/",
        "https://portal.example/elsewhere",
        f"https://{SECRET}.evil.example/",
        "",
    ],
)
def test_a_secret_follows_no_other_redirect(location: str) -> None:
    here = session(allowed_hosts=["new.example"])
    steps, error = steps_of(here, READ, [Answer(302, {"location": location}, b"")])
    assert len(sent(steps)) == 1
    assert isinstance(error, AuthError)
    assert SECRET not in str(error)
    assert str(here.origin) == "https://portal.example"


def test_retry_after_is_obeyed() -> None:
    _, error = steps_of(session(), WRITE, [refusal(503, "QUERY_LIMIT_EXCEEDED", **{"retry-after": "7"})])
    assert error.retry_at == NOW + timedelta(seconds=7)


@pytest.mark.parametrize("value", ["", "-1", "soon", "9999999", "²"])
def test_a_strange_retry_after_is_ignored(value: str) -> None:
    _, error = steps_of(session(), WRITE, [refusal(503, "QUERY_LIMIT_EXCEEDED", **{"retry-after": value})])
    assert error.retry_at is None


SPENT = refusal(429, "OPERATION_TIME_LIMIT")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
PAYS = {"cmd": {"p0": "x.add?ID=1", "p1": "x.add?ID=2", "r0": "x.list"}}
BATCH = Request("batch", PAYS, send_before=5.0)


def moment(resets_at: datetime) -> dict[str, object]:
    time = {"start": 1, "finish": 1, "duration": 0, "processing": 0, "operating": 400.5}
    return time | {
        "date_start": NOW.isoformat(),
        "date_finish": NOW.isoformat(),
        "operating_reset_at": resets_at.timestamp(),
    }


def good(resets_at: datetime, result: object = 1) -> Answer:
    return Answer(200, {}, json.dumps({"result": result, "time": moment(resets_at)}).encode())


def inside(result_time: object) -> dict[str, object]:
    """The result of a batch, of which the second pay is refused."""
    return {
        "result": {"p0": 1, "r0": []},
        "result_error": {"p1": {"error": "OPERATION_TIME_LIMIT"}},
        "result_time": result_time,
    }


@pytest.mark.parametrize("ago", [5 * MINUTE, SECOND, 0 * SECOND])
def test_a_spent_method_is_free_again_when_its_last_answer_said_so_or_perhaps_in_a_minute(ago: timedelta) -> None:
    here = session()
    steps_of(here, WRITE, [good(NOW + 5 * MINUTE)])
    steps_of(here, WRITE, [good(NOW - ago)])
    _, error = steps_of(here, WRITE, [SPENT])
    # The second that was named is not over.
    assert error.retry_at == NOW + (SECOND if ago < SECOND else MINUTE)
    _, other = steps_of(here, Request("y.add", send_before=1.0), [SPENT])
    assert other.retry_at == NOW + MINUTE


def test_a_minute_is_waited_for_once_from_the_refusal_on_whatever_was_answered_before() -> None:
    clock = [NOW]
    here = session(now=lambda: clock[0])
    inner = Answer(200, {}, json.dumps({"result": inside([])}).encode())
    steps_of(here, WRITE, [TRUE])
    for minutes, answer, wait in ((5, SPENT, 1), (6, SPENT, 2), (8, TRUE, 0), (20, SPENT, 1), (25, inner, 1)):
        clock[0] = NOW + minutes * MINUTE
        _, told = steps_of(here, BATCH if answer is inner else WRITE, [answer])
        free_at = told.free_at["x.add"] if answer is inner else getattr(told, "retry_at", clock[0])
        assert free_at == clock[0] + wait * MINUTE


def test_an_answer_that_says_no_time_takes_none_away() -> None:
    here = session()
    steps_of(here, WRITE, [good(NOW + 5 * MINUTE)])
    steps_of(here, WRITE, [TRUE])
    _, error = steps_of(here, WRITE, [SPENT])
    assert error.retry_at == NOW + 5 * MINUTE + SECOND


def test_what_is_said_inside_a_batch_is_remembered_of_each_method_and_what_is_said_of_it_of_the_batch() -> None:
    here = session()
    steps_of(here, BATCH, [good(NOW + 9 * MINUTE, inside({"p0": moment(NOW + 5 * MINUTE)}))])
    for asked, free_in in ((WRITE, 5 * MINUTE), (BATCH, 9 * MINUTE), (Request("X.Add", send_before=1.0), 5 * MINUTE)):
        assert steps_of(here, asked, [SPENT])[1].retry_at == NOW + free_in + SECOND


def test_what_a_batch_refuses_inside_learns_when_it_is_free_from_any_earlier_answer() -> None:
    here = session()
    alone = steps_of(here, BATCH, [good(NOW, inside([]))])[1].free_at
    assert alone["x.add"] == NOW + MINUTE
    steps_of(here, WRITE, [good(NOW + 5 * MINUTE)])
    assert steps_of(here, BATCH, [good(NOW, inside([]))])[1].free_at["x.add"] == NOW + 5 * MINUTE + SECOND


@pytest.mark.parametrize("arguments", [{}, {"cmd": "x"}, {"cmd": ["x.add?ID=1", None]}])
@pytest.mark.parametrize("result", [None, [], {"result_time": {"0": {"start": "x"}}}])
def test_a_batch_that_somebody_wrote_by_hand_is_not_stumbled_over(arguments: dict[str, object], result: object) -> None:
    request = Request("batch", arguments, send_before=5.0)
    assert steps_of(session(), request, [good(NOW, result)])[1].result == result


def test_what_the_portal_repeats_of_the_secret_is_masked() -> None:
    body = json.dumps({"error": f"E_{SECRET}", "error_description": f"bad /rest/1/{SECRET}/"}).encode()
    _, error = steps_of(session(), READ, [Answer(400, {}, body)])
    assert isinstance(error, RequestError)
    assert SECRET not in f"{error} {error!r} {vars(error)}"


def test_arguments_are_written_as_json() -> None:
    request = Request("x.add", {"a": Decimal("1E+2"), "b": date(2026, 11, 22), "c": [None, True, "ё\ud800"]})
    assert json.loads(encode(request)) == {"a": "100", "b": "2026-11-22", "c": [None, True, "ё\ud800"]}


@pytest.mark.parametrize("value", [float("nan"), Decimal("Infinity"), b"x", object(), {1, 2}])
def test_an_argument_without_a_form_is_refused_before_anything_is_sent(value: object) -> None:
    with pytest.raises(ValueError, match=r"arguments: those of x\.add"):
        encode(Request("x.add", {"a": value}))


def test_a_flow_is_closed_when_its_driver_gives_up() -> None:
    closed = []

    def flow() -> Any:
        try:
            yield from call("scope")
        finally:
            closed.append(True)

    steps = session().steps(flow())
    next(steps)
    steps.close()
    assert closed == [True]

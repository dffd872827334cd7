from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_b24.bitrix.abreast import abreast
from airflow_b24.bitrix.commands import encode
from airflow_b24.bitrix.errors import (
    ANSWER_LOST,
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_b24.bitrix.flows import Flow, Repeats, call
from airflow_b24.bitrix.protocol import BATCH, Answer, Request, Response, Wait, read, read_envelope

STEADY = Repeats(jitter=lambda: 0.0)
READ, WRITE = "x.item.get", "x.item.add"
Talk = Callable[..., tuple[list[Any], Any]]
LOST = UnknownOutcomeError(ANSWER_LOST, method=BATCH)

# What a flow does: wait, err, or call a method that answers so, again and again, before it is done.
REFUSED, DENIED, WRONG, UNCLEAR = "QUERY_LIMIT_EXCEEDED", "ACCESS_DENIED", "NOT_FOUND", "ERROR_CORE"
CALLS = st.tuples(
    st.sampled_from([READ, WRITE, "x.other.get", "x.other.add"]),
    st.lists(st.sampled_from([REFUSED] * 3 + [DENIED, WRONG, UNCLEAR]), max_size=3),
)
STEPS = st.lists(st.one_of(CALLS, st.sampled_from(["wait", "unfit", "err"])), max_size=4)


def story(key: int, steps: list[Any]) -> Flow[list[Any]]:
    got: list[Any] = []
    for place, step in enumerate(steps):
        if step == "wait":
            yield Wait(place + 1.0)
        elif step == "err":
            raise ValueError(f"flow {key}")
        else:
            method, of = (READ, object()) if step == "unfit" else (step[0], place)
            write = method.endswith("add")
            got.append((yield from call(method, {"key": key, "of": of}, write=write, repeats=STEADY)).result)
    return got


@dataclass
class Portal:
    """Answers calls by what their flow's steps say, alone or in a batch, and keeps what ran of each flow, and when."""

    stories: Mapping[int, list[Any]]
    not_in_batch: frozenset[str] = frozenset()
    ran: dict[int, list[Any]] = field(default_factory=lambda: defaultdict(list))
    left: dict[Any, Iterator[str]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def run(self, flow: Flow[Any]) -> Any:
        reply: Response | BitrixError | None = None
        while True:
            try:
                effect = flow.send(reply)
            except StopIteration as stop:
                return stop.value
            reply = None if isinstance(effect, Wait) else self.answer(effect)

    def answer(self, request: Request) -> Response | BitrixError:
        self.requests.append(request)
        if request.method != BATCH:
            return read_envelope(request, self.body(encode(request)), status=400 if self.failed else 200)
        told: dict[str, Any] = {"result": {}, "result_error": {}}
        for name, command in request.arguments["cmd"].items():  # type: ignore[attr-defined]
            if command.partition("?")[0] in self.not_in_batch:
                told["result_error"][name] = {"error": "ERROR_BATCH_METHOD_NOT_ALLOWED"}
                continue
            body = self.body(command)
            told["result_error" if self.failed else "result"][name] = body if self.failed else body["result"]
        return Response(told)

    failed: bool = False

    def body(self, command: str) -> dict[str, Any]:
        method, _, query = command.partition("?")
        key, of = (int(pair.partition("=")[2]) for pair in query.split("&"))
        errors = self.left.setdefault((key, of), iter(self.stories[key][of][1]))
        error = next(errors, None)
        self.failed = error is not None
        self.ran[key].append((method, of, error))
        return {"error": error} if error else {"result": [key, of]}


def seen(outcome: Any) -> Any:
    if isinstance(outcome, BitrixError):
        return type(outcome), outcome.code, outcome.method
    return (ValueError, str(outcome)) if isinstance(outcome, ValueError) else outcome


def by_itself(portal: Portal, flow: Flow[Any]) -> Any:
    try:
        return portal.run(flow)
    except (BitrixError, ValueError) as error:
        return error


@given(st.dictionaries(st.integers(1, 99), STEPS, max_size=60), st.sets(st.sampled_from([READ, WRITE, "x.other.add"])))
def test_abreast_each_flow_does_and_ends_as_it_would_by_itself(stories: dict[int, list[Any]], alone: set[str]) -> None:
    singly, together = Portal(stories), Portal(stories, frozenset(alone))
    expected = {key: seen(by_itself(singly, story(key, steps))) for key, steps in stories.items()}
    outcomes = together.run(abreast({key: story(key, steps) for key, steps in stories.items()}))
    assert {key: seen(outcome) for key, outcome in outcomes.items()} == expected
    assert list(outcomes) == list(stories)
    assert together.ran == singly.ran


def test_a_hundred_and_twenty_flows_of_two_calls_take_five_requests() -> None:
    stories: dict[int, list[Any]] = {key: [(READ, []), (WRITE, [])] for key in range(120)}
    portal = Portal(stories)
    portal.run(abreast({key: story(key, steps) for key, steps in stories.items()}))
    assert [len(each.arguments["cmd"]) for each in portal.requests] == [50, 50, 50, 50, 40]  # type: ignore[arg-type]
    assert [each.write for each in portal.requests] == [False, False, True, True, True]


def test_what_goes_out_alone_goes_out_as_itself(talk: Talk) -> None:
    effects, outcomes = talk(abreast({1: call(READ, {"id": 1})}), Response(5))
    assert effects == [Request(READ, {"id": 1}, write=False)]
    assert outcomes == {1: Response(5)}


def asking(request: Request) -> Flow[Any]:
    return (yield request)


def test_a_batch_and_what_has_a_send_window_stay_as_they_are(talk: Talk) -> None:
    own, timed = Request(BATCH, {"cmd": {}}, write=False), Request(WRITE, {"id": 1}, paced=False, send_before=7.5)
    plain = [Request(READ, {"id": each}, write=False, paced=False) for each in (1, 2)]
    flows = {0: asking(plain[0]), 1: asking(own), 2: asking(timed), 3: asking(plain[1])}
    pair = Response({"result": {"c0": 7, "c1": 8}})
    effects, outcomes = talk(abreast(flows), pair, Response(2), Response(3))
    assert {key: outcome.result for key, outcome in outcomes.items()} == {0: 7, 1: 2, 2: 3, 3: 8}
    assert effects[1:] == [own, timed]
    assert effects[0].arguments["cmd"] == {"c0": f"{READ}?id=1", "c1": f"{READ}?id=2"}
    assert (effects[0].write, effects[0].paced) == (False, False)


def test_a_lost_batch_is_unknown_to_writes_and_unclear_to_reads_and_repeated_by_reads_alone(talk: Talk) -> None:
    flows = {name: call(name, write=name == WRITE, repeats=STEADY) for name in (WRITE, READ, "x.other.get")}
    effects, outcomes = talk(abreast(flows), LOST, Response({"result": {"c0": 7, "c1": 8}}))
    assert isinstance(outcomes.pop(WRITE), UnknownOutcomeError)
    assert {method: outcome.result for method, outcome in outcomes.items()} == {READ: 7, "x.other.get": 8}
    assert [getattr(effect, "write", None) for effect in effects] == [True, None, False]


def test_after_an_answer_that_may_have_been_too_large_half_as_many_are_asked_for(talk: Talk) -> None:
    flows = {each: call(READ, {"id": each}, repeats=STEADY) for each in range(50)}
    half = Response({"result": {f"c{each}": each for each in range(25)}})
    effects, outcomes = talk(abreast(flows), ResponseError(ANSWER_LOST), half, half)
    assert [len(each.arguments["cmd"]) for each in effects if isinstance(each, Request)] == [50, 25, 25]
    assert {type(each) for each in outcomes.values()} == {Response}


@pytest.mark.parametrize("error", [UnknownOutcomeError("A"), RefusedError("B"), AuthError("expired_token")])
def test_each_has_an_error_of_its_own_of_a_whole_batch_and_it_is_not_repeated_here(
    talk: Talk, error: BitrixError
) -> None:
    effects, outcomes = talk(abreast({each: asking(Request(WRITE, {"id": each})) for each in (1, 2)}), error)
    assert len(effects) == 1
    one, two = outcomes.values()
    assert (seen(one), seen(two)) == (seen(error), seen(error))
    assert one is not two


def test_a_write_without_an_answer_may_have_happened(talk: Talk) -> None:
    flows = {1: call(WRITE, {"id": 1}, write=True), 2: call(WRITE, {"id": 2}, write=True)}
    effects, outcomes = talk(abreast(flows), Response({"result": {"c0": 5}}))
    assert len(effects) == 1
    assert isinstance(outcomes[2], UnknownOutcomeError)


def test_where_the_portal_takes_no_batch_all_go_out_one_by_one(talk: Talk) -> None:
    flows = {each: call(READ, {"id": each}) for each in (1, 2)}
    effects, outcomes = talk(
        abreast(flows), RequestError("ERROR_METHOD_NOT_FOUND", method=BATCH), Response(1), Response(2)
    )
    assert [effect.method for effect in effects] == [BATCH, READ, READ]
    assert outcomes == {1: Response(1), 2: Response(2)}


def test_a_front_that_has_no_batch_is_asked_for_none_again_and_every_write_has_a_clear_answer(talk: Talk) -> None:
    def writing(key: int) -> Flow[Any]:
        yield from call(READ, {"id": key})
        return (yield from call(WRITE, {"id": key}, write=True)).result

    missing = read(Request(BATCH, {}, write=False), Answer(404, {}, b"<html><h1>404 Not Found</h1></html>"))
    effects, outcomes = talk(abreast({1: writing(1), 2: writing(2)}), missing, *map(Response, "abcd"))
    assert [effect.method for effect in effects] == [BATCH, READ, READ, WRITE, WRITE]
    assert outcomes == {1: "c", 2: "d"}


def test_those_that_wait_wait_once_for_the_longest_and_the_others_go_on_first(talk: Talk) -> None:
    def waiting(seconds: float) -> Flow[None]:
        yield Wait(seconds)

    effects, _ = talk(abreast({1: waiting(2.0), 2: waiting(5.0), 3: call(READ)}), Response(1))
    assert effects == [Request(READ, write=False), Wait(5.0)]


@pytest.mark.parametrize("unfit", ["$result[c0]", 1.5, Decimal("NaN")])
def test_what_cannot_be_written_is_its_flows_own_mistake_which_it_may_mend(talk: Talk, unfit: object) -> None:
    def mending() -> Flow[str]:
        with pytest.raises(ValueError, match=r"cannot be sent|would be replaced"):
            yield Request(READ, {"id": unfit})
        yield Request(READ, {"id": 1}, write=False)
        return "mended"

    flows = {1: mending(), 2: call(READ, {"id": unfit}), 3: call(READ, {"id": 3})}
    effects, outcomes = talk(abreast(flows), Response({"result": {"c0": 1, "c1": 3}}))
    assert len(effects) == 1
    assert outcomes[1] == "mended"
    assert isinstance(outcomes[2], ValueError)
    assert outcomes[3].result == 3


def test_another_exception_ends_all_and_each_flow_is_closed(talk: Talk) -> None:
    closed: list[int] = []

    def careful(key: int) -> Flow[None]:
        try:
            yield Request(READ, {"id": key})
            raise KeyError(key)
        finally:
            closed.append(key)

    flows = {key: careful(key) for key in (1, 2)}
    with pytest.raises(KeyError):
        talk(abreast(flows), Response({"result": {"c0": 1, "c1": 2}}))
    assert sorted(closed) == [1, 2]


def test_nothing_to_do_asks_nothing(talk: Talk) -> None:
    assert talk(abreast({})) == ([], {})

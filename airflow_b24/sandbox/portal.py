"""The portal's REST endpoint: one request in, one answer out, and what it did to the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from airflow_b24.sandbox import batch, faults
from airflow_b24.sandbox.access import authenticate, check_scope
from airflow_b24.sandbox.bucket import refused
from airflow_b24.sandbox.listing import Result
from airflow_b24.sandbox.methods import METHODS, Method
from airflow_b24.sandbox.operating import Meter
from airflow_b24.sandbox.php import either_case, to_int
from airflow_b24.sandbox.settings import Settings
from airflow_b24.sandbox.state import Caller, JournalEntry, State, Turn
from airflow_b24.sandbox.wire import Answer, Call, Request, RestError, json_answer, read_call

PREFIX = "/rest/"
_CORS = {"access-control-allow-origin": "*"}


@dataclass(slots=True)
class _Visit:
    """One request on its way through: what it asks, what was decided, how long it takes."""

    state: State
    call: Call
    now: datetime
    path: str
    spent_s: float = 0.0
    error: str = ""
    commands: list[batch.Command] = field(default_factory=list)
    # Set once it is known who asks.
    caller: Caller = field(init=False)
    meter: Meter = field(init=False)


def answer(state: State, request: Request, now: datetime) -> Answer:
    """Answer a request below `/rest/` that finds the portal free."""
    return refusal(state, request, now) or work(state, request, now)


def refusal(state: State, request: Request, now: datetime) -> Answer | None:
    """The answer of the rate limiter, if it refuses; that changes nothing but the journal."""
    # docs: the limiter stands in front of the portal; what it refuses never reaches it.
    if not state.settings.rate_limit or state.bucket.admits(now):
        return None
    return _answered(_refuse, state, request, now)


def work(state: State, request: Request, now: datetime) -> Answer:
    """The portal's own answer to what the rate limiter let in."""
    return _answered(_serve, state, request, now)


def _answered(serve: Callable[[_Visit], Answer], state: State, request: Request, now: datetime) -> Answer:
    call = read_call(request)
    visit = _Visit(state, call, now, request.path, state.settings.latency_s)
    try:
        given = serve(visit)
    except RestError as error:
        visit.error = error.code or error.description
        given = json_answer(error.document(), error.status, xml=call.xml)
    given = replace(given, delay_s=visit.spent_s, headers={**given.headers, **_CORS})
    _journal(visit, given)
    return given


def _refuse(_: _Visit) -> Answer:
    raise refused()


def _serve(visit: _Visit) -> Answer:
    state, call = visit.state, visit.call
    # source-derived: an unknown method is reported before auth is looked at.
    if call.method != "batch" and call.method not in METHODS:
        raise RestError(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
    visit.caller = authenticate(state, call, visit.now)
    visit.meter = _meter(visit)
    visit.commands = batch.commands(call.arguments) if call.method == "batch" else []
    if visit.commands == [] and call.method != "batch":
        check_scope(visit.caller, METHODS[call.method].scope, in_batch=False)
    inner = [(command.method, command.arguments) for command in visit.commands]
    plan = state.faults.plan((call.method, call.arguments), inner)
    if plan.whole and plan.whole.kind in faults.FRONT:
        visit.error = plan.whole.kind
        return faults.front(plan.whole, visit.path)
    return faults.spoil(plan.whole, _run(visit, plan))


def _meter(visit: _Visit) -> Meter:
    settings = visit.state.settings
    billed_to = settings.operating_billed_to if visit.call.method == "batch" else "methods"
    return Meter(
        visit.state.operating,
        visit.caller.credential,
        visit.now,
        bills_batch=settings.operating and billed_to != "methods",
        bills_methods=settings.operating and billed_to != "batch",
    )


def _run(visit: _Visit, plan: faults.Plan) -> Answer:
    command = batch.Command("", visit.call.method, visit.call.arguments)
    if command.method == "batch":
        document = _batch(visit, plan)
    else:
        document = _envelope(_execute(visit, command, plan.commands.get(-1)))
    times = _time(visit, command.method, visit.now, visit.spent_s)
    visit.meter.settle()
    return json_answer(document | {"time": times}, xml=visit.call.xml)


def _envelope(result: Result) -> dict[str, object]:
    counts = {"next": result.next, "total": result.total}
    return {"result": result.value} | {name: count for name, count in counts.items() if count is not None}


def _batch(visit: _Visit, plan: faults.Plan) -> dict[str, object]:
    rule, before_s = plan.commands.get(-1), visit.spent_s
    visit.meter.check("batch")
    faults.refuse(rule)
    outcomes = batch.run(visit.commands, batch.halts(visit.call.arguments), partial(_inner, visit, plan))
    visit.spent_s += _slowness(rule)
    visit.meter.add("batch", visit.spent_s - before_s)
    return {"result": outcomes.document()}


def _inner(visit: _Visit, plan: faults.Plan, index: int, command: batch.Command) -> batch.Done:
    _check(visit, command)
    began_s = visit.spent_s
    result = _execute(visit, command, plan.commands.get(index))
    start = visit.now + timedelta(seconds=began_s)
    took = _time(visit, command.method, start, visit.spent_s - began_s)
    return batch.Done(result.value, took, result.total, result.next)


def _check(visit: _Visit, command: batch.Command) -> None:
    if command.method not in METHODS:
        raise RestError(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
    if visit.state.settings.smart_batch_refused and METHODS[command.method].alone:
        raise batch.not_allowed()
    check_scope(visit.caller, METHODS[command.method].scope, in_batch=True)


def _execute(visit: _Visit, command: batch.Command, rule: faults.Rule | None) -> Result:
    state, method = visit.state, METHODS[command.method]
    # docs: checked before execution, so what is refused did not run.
    visit.meter.check(command.method)
    faults.refuse(rule)
    result = method.run(Turn(state, visit.caller, command.arguments, visit.now, rule))
    seconds = _work_s(state.settings, method, command) + _slowness(rule)
    visit.spent_s += seconds
    visit.meter.add(command.method, seconds)
    return result


def _slowness(rule: faults.Rule | None) -> float:
    return rule.seconds if rule and rule.kind == "slow" else 0.0


def _work_s(settings: Settings, method: Method, command: batch.Command) -> float:
    works_s = {"read": settings.read_s, "list": settings.list_s, "write": settings.write_s}
    counted = method.counts and to_int(either_case(command.arguments, "start")) >= 0
    return works_s[method.kind] + (settings.count_s if counted else 0.0)


def _time(visit: _Visit, method: str, start: datetime, seconds: float) -> dict[str, object]:
    state, finish = visit.state, start + timedelta(seconds=seconds)
    # source-derived: `start` is an integer in current portals, a float in older ones.
    began = int(start.timestamp()) if state.settings.integer_time else start.timestamp()
    times: dict[str, object] = {
        "start": began,
        "finish": finish.timestamp(),
        "duration": finish.timestamp() - began,
        "processing": seconds,
        "date_start": start.astimezone(state.zone).isoformat(timespec="seconds"),
        "date_finish": finish.astimezone(state.zone).isoformat(timespec="seconds"),
    }
    if state.settings.operating:
        times["operating_reset_at"] = int(visit.meter.resets_at(method).timestamp())
        times["operating"] = visit.meter.spent_s(method)
    return times


def _journal(visit: _Visit, given: Answer) -> None:
    state = visit.state
    known = visit.call.method if visit.call.method in METHODS or visit.call.method == "batch" else "(unknown)"
    status, error = given.status, "connection cut" if given.cut else visit.error
    state.requests += 1
    state.refused += status in {429, 503} and error in {"QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT"}
    commands = len(visit.commands)
    state.journal.append(JournalEntry(visit.now, known, status, error, visit.spent_s, commands))

"""Abreast: many flows side by side, whose next requests leave together, as many in one as a batch holds."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

from airflow_b24.bitrix.commands import MAX_COMMANDS, decode, encode, in_batch, is_for_single_calls
from airflow_b24.bitrix.errors import BitrixError, ResponseError, UnknownOutcomeError
from airflow_b24.bitrix.flows import Effect, Flow, Reply, answered
from airflow_b24.bitrix.protocol import BATCH, Request, Response, Wait

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def abreast(flows: Mapping[K, Flow[T]]) -> Flow[dict[K, T | BitrixError | ValueError]]:
    """Perform many flows as if each were alone; what one returns or raises is its outcome, and hides no other's.

    A batch is never repeated here: its error is that of each request in it, and each flow decides for itself. What the
    portal takes in no batch goes out alone, all of it once it has refused a batch as such, as does a request with a send
    window. One that cannot be written into a batch raises ValueError in its flow. Other exceptions of a flow end all of them. Repeating is as safe as the flows are.
    """
    ranks = _Ranks(flows)
    try:
        for key in flows:
            ranks.send(key, None)
        while ranks.wanted:
            yield from ranks.step()
    finally:
        for flow in flows.values():
            flow.close()
    return {key: ranks.ended[key] for key in flows}


@dataclass(slots=True)
class _Ranks(Generic[K, T]):
    flows: Mapping[K, Flow[T]]
    # In the order in which they wait for their turn.
    wanted: dict[K, Effect] = field(default_factory=dict)
    ended: dict[K, T | BitrixError | ValueError] = field(default_factory=dict)
    # Methods that the portal takes in no batch.
    alone: set[str] = field(default_factory=set)
    takes_batches: bool = True
    size: int = MAX_COMMANDS

    def send(self, key: K, reply: Reply) -> None:
        """Let one flow go on to what it wants next, or to its end."""
        self.wanted.pop(key, None)
        try:
            self.wanted[key] = _next(self.flows[key], reply)
        except StopIteration as stop:
            self.ended[key] = stop.value
        except (BitrixError, ValueError) as error:
            self.ended[key] = error

    def step(self) -> Flow[None]:
        """Perform what some of them want; they wait only once none of them has a request."""
        some = self._first_requests()
        replies: dict[K, Reply]
        if not some:
            yield Wait(max(effect.seconds for effect in self.wanted.values() if isinstance(effect, Wait)))
            replies = dict.fromkeys(self.wanted)
        elif len(some) == 1:
            ((key, request),) = some.items()
            replies = {key: (yield request)}
        else:
            replies = yield from self._batch(some)
        for key, reply in replies.items():
            self.send(key, reply)

    def _first_requests(self) -> dict[K, Request]:
        requests = {key: effect for key, effect in self.wanted.items() if isinstance(effect, Request)}
        first = dict(islice(requests.items(), 1))
        if any(map(self._goes_alone, first.values())):
            return first
        return dict(islice(((key, each) for key, each in requests.items() if not self._goes_alone(each)), self.size))

    def _goes_alone(self, request: Request) -> bool:
        method = request.method.lower()
        in_batch = self.takes_batches and method != BATCH and method not in self.alone
        return not in_batch or request.send_before is not None

    def _batch(self, some: Mapping[K, Request]) -> Flow[dict[K, Reply]]:
        """Make several requests in one. Those that the portal takes in no batch have no reply: they still wait."""
        named = {f"c{index}": request for index, request in enumerate(some.values())}
        write, paced = any(each.write for each in some.values()), any(each.paced for each in some.values())
        whole = yield in_batch(named, write=write, paced=paced)
        # A front that has no such address says so clearly of reads; a write sent to it would be one that may have run.
        self.takes_batches = not is_for_single_calls(whole)
        if isinstance(whole, (ResponseError, UnknownOutcomeError)):
            # It may have been too much for the portal, or for us.
            self.size = max(self.size // 2, 1)
        parts = [whole] * len(some) if isinstance(whole, BitrixError) else decode(answered(whole), named).values()
        told = dict(zip(some, parts, strict=True))
        refused = {key for key, part in told.items() if is_for_single_calls(part)}
        self.alone.update(some[key].method.lower() for key in refused)
        return {key: _own(some[key], part) for key, part in told.items() if key not in refused}


def _next(flow: Flow[T], reply: Reply) -> Effect:
    effect = flow.send(reply)
    while (error := _unfit(effect)) is not None:
        effect = flow.throw(error)
    return effect


def _unfit(effect: Effect) -> ValueError | None:
    try:
        _ = isinstance(effect, Request) and encode(effect)
    except ValueError as error:
        return error
    return None


def _own(request: Request, part: Response | BitrixError) -> Response | BitrixError:
    """The same for one request: an error of its own to raise, which is unclear as a read's or as a write's is."""
    if isinstance(part, Response):
        return part
    kind = type(part)
    if isinstance(part, (ResponseError, UnknownOutcomeError)):
        kind = UnknownOutcomeError if request.write else ResponseError
    return part.as_kind(kind)

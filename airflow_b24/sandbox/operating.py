"""The portal's limit on operating time: how long a method may work for one credential within ten minutes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow_b24.sandbox.wire import RestError

WINDOW = timedelta(minutes=10)
# source-derived: what takes a tenth of a second or less is not counted.
FLOOR_S = 0.1


@dataclass(slots=True)
class _Basket:
    """The seconds of one method in one minute of the clock."""

    minute: int
    ends_at: datetime
    seconds: float = 0.0


@dataclass(slots=True)
class OperatingTime:
    """The baskets of each credential and method, and how many seconds may be in them."""

    limit_s: float = 480.0
    _baskets: defaultdict[tuple[str, str], list[_Basket]] = field(default_factory=lambda: defaultdict(list))

    def spent_s(self, who: str, method: str, now: datetime) -> float:
        """The sum of what is in the baskets that still count."""
        return sum(basket.seconds for basket in self._counted(who, method, now))

    def add(self, who: str, method: str, began: datetime, seconds: float) -> None:
        """Put seconds into the basket of the minute in which their request began."""
        baskets = self._counted(who, method, began)
        minute = int(began.timestamp()) // 60
        if not baskets or baskets[-1].minute != minute:
            # docs: a basket counts for ten minutes from the first call in it; the next one has its own ten.
            baskets.append(_Basket(minute, began + WINDOW))
        baskets[-1].seconds += seconds

    def resets_at(self, who: str, method: str, now: datetime) -> datetime:
        """When the oldest basket is dropped; with none, when one begun now would be."""
        baskets = self._counted(who, method, now)
        return baskets[0].ends_at if baskets else now + WINDOW

    def _counted(self, who: str, method: str, now: datetime) -> list[_Basket]:
        kept = [basket for basket in self._baskets[who, method] if basket.ends_at > now]
        self._baskets[who, method] = kept
        return kept


@dataclass(slots=True)
class Meter:
    """One request's use of its methods, `batch` among them; what is not billed is not limited either."""

    operating: OperatingTime
    who: str
    began: datetime
    bills_batch: bool
    bills_methods: bool
    _used: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def check(self, method: str) -> None:
        """Refuse a method that is over its limit."""
        # docs: only what is over the limit is blocked; the call that crossed it ran to its end.
        if self._bills(method) and self.spent_s(method) > self.operating.limit_s:
            raise blocked()

    def add(self, method: str, seconds: float) -> None:
        """Note that a call has worked for so long."""
        if self._bills(method):
            self._used[method].append(seconds)

    def spent_s(self, method: str) -> float:
        """What the answer calls `operating`: the baskets, and this request's own calls so far."""
        own_s = sum(seconds for seconds in self._used[method] if seconds > FLOOR_S)
        return self.operating.spent_s(self.who, method, self.began) + own_s

    def resets_at(self, method: str) -> datetime:
        """When the oldest basket of the method is dropped."""
        return self.operating.resets_at(self.who, method, self.began)

    def settle(self) -> None:
        """Put into the baskets what the request has used."""
        # source-derived: short calls of one method in one batch are summed first, and counted if the sum is not short.
        for method, used in self._used.items():
            if sum(used) > FLOOR_S:
                self.operating.add(self.who, method, self.began, sum(used))

    def _bills(self, method: str) -> bool:
        return self.bills_batch if method == "batch" else self.bills_methods


def blocked() -> RestError:
    """The refusal of a method whose operating time is used up; it carries no timing."""
    return RestError(429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")

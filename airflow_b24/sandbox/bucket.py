"""The portal's request limits: the leaky bucket in front of it, and operating time per method."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=10)


@dataclass(slots=True)
class Bucket:
    """A leaky bucket: each request adds one, `per_s` leak out, more than `burst` is refused."""

    burst: float = 50.0
    per_s: float = 2.0
    _level: float = 0.0
    _at: datetime | None = None

    def level(self, now: datetime) -> float:
        """How full the bucket is, in requests."""
        passed = (now - self._at).total_seconds() if self._at else 0.0
        return max(0.0, self._level - max(0.0, passed) * self.per_s)

    def admits(self, now: datetime) -> bool:
        """Take one request in, or refuse it; what is refused does not fill the bucket."""
        level = self.level(now)
        if level + 1 > self.burst:
            return False
        self._level, self._at = level + 1, now
        return True


@dataclass(slots=True)
class OperatingTime:
    """Seconds of work of the last ten minutes, per credential and method."""

    limit_s: float = 480.0
    _spent: defaultdict[tuple[str, str], deque[tuple[datetime, float]]] = field(
        default_factory=lambda: defaultdict(deque)
    )

    def spent_s(self, who: str, method: str, now: datetime) -> float:
        """Seconds this credential has used of this method."""
        entries = self._spent[who, method]
        while entries and entries[0][0] <= now - WINDOW:
            entries.popleft()
        return sum(seconds for _, seconds in entries)

    def add(self, who: str, method: str, now: datetime, seconds: float) -> None:
        """Bill one call; docs: calls under 0.1 s are not counted."""
        if seconds >= 0.1:
            self._spent[who, method].append((now, seconds))

    def resets_at(self, who: str, method: str, now: datetime) -> datetime:
        """When the oldest billed call leaves the window."""
        entries = self._spent[who, method]
        return (entries[0][0] if entries else now) + WINDOW

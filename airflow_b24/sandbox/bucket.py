"""The leaky bucket in front of the portal, which limits how often it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airflow_b24.sandbox.wire import RestError


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


def refused() -> RestError:
    """The refusal of a request too many."""
    return RestError(503, "QUERY_LIMIT_EXCEEDED", "Too many requests")

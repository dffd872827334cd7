"""Ending early: a run that is told to end takes nothing new, sends nothing more, and waits for nothing long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

# The longest pause before one looks again for what was sent; that is slept out, for it comes to an end.
MOMENT_S: Final = 2.0
SLICE_S: Final = 0.5


class StoppedError(Exception):
    """The run ended before its time; what was not tried yet is as it was."""


class Ending:
    """Whether a run is to end. No lock is in it: a signal's handler may tell it in the middle of anything."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self.is_told = False

    def tell(self) -> None:
        """Tell the run to end."""
        self.is_told = True

    @property
    def why(self) -> StoppedError | None:
        """Why nothing more is to be tried, None while it may be."""
        return StoppedError("the run was told to end") if self.is_told else None

    def sleep(self, seconds: float) -> None:
        """Sleep. Raises StoppedError rather than sleep on for more than a moment, once it is told to end."""
        while seconds > MOMENT_S:
            if (why := self.why) is not None:
                raise why
            self._sleep(SLICE_S)
            seconds -= SLICE_S
        self._sleep(seconds)

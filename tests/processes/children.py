"""Processes this one forked: known by pid, ended by pid, none left behind, whatever becomes of their parent."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")
# What children share is made for a fork.
FORK = multiprocessing.get_context("fork")
FAILED = 70
STOPS = (signal.SIGINT, signal.SIGTERM)
# man prctl: the signal a child gets when its parent dies, however that happens.
PR_SET_PDEATHSIG = 1


class Children:
    """Forks are cheap from a process that has imported everything and has neither a thread nor a connection."""

    def __init__(self) -> None:
        self.pids: set[int] = set()

    def start(self, work: Callable[[], object]) -> int:
        """Run `work` in a child; its exit status is 0, or 70 with a traceback on stderr when it raised."""
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # An interrupt waits until the child is known; within fork itself, Python would swallow it.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            pid = os.fork()
            if pid == 0:
                _live_and_die(work, parent)
            self.pids.add(pid)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return pid

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a child of ours that has not been reaped, so that its pid is nobody else's yet."""
        if pid in self.pids:
            os.kill(pid, number)

    def ended(self, pid: int, *, wait: bool = False) -> int | None:
        """The exit status (negative: the signal that ended it), None while it lives or is stopped."""
        found, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
        if found == 0:
            return None
        self.pids.discard(pid)
        return os.waitstatus_to_exitcode(status)

    def has_stopped(self, pid: int) -> bool:
        """Whether it has been stopped since this was last asked, by us or by itself."""
        return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG) is not None

    def kill(self, pid: int) -> None:
        """End a child at once and wait until it is gone."""
        self.signal(pid, signal.SIGKILL)
        self.ended(pid, wait=True)

    def ask(self, question: Callable[[], T]) -> T:
        """The answer of a child that lives only for this question, so that this process never opens a connection."""
        inbox, outbox = multiprocessing.Pipe(duplex=False)
        with inbox:
            pid = self.start(lambda: outbox.send(question()))
            outbox.close()
            try:
                answer: T = inbox.recv()
            except EOFError:
                raise RuntimeError("a child ended without an answer: see its traceback above") from None
            finally:
                self.ended(pid, wait=True)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in sorted(self.pids):
            # An interrupt may have come between a child's end and our note of it.
            with suppress(ProcessLookupError, ChildProcessError):
                self.kill(pid)


def _live_and_die(work: Callable[[], object], parent: int) -> None:
    status = FAILED
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        # The parent may have died before the line above took effect.
        if os.getppid() == parent:
            work()
        status = 0
    except BaseException:  # noqa: BLE001 - the parent reads it from the status
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        # Not sys.exit: what the parent would tidy up is the parent's.
        os._exit(status)

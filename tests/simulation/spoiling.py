"""What becomes of a batch on its way and on the portal: the whole of it, or some of its commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from airflow_b24.sandbox import batch as sandbox_batch
from airflow_b24.sandbox.batch import Command
from airflow_b24.sandbox.wire import RestError
from tests.simulation.sides import PAYS

# What becomes of a spoilt batch that pays: the whole of it, or some of its commands.
OF_WRITES = {
    "not_sent": 2,
    "refused": 3,
    "blocked": 1,
    "expired": 1,
    "no_method": 1,
    "lost_before": 4,
    "lost_after": 5,
    "cut": 5,
    "late": 5,
    "error_before": 2,
    "error_after": 3,
    "slow": 4,
    "twice": 1,
    "limited": 3,
    "alone": 1,
    "gaps": 3,
    "early": 2,
    "unclear": 3,
    "unlisted": 2,
}
OF_READS = {
    "not_sent": 2,
    "refused": 3,
    "expired": 1,
    "lost_before": 4,
    "slow": 4,
    "error_before": 3,
    "gaps": 2,
    "unlisted": 2,
}
REFUSALS: Mapping[str, tuple[int, str]] = {
    "refused": (503, "QUERY_LIMIT_EXCEEDED"),
    "blocked": (429, "OPERATION_TIME_LIMIT"),
    "expired": (401, "expired_token"),
    "no_method": (404, "ERROR_METHOD_NOT_FOUND"),
    "error_before": (500, "INTERNAL_SERVER_ERROR"),
    "error_after": (502, "ERROR_UNEXPECTED_ANSWER"),
}
UNTOLD = frozenset({"lost_before", "lost_after", "late", "cut"})
NOTHING_RUNS = frozenset({"refused", "blocked", "expired", "no_method", "error_before", "lost_before"})
LIMITED = RestError(429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")
UNCLEAR = RestError(500, "INTERNAL_SERVER_ERROR", "Internal server error")
UNLISTED = (RestError(404, "ERROR_METHOD_NOT_FOUND", "Method not found!"), UNCLEAR)
SLOWEST_S = 150.0
# What the product promises to wait for: each pay of a batch may run so much longer.
PAY_RUN_S = 5.0


@dataclass(frozen=True, slots=True)
class Course:
    """How a batch goes on the portal: so many commands `run`, each `step_s` after the one before.

    An answer goes out before the `early` one, and those behind it run all the same. `spoilt` are refused with an error,
    or, where that is None, run and are not told of.
    """

    run: int
    step_s: float
    early: int = -1
    spoilt: Mapping[int, RestError | None] = field(default_factory=dict)


NOT_BEGUN = Course(0, 0.0)


def step_of(rng: Random, fate: str, count: int) -> float:
    """How long a command takes."""
    if fate == "late" and rng.random() < 0.5:
        return PAY_RUN_S * (0.9 + 0.1 * rng.random())
    return SLOWEST_S * rng.random() / count if fate == "slow" else 0.05 * rng.random()


def course(rng: Random, fate: str, commands: Sequence[Command], step_s: float) -> Course:
    """Draw how it goes."""
    count = len(commands)
    pays = [place for place, each in enumerate(commands) if each.method in PAYS]
    match fate:
        case "cut":
            return Course(rng.randrange(count), step_s)
        case "limited":
            return Course(count, step_s, spoilt=dict.fromkeys(pays[rng.randrange(len(pays)) :], LIMITED))
        case "alone":
            kind = _kind(commands[rng.choice(pays)])
            refused = [place for place in pays if _kind(commands[place]) == kind]
            return Course(count, step_s, spoilt=dict.fromkeys(refused, sandbox_batch.not_allowed()))
        case "early":
            return Course(count, early=rng.randrange(count), step_s=SLOWEST_S * rng.random() / count)
        case "gaps":
            return Course(count, step_s, spoilt=dict.fromkeys(place for place in range(count) if rng.random() < 0.5))
        case "unclear":
            return Course(count, step_s, spoilt={place: UNCLEAR for place in pays if rng.random() < 0.6})
        case "unlisted":
            lists = [place for place in range(count) if place not in pays]
            return Course(count, step_s, spoilt=dict.fromkeys(lists, rng.choice(UNLISTED)))
        case _:
            return Course(count, step_s)


def _kind(command: Command) -> str:
    return PAYS[command.method][0]

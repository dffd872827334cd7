"""The funnels of the simulated portal's smart invoices, and what its people mean by paid."""

from __future__ import annotations

from functools import cache

from airflow_b24.bitrix.stages import Wishes
from airflow_b24.sandbox.funnel import FAILURE, SUCCESS, Funnel, Robot, Stage
from airflow_b24.sandbox.seed_funnels import CONTRACT

# A robot that works as nobody, and one that works as whoever set it off.
PLAIN, AS_NOBODY, AS_WHOEVER = 5, 6, 7
NOBODY = 0
AFTER_PAID = f"DT31_{AS_WHOEVER}:DOCS"
PARTS = tuple(f"DT31_{funnel}:H" for funnel in (PLAIN, AS_NOBODY, AS_WHOEVER))


@cache
def wishes(also_paid: tuple[str, ...], parts: tuple[str, ...]) -> Wishes:
    """What the people of an office wish."""
    return Wishes(also_paid=also_paid, partial_stage=parts)


def _funnel(funnel_id: int, name: str, robot: Robot | None = None, second: Robot | None = None) -> Funnel:
    prefix = f"DT31_{funnel_id}"
    after = (Stage(f"{prefix}:DOCS", "Закрывающие документы", 120, robot=second),) if robot else ()
    after += (Stage(f"{prefix}:FILED", "В архиве", 121),) if second else ()
    stages = (
        Stage(f"{prefix}:N", "Новый", 100),
        Stage(f"{prefix}:S", "Отправлен", 110),
        *after,
        Stage(f"{prefix}:H", "Оплачен частично", 125),
        Stage(f"{prefix}:P", "Оплачен", 130, SUCCESS, required=(CONTRACT,), robot=robot),
        Stage(f"{prefix}:D", "Не оплачен", 140, FAILURE),
    )
    return Funnel(funnel_id, name, stages, sort=funnel_id, default=funnel_id == PLAIN)


FUNNELS = {
    PLAIN: _funnel(PLAIN, "Общая"),
    # Two robots in a row: the invoice itself remembers but the last stage.
    AS_NOBODY: _funnel(
        AS_NOBODY,
        "Проекты",
        Robot(f"DT31_{AS_NOBODY}:DOCS", by=NOBODY),
        Robot(f"DT31_{AS_NOBODY}:FILED", by=NOBODY),
    ),
    AS_WHOEVER: _funnel(AS_WHOEVER, "Опт", Robot(AFTER_PAID)),
}

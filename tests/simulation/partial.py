"""One process that moves an invoice to the stage of parts: it may crash, freeze, and its call may come late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.ledger.partial import show_partial
from airflow_b24.reconcile.paying import ByPartialStage
from tests.simulation.attempts import Attempt
from tests.simulation.wire import Crash

if TYPE_CHECKING:
    from tests.simulation.simulating import Simulation


class PartialAttempt(Attempt):
    """The driver of attempts, with the other conversation; nobody repeats it but the next run."""

    def __init__(self, simulation: Simulation, number: int, settlement: int) -> None:
        super().__init__(simulation, number, settlement, 0, 0)
        self.name = f"partial {number}"

    def start(self) -> None:
        self.simulation.actor = self.name
        self.desk = self.simulation.desk
        try:
            self.way = ByPartialStage(self.desk.invoices.smart.stages)
        except (BitrixError, Crash):
            return
        self.conversation = show_partial(self.settlement)
        self.step(None)

    def end(self, settled: Any, trouble: str = "") -> None:
        self.dead = True
        self.conversation.close()

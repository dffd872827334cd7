"""The bank: shows each payment's newest version from its time on, in no order, sometimes twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from random import Random
from typing import Any

from airflow_b24.payments.statements.record_fields import RecordFields
from tests.simulation.payers import Transfer, content
from tests.simulation.timeline import Timeline

SOURCE = "bank"
FIELDS = RecordFields(
    remittance="purpose",
    payer_name="payer.name",
    payer_tax_id="payer.tax_id",
    payer_account="payer.account",
    direction="direction",
    status="status",
    time_zone="Europe/Moscow",
)


class Bank:
    def __init__(self, timeline: Timeline, rng: Random, transfers: tuple[Transfer, ...]) -> None:
        self.timeline = timeline
        self.rng = rng
        self.transfers = transfers

        self._shown: list[dict[str, Any]] = []
        self._seen: set[int] = set()

    def has_news(self) -> bool:
        """Whether there is a version that was never read."""
        return any(id(record) not in self._seen for record in self._newest("0"))

    def read(self, since: date) -> list[dict[str, Any]]:
        """Everything booked on or after that day which the bank shows by now."""
        shown = list(self._newest(since.isoformat()))
        self.rng.shuffle(shown)
        if shown and self.rng.random() < 0.1:
            shown.append(shown[0])
        self._shown = shown
        return shown

    def told(self) -> Iterator[tuple[str, str, bool, int]]:
        """What the last reading told: payment, all that proves something in it, whether it is booked money, and how much."""
        for record in self._shown:
            self._seen.add(id(record))
            booked = record["status"] == "booked" and record["direction"] == "credit"
            yield record["id"], content(record), booked, int(record["amount"].replace(".", ""))

    def _newest(self, since: str) -> Iterator[dict[str, Any]]:
        for transfer in self.transfers:
            versions = [each.record for each in transfer.deliveries if each.at <= self.timeline.now]
            if versions and versions[-1]["booked_on"] >= since:
                yield versions[-1]

"""Smart invoices: reading and listing. Their ids are a space of their own, and being paid is a stage they are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from airflow_b24.bitrix import payment_documents, stage_history
from airflow_b24.bitrix.bulk import Beside
from airflow_b24.bitrix.errors import INVOICE_GONE, BitrixError, RequestError, ResponseError
from airflow_b24.bitrix.fields import UNEXPECTED_VALUE, check_id
from airflow_b24.bitrix.flows import QUICK, REPEATS, Flow, Repeats, attempt
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.listing import Listing
from airflow_b24.bitrix.payment_documents import PaymentDocument
from airflow_b24.bitrix.protocol import Request, Response
from airflow_b24.bitrix.reading import read_asked_for
from airflow_b24.bitrix.smart_invoice import SELECT, parse_invoice, with_history
from airflow_b24.bitrix.stage_history import History
from airflow_b24.bitrix.stages import SMART_INVOICE, Stages

# docs: a list gives 50 rows to a page.
PAGE: Final = 50
_GET: Final = "crm.item.get"


@dataclass(frozen=True, slots=True)
class SmartInvoices:
    """The portal's smart invoices, read with its stages; `we` is our own user's id."""

    stages: Stages
    we: int | None = None

    def get_invoice(self, invoice_id: int) -> Flow[Invoice]:
        """Read one invoice. Raises BitrixError; repeating is safe."""
        invoice_id = check_id(invoice_id, "invoice_id")
        return self._get(invoice_id)

    def _get(self, invoice_id: int) -> Flow[Invoice]:
        found = yield from self._read(invoice_id, REPEATS, paced=True)
        if isinstance(found, BitrixError):
            raise found
        return found

    def look(self, invoice_id: int) -> Flow[Invoice | BitrixError]:
        """Read one invoice at once, its slot being reserved; an error is returned, not raised. Repeating is safe."""
        return self._read(invoice_id, QUICK, paced=False)

    def open_invoices(self) -> Listing[Invoice] | None:
        """Return the list of invoices that wait for their money, None where no stage is for that."""
        return self.open_listing() if self.stages.open_ids else None

    def open_listing(self) -> Listing[Invoice]:
        """Return the list of invoices that wait for their money; there must be such stages."""
        return self._listing({"@stageId": self.stages.open_ids})

    def paid_since(self, day: date) -> Listing[Invoice] | None:
        """Return the list of invoices that came to an end, paid or lost, on or after a day of the portal's, or None."""
        ended = self.stages.ended_ids
        return self._listing({"@stageId": ended, ">=movedTime": day.isoformat()}) if ended else None

    def moved_since(self, day: date) -> Listing[Invoice] | None:
        """Return the list of invoices whose stage changed on or after a day of the portal's, whatever it is now, or None."""
        return self._listing({">=movedTime": day.isoformat()}) if self.stages.by_id else None

    def by_id(self, ids: Sequence[int]) -> Flow[list[Invoice]]:
        """Read these invoices, in order of id, 50 to a request; those that are gone are left out."""
        found: list[Invoice] = []
        for start in range(0, len(ids), PAGE):
            found += yield from self.listing_of(ids[start : start + PAGE]).all()
        return (yield from self._by_documents(found) if self.by_payment else self._by_history(found))

    def listing_of(self, ids: Sequence[int]) -> Listing[Invoice]:
        """Return the list of these invoices, at most a page of them, by their stages alone."""
        return self._listing({"@id": [check_id(each, "ids") for each in ids]})

    def histories_of(self, ids: Sequence[int]) -> Beside:
        """Return what is read after such a list, so that what was paid and moved on is known as that."""
        return Beside(stage_history.paid_records(ids, self.stages), self._with_records)

    def _with_records(self, invoice: Invoice, outcome: Response | BitrixError) -> Invoice | BitrixError:
        if invoice.status_id not in self.stages.open_ids:
            return invoice
        paid = stage_history.read_paid(outcome, invoice.id, self.stages)
        # One server answers a whole batch: the history cannot be older than the list before it.
        history = History(invoice.status_id, paid) if isinstance(paid, str) else paid
        return self.with_history(invoice, history)

    def _listing(self, conditions: Mapping[str, object]) -> Listing[Invoice]:
        # docs: crm.item.list. Unlike the legacy list it refuses a field that it does not know.
        beside = {"entityTypeId": SMART_INVOICE}
        return Listing("crm.item.list", conditions, SELECT, self._parse, "id", beside, "items")

    @property
    def by_payment(self) -> bool:
        """Say whether the payment document counts, which no list of invoices shows."""
        return self.stages.wishes.mark_with == "payment"

    def _by_history(self, found: Sequence[Invoice]) -> Flow[list[Invoice]]:
        waiting = [invoice.id for invoice in found if invoice.status_id in self.stages.open_ids]
        histories = yield from stage_history.read_histories(waiting, self.stages)
        known = (self.with_history(invoice, histories.get(invoice.id)) for invoice in found)
        # Nothing can be said of one whose history cannot be read: it is left out, as one that is gone is.
        return [each for each in known if isinstance(each, Invoice)]

    def with_history(self, invoice: Invoice, history: History | BitrixError | None) -> Invoice | BitrixError:
        """Return the invoice with what its stage history tells, None where the portal keeps none; errors are values."""
        return history if isinstance(history, BitrixError) else with_history(invoice, history, self.stages, self.we)

    def _by_documents(self, found: Sequence[Invoice]) -> Flow[list[Invoice]]:
        documents = yield from payment_documents.of_all([invoice.id for invoice in found])
        # One whose documents cannot be read is left out, as one that is gone is: nothing can be said of it.
        read = ((invoice, documents[invoice.id]) for invoice in found)
        return [self._by_document(invoice, each) for invoice, each in read if not isinstance(each, BitrixError)]

    def _by_document(self, invoice: Invoice, documents: Sequence[PaymentDocument]) -> Invoice:
        return payment_documents.by_document(invoice, documents, self.stages, self.we)

    def _parse(self, row: object) -> Invoice:
        return parse_invoice(row, self.stages, self.we)

    def _read(self, invoice_id: int, repeats: Repeats, *, paced: bool) -> Flow[Invoice | BitrixError]:
        beside = self._with_documents if self.by_payment else self._with_stages
        return beside(invoice_id, repeats, paced=paced)

    def _with_documents(self, invoice_id: int, repeats: Repeats, *, paced: bool) -> Flow[Invoice | BitrixError]:
        found = yield from self._item(invoice_id, repeats, paced=paced)
        if isinstance(found, BitrixError):
            return found
        documents = yield from payment_documents.look(invoice_id)
        return documents if isinstance(documents, BitrixError) else self._by_document(found, documents)

    def _with_stages(self, invoice_id: int, repeats: Repeats, *, paced: bool) -> Flow[Invoice | BitrixError]:
        found = yield from self._item(invoice_id, repeats, paced=paced)
        if isinstance(found, BitrixError) or found.status_id not in self.stages.open_ids:
            return found
        # After the invoice: two robots in a row leave no trace in it, however soon after the payment it is read.
        return self.with_history(
            found, (yield from stage_history.read_history(invoice_id, self.stages, repeats, paced=paced))
        )

    def _item(self, invoice_id: int, repeats: Repeats, *, paced: bool) -> Flow[Invoice | BitrixError]:
        item = yield from _shown(invoice_id, repeats, paced=paced)
        if isinstance(item, BitrixError):
            return item
        return read_asked_for(self._parse, item, invoice_id, id_field="id", method=_GET)


def read_item(invoice_id: int) -> Flow[Mapping[str, object]]:
    """Read the fields of one invoice as the portal shows them, whatever they say. Raises BitrixError; repeating is safe."""
    item = yield from _shown(invoice_id, REPEATS, paced=True)
    if isinstance(item, BitrixError):
        raise item
    if str(item.get("id")) != str(invoice_id):
        raise ResponseError(UNEXPECTED_VALUE, f"id: asked for {invoice_id}, got another item", method=_GET)
    return item


def _shown(invoice_id: int, repeats: Repeats, *, paced: bool) -> Flow[Mapping[str, object] | BitrixError]:
    request = Request(_GET, {"entityTypeId": SMART_INVOICE, "id": invoice_id}, write=False, paced=paced)
    outcome = yield from attempt(request, repeats)
    if isinstance(outcome, RequestError) and outcome.code == "NOT_FOUND":
        # docs: crm.item.get. The type is there, as its stages are; so it is the invoice that is not.
        return RequestError(INVOICE_GONE, f"invoice_id={invoice_id} is not there any more", method=_GET)
    return outcome if isinstance(outcome, BitrixError) else item_of(outcome)


def item_of(response: Response) -> Mapping[str, object]:
    """Return the item that an answer of crm.item.* shows, nothing of it where it shows none."""
    item = response.result.get("item") if isinstance(response.result, dict) else None
    return item if isinstance(item, dict) else {}

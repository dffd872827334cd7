"""The official Python SDK reads smart invoices of a sandbox and moves one to its stage of success.

Arguments: host and port of the portal, `user/secret` of its webhook, the invoice's id. Prints what it saw as JSON.
"""

from __future__ import annotations

import json
import sys

from b24pysdk import BitrixWebhook, Client  # type: ignore[import-not-found]

SMART_INVOICE = 31


def main(domain: str, webhook: str, invoice_id: int) -> dict[str, object]:
    crm = Client(BitrixWebhook(domain=domain, webhook_token=webhook)).crm
    categories = crm.category.list(entity_type_id=SMART_INVOICE).result["categories"]
    invoice = crm.item.get(bitrix_id=invoice_id, entity_type_id=SMART_INVOICE).result["item"]
    stages = crm.status.list(filter={"ENTITY_ID": f"SMART_INVOICE_STAGE_{invoice['categoryId']}"}).result
    success = next(stage["STATUS_ID"] for stage in stages if stage["SEMANTICS"] == "S")
    waiting = crm.item.list(entity_type_id=SMART_INVOICE, filter={"!@stageId": [success]}).as_list().result
    fields = {"stageId": success}
    moved = crm.item.update(bitrix_id=invoice_id, entity_type_id=SMART_INVOICE, fields=fields).result["item"]
    history = crm.stagehistory.list(entity_type_id=SMART_INVOICE, filter={"OWNER_ID": invoice_id}).result["items"]
    return {
        "number": invoice["accountNumber"],
        "amount": str(invoice["opportunity"]),
        "funnels": len(categories),
        "waiting": sorted(each["id"] for each in waiting),
        "stage": moved["stageId"],
        "history": [each["STAGE_ID"] for each in history],
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))  # noqa: T201 - a command

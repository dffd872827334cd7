"""The seed's funnels of smart invoices: a standard one, a renamed one, and one which does things by itself."""

from __future__ import annotations

from airflow_b24.sandbox.funnel import FAILURE, SUCCESS, Funnel, Robot, Stage, standard

STANDARD, RENAMED, AUTOMATED = 5, 8, 9
CONTRACT = "ufCrm_SMART_INVOICE_1700000001"

FUNNELS = (
    standard(STANDARD, "Общая", sort=300, default=True),
    Funnel(
        RENAMED,
        "Опт",
        (
            Stage("DT31_8:NEW", "Согласование", 100, original="Новый"),
            Stage("DT31_8:UC_SENT01", "Ждём денег", 110),
            # Its success is another code than the standard funnel's P.
            Stage("DT31_8:UC_PAID01", "Деньги пришли", 130, SUCCESS),
            Stage("DT31_8:UC_LOST01", "Отказ", 140, FAILURE),
        ),
        sort=400,
    ),
    Funnel(
        AUTOMATED,
        "Проекты",
        (
            Stage("DT31_9:N", "Новый", 100, original="Новый"),
            Stage("DT31_9:S", "Отправлен", 110, original="Отправлен"),
            Stage("DT31_9:UC_DOCS01", "Закрывающие документы", 120),
            # Paid, and no longer in a success stage when the answer is written.
            Stage(
                "DT31_9:P", "Оплачен", 130, SUCCESS, "Оплачен", required=(CONTRACT,), robot=Robot("DT31_9:UC_DOCS01")
            ),
            Stage("DT31_9:D", "Не оплачен", 140, FAILURE, "Не оплачен"),
        ),
        sort=500,
    ),
)

"""The day a payment is booked on: around midnight, around both changes of the clock, and at both ends of the calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_b24.payments.model import Payment
from airflow_b24.payments.statements.records import Quarantined, RecordFields, read_record

unhurried = settings(deadline=None)
# A whole-hour change, a half-hour one, a zone without any, one that skipped a day, one 14 hours ahead, one at midnight.
ZONES = (
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Europe/Moscow",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "America/Santiago",
    "Asia/Kathmandu",
)
MIDNIGHTS = st.dates(date(1995, 1, 1), date(2035, 1, 1)).map(lambda day: datetime(day.year, day.month, day.day))  # noqa: DTZ001 - local
NEAR = st.integers(-7200, 7200).map(lambda seconds: timedelta(seconds=seconds))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def booked(text: str, zone: str) -> date | None:
    record = {"id": "1", "account": "1", "amount": "1", "currency": "RUB", "remittance": "", "booked_on": text}
    read = read_record(record, RecordFields(time_zone=zone))
    assert isinstance(read, (Payment, Quarantined))
    return read.booked_on if isinstance(read, Payment) else None


@unhurried
@given(MIDNIGHTS, NEAR, st.sampled_from(ZONES), OFFSETS, st.integers(0, 1))
def test_an_instant_is_booked_on_the_local_day_whatever_offset_it_is_written_with(
    midnight: datetime, near: timedelta, zone: str, offset: timezone, fold: int
) -> None:
    local = (midnight + near).replace(fold=fold)
    instant = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    # A local time that the clock skipped is nobody's.
    assume(instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local)
    assert booked(instant.astimezone(offset).isoformat(), zone) == local.date()
    assert booked(instant.strftime("%Y-%m-%dT%H:%M:%SZ"), zone) == local.date()


@unhurried
@given(MIDNIGHTS, NEAR, st.sampled_from(ZONES), st.sampled_from(ZONES))
def test_a_time_without_an_offset_and_a_date_are_the_banks_own_day(
    midnight: datetime, near: timedelta, zone: str, other: str
) -> None:
    local = midnight + near
    for text in (local.isoformat(), local.isoformat(" "), local.date().isoformat(), f"  {local.date().isoformat()}\n"):
        assert booked(text, zone) == booked(text, other) == local.date()


@unhurried
@given(
    st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "9999-12-31"]),
    st.sampled_from(ZONES),
)
def test_the_ends_of_the_calendar_are_no_reason_to_fail(text: str, zone: str) -> None:
    booked(text, zone)


@unhurried
@given(
    st.dates(),
    st.sampled_from(
        [
            "{0:%Y%m%d}",
            "{0:%d.%m.%Y}",
            "{0:%m/%d/%Y}",
            "{0:%Y-%j}",
            "{0:%G-W%V-%u}",
            "{0:%Y-%m}",
            "{0}T",
            "{0}Z",
            "{0}T25:00",
        ]
    ),
)
def test_a_day_written_in_any_other_way_is_set_aside(day: date, pattern: str) -> None:
    assert booked(pattern.format(day), "UTC") is None

"""The one place without Airflow that knows both sides: collect, match, settle, report."""

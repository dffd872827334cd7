"""The ledger: what we know of money received and what we promised about invoices. No Airflow, no HTTP."""

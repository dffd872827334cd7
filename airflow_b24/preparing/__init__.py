"""Preparing a portal: setting up what paying needs, and finding out what is wrong. No Airflow."""

"""A seeded simulation of the real matching, decisions and settlement in a time of its own; see `python -m tests.simulation -h`.

Who is who: `worlds` draws what happens, `portal` is the sandbox with a memory, `wire` loses and delays, `attempts` and
`runs` are what Airflow starts, `people` interfere, `history` notes it all, and `checker`, which knows nothing of the
product, judges the notes.
"""

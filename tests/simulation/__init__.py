"""A seeded simulation of the real matching, decisions and settlement in a time of its own; see `python -m tests.simulation -h`.

Who is who: `worlds` draws what happens, `offices` which kinds of invoices there are, `portal` is the sandbox with a
memory, `sides` its legacy and its smart invoices, `funnels` the stages of these, `wire` loses and delays, `attempts` and
the runs of `simulating` are what Airflow starts, `people` interfere, `history` notes it all, and `checker`, which knows
nothing of the product, judges the notes. `books` is the ledger in dictionaries, `sqlite_books` the real one, and
`--store both` compares the two. `ablations` takes the product's guards away.

In a quarter of the worlds, `crowds`, one task settles many invoices at once: `runs` are such tasks, `lanes` their threads,
and `batches` the requests of these, which are lost as a whole and run one command after the other.

    python -m tests.simulation --seeds 1000000 --jobs 2 --json
    python -m tests.simulation --seeds 50000 --jobs 2 --store sqlite --json
    python -m tests.simulation --seeds 1000 --store both
    python -m tests.simulation --seeds 1000 --kinds smart   legacy, smart, both; mixed draws one for each seed
    python -m tests.simulation --seeds 1000 --settling bulk   single, bulk; mixed draws one for each seed
    python -m tests.simulation --start 7 --seeds 1          one seed's whole story
    python -m tests.simulation.exhaustive --acts 3 --kind smart --json   every order of two attempts instead of drawn ones
"""

"""What stands around the ledger of an Airflow that is measured: it counts, and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

# In a process of its own, for it stays around every ledger there.
WATCHED = """
import sys
from pathlib import Path
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store
from tests.benchmarks.watched import Watch

watch = Watch()
watch.install()
store = Store.open(f"sqlite:///{sys.argv[1]}/ledger.db")
with store.transaction() as connection:
    portal_id(connection, "portal.example")
with store.snapshot() as connection:
    pass
try:
    with store.transaction() as connection:
        raise KeyError
except KeyError:
    pass
with store.beside("pace").transaction() as connection:
    pass
watch.save(Path(sys.argv[1], "seen.json"))
"""


def test_each_time_in_the_ledger_is_counted_by_what_it_was_for(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WATCHED, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads((tmp_path / "seen.json").read_text(encoding="utf-8"))
    # Opening is made of transactions, and counts as one.
    assert Counter(kind for kind, _, _ in seen["spells"]) == {"opening": 1, "ledger": 3, "pace": 1}
    assert all(seconds > 0 for _, _, seconds in seen["spells"])
    assert 0 < seen["before_kb"] <= seen["peak_kb"]

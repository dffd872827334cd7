from __future__ import annotations

import subprocess
import sys

# More than a pipe holds, so that the writer is still at it when its reader goes away.
LONG = "from airflow_b24.commands.answering import tell; tell('x' * 99 for _ in range(50_000))"


def test_a_reader_that_has_seen_enough_gets_no_traceback() -> None:
    command = f'{sys.executable} -c "{LONG}" | head -n 1'
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x" * 99 + "\n", "")

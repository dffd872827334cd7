from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = {
    "a test": "import pytest\ndef test_a(): pass\n@pytest.mark.skip\ndef test_left_out(): pass\n",
    "a file": "import pytest\npytest.importorskip('left_out')\n",
    "nothing": "def test_a(): pass\n",
}


@pytest.mark.parametrize("forbidden", ["1", "0"])
@pytest.mark.parametrize("skipped", SKIPS)
def test_a_skip_fails_the_session_and_is_named_where_skips_are_forbidden(
    tmp_path: Path, skipped: str, forbidden: str
) -> None:
    shutil.copy(Path(__file__).parent / "conftest.py", tmp_path)
    (tmp_path / "test_left_out.py").write_text(SKIPS[skipped], encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:airflow", str(tmp_path)]
    environment = os.environ | {"B24_NO_SKIPS": forbidden, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    named = "skipped, though B24_NO_SKIPS=1" in done.stdout and "left_out" in done.stdout.partition("B24_NO_SKIPS=1")[2]
    expected = skipped != "nothing" and forbidden == "1"
    assert (done.returncode == 1, named) == (expected, expected), done.stdout

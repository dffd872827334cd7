"""The example DAGs, written into a user's DAG folder; a file that was changed is never overwritten."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = Path(__file__).parent / "dag_files"


def write_examples(folder: Path) -> tuple[list[Path], list[Path]]:
    """Copy the example DAGs; returns what was written, and what was left alone because it differs."""
    folder.mkdir(parents=True, exist_ok=True)
    written, kept = [], []
    for example in sorted(EXAMPLES.glob("b24_*.py")):
        target = folder / example.name
        text = example.read_text(encoding="utf-8")
        if target.exists() and target.read_text(encoding="utf-8") != text:
            kept.append(target)
            continue
        target.write_text(text, encoding="utf-8")
        written.append(target)
    return written, kept

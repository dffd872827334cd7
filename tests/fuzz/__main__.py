"""`python -m tests.fuzz --seconds N [--target NAME] [--seed S]`, or `--target NAME --input BASE64` to replay one input."""

from __future__ import annotations

import argparse
import sys
from base64 import b64decode
from collections import Counter

from tests.fuzz.running import ROUND, replay, rounds
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Fuzz, and return 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--input", type=b64decode, help="one input, in base64")
    asked = parser.parse_args()
    if asked.input is not None:
        TARGETS[asked.target].run(asked.input)
        return 0
    tried: Counter[str] = Counter()
    failed: set[str] = set()
    for name, seed, found in rounds([asked.target] if asked.target else list(TARGETS), asked.seconds, asked.seed):
        tried[name] += ROUND
        if found:
            failed.add(name)
            sys.stdout.write(f"{name}, seed {seed}: {found[1]!r:.300}\n  {found[0]!r}\n  {replay(name, found[0])}\n")
    sys.stdout.write(f"{sum(tried.values())} inputs, {len(failed)} targets failed: {dict(tried)}\n")
    return 1 if failed else 0


sys.exit(main())

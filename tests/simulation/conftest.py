"""The simulation is a package, started by its name from the top folder; the suite finds it there too."""

from __future__ import annotations

import sys
from pathlib import Path

TOP = str(Path(__file__).parents[2])
if TOP not in sys.path:
    sys.path.insert(0, TOP)

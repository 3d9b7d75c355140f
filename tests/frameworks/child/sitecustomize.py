"""Python imports this when a child of a test starts (tests/frameworks/offline.py)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import offline

sys.addaudithook(offline.refuse)

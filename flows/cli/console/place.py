"""Where the clone is, and where its local platform keeps its state."""

from pathlib import Path

CLONE = Path(__file__).resolve().parents[3]
STATE = CLONE / ".pilotage"

"""Where the clone is, and where its local platform keeps its state."""

from pathlib import Path

REPOSITORY_ROOT = Path(__file__).resolve().parents[3]
DEFAULT_STATE_FOLDER = REPOSITORY_ROOT / ".pilotage"

"""Loading the command line."""

import subprocess
import sys


def test_no_command_loads_prefect_before_the_file_of_settings_is_read() -> None:
    """Prefect takes its settings when it is imported: what `--env-file` names would come too late for it."""
    said = "import flows.cli, sys; print(sorted(name for name in sys.modules if name.partition('.')[0] == 'prefect'))"
    loaded = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"

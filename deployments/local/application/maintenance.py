"""Maintenance mode: an item of the Edge Config, read in the background."""

import json
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit, urlunsplit

EVERY_S = 0.3


class Maintenance:
    """Whether writes are refused.

    Args:
        edge_config: the Edge Config's connection string; without one there is no maintenance.
    """

    def __init__(self, edge_config: str) -> None:
        self.on = False
        self._edge_config = edge_config
        self._stop = threading.Event()

    def start(self) -> None:
        """Read it now, and from now on in the background."""
        if self._edge_config:
            self._look()
            threading.Thread(target=self._keep_looking, daemon=True).start()

    def _keep_looking(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        parts = urlsplit(self._edge_config)
        url = urlunsplit(parts._replace(path=f"{parts.path}/item/maintenance"))
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - the platform's own address
                self.on = json.load(answer) is True
        except urllib.error.HTTPError as error:
            # No such item: nobody has ever switched it on. Anything else tells nothing, and what was known stays.
            if error.code == 404:
                self.on = False
        except (OSError, ValueError):
            pass

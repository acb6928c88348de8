"""Every hazard that the lint knows, by its id. A file of this folder holds one, or a few that belong together."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from migrations.lint import hazards
from migrations.lint.hazard import Hazard


def _found() -> Mapping[str, Hazard]:
    found: dict[str, Hazard] = {}
    for module in pkgutil.iter_modules(hazards.__path__):
        held = vars(importlib.import_module(f"{hazards.__name__}.{module.name}")).values()
        found |= {one.id: one for one in held if isinstance(one, Hazard)}
    return dict(sorted(found.items()))


HAZARDS = _found()

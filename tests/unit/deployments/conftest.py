"""Retries without their waits."""

from collections.abc import Iterator

import pytest
import stamina


@pytest.fixture(autouse=True)
def no_waits() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield

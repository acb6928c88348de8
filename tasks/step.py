"""How every step of the checklist becomes a retriable Prefect task."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from deployments.redaction.redacted_output import guard_logging, redacted_exception, streams_redacted
from deployments.redaction.redactor import learn_variables
from tasks.errors import is_transient

P = ParamSpec("P")
R = TypeVar("R")

RETRY_DELAYS_S = [1.0, 3.0, 10.0]


def _is_retriable(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the failed run may be tried again: only what its error says of itself counts."""
    result = state.result(raise_on_failure=False)
    return isinstance(result, BaseException) and is_transient(result)


def without_secrets(function: Callable[P, R]) -> Callable[P, R]:
    """Let what a step or a flow prints, logs and raises pass the redactor, before Prefect or the worker has it."""

    @wraps(function)
    def guarded(*args: P.args, **given: P.kwargs) -> R:
        guard_logging()
        learn_variables(os.environ)
        try:
            with streams_redacted():
                return function(*args, **given)
        except BaseException as error:
            safe = redacted_exception(error)
            if safe is error:
                raise
            raise safe from None

    return guarded


def step(name: str, *, timeout_s: float, retries: int = 3) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a step: named, retried while its errors are transient, bounded in time, never cached.

    Args:
        name: name in the Prefect UI.
        timeout_s: seconds for one try.
        retries: further tries after the first.
    """

    def made(function: Callable[P, R]) -> Task[P, R]:
        made_a_task = task(
            name=name,
            task_run_name=name,
            retries=retries,
            retry_delay_seconds=RETRY_DELAYS_S[:retries],
            retry_condition_fn=_is_retriable,
            timeout_seconds=timeout_s,
            cache_policy=NO_CACHE,
            persist_result=False,
        )
        return made_a_task(without_secrets(function))

    return made

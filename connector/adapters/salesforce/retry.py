"""Which failures of an org are tried again at once, how often, and with what pauses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from connector.adapters.salesforce.errors import OrgLimit, OrgSessionRefused, OrgUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of the tries within one call; what still fails is the job's to repeat later.

    Pauses grow by doubling and are drawn at random below that, so that many clients do not
    come back together.
    """

    attempts: int = 5
    first_pause_s: float = 0.25
    longest_pause_s: float = 8

    def run(self, call: Callable[[], T]) -> T:
        """Call, and call again while the failure is one that passes."""
        retrying = Retrying(
            stop=stop_after_attempt(self.attempts),
            wait=self._wait(),
            retry=retry_if_exception(_passes_soon),
            before_sleep=_tell,
            reraise=True,
        )
        return retrying(call)

    def run_until(self, step: Callable[[], bool]) -> None:
        """Repeat a step with the same pauses until it says that nothing is left, or give up."""
        retrying = Retrying(
            stop=stop_after_attempt(self.attempts),
            wait=self._wait(),
            retry=lambda state: (
                state.outcome is not None
                and not state.outcome.failed
                and not state.outcome.result()
            ),
            retry_error_callback=lambda _: None,
        )
        retrying(step)

    def _wait(self) -> wait_random_exponential:
        return wait_random_exponential(multiplier=self.first_pause_s, max=self.longest_pause_s)


def _passes_soon(error: BaseException) -> bool:
    if isinstance(error, OrgSessionRefused):
        return False
    if isinstance(error, OrgLimit):
        return not error.is_daily
    return isinstance(error, OrgUnavailable)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning(
        "org.retry",
        attempt=state.attempt_number,
        error=getattr(error, "code", type(error).__name__),
    )

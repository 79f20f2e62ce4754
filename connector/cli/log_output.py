"""Where log events go: standard error, readable at a terminal, JSON lines elsewhere."""

import logging
import os
import sys

import structlog

LEVEL_VARIABLE = "L2C_LOG"


def configure_logging(default: str = "warning") -> None:
    """Send events of the level named in L2C_LOG, or the default, to standard error."""
    name = os.environ.get(LEVEL_VARIABLE, default).upper()
    level = logging.getLevelNamesMapping().get(name, logging.WARNING)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_to_standard_error,
        cache_logger_on_first_use=False,  # standard error may be another file next time
    )


def _to_standard_error(*_: object) -> structlog.PrintLogger:
    return structlog.PrintLogger(sys.stderr)

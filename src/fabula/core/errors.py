"""Errors that say what is wrong, where, what was expected and what to do.

Every message is one paragraph. The command line prints it as it stands and leaves with
``exit_code``; a traceback on the command line is therefore always a defect of fabula.
"""

from __future__ import annotations

import sys
import warnings

__all__ = [
    "CannotAnswerError",
    "ConvergenceWarning",
    "DataError",
    "FabulaError",
    "FabulaWarning",
    "FileFormatError",
    "UsageError",
    "warn",
]


class FabulaError(Exception):
    """Base of every error that fabula raises on purpose."""

    exit_code = 1


class UsageError(FabulaError, ValueError):
    """A parameter or an option that makes no sense: the call has to change."""

    exit_code = 2


class DataError(FabulaError, ValueError):
    """Data that cannot be used as they stand: the message names column, row, line or byte."""

    exit_code = 3


class FileFormatError(DataError):
    """A file that is cut, damaged, hostile or not what its name says."""


class CannotAnswerError(FabulaError, AttributeError):
    """A question that this model cannot answer; the message names models that can.

    It is an ``AttributeError`` so that ``hasattr`` tells the truth about capabilities.
    """

    def __init__(self, question: str, model: str, why: str, instead: tuple[str, ...] = ()):
        message = f"{model} cannot answer '{question}': {why}."
        if instead:
            message += f" Models that can: {', '.join(instead)}."
        super().__init__(message)


class FabulaWarning(UserWarning):
    """Something a careful user wants to know, though the result stands."""


class ConvergenceWarning(FabulaWarning):
    """A fit stopped at its iteration limit before it met its tolerance."""


def warn(message: str, category: type[Warning] = FabulaWarning) -> None:
    """Warn at the line outside fabula that asked for what the warning is about."""
    package = __name__.partition(".")[0] + "."
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and f"{frame.f_globals['__name__']}.".startswith(package):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level + 1)

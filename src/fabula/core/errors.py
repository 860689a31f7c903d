"""Errors that say what is wrong, where, what was expected and what to do.

Every message is one paragraph. The command line prints it as it stands and leaves with
``exit_code``; a traceback on the command line is therefore always a defect of fabula.
"""

from __future__ import annotations

__all__ = [
    "CannotAnswerError",
    "ConvergenceWarning",
    "DataError",
    "FabulaError",
    "FabulaWarning",
    "FileFormatError",
    "UsageError",
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

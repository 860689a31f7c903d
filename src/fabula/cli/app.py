"""The command line as a whole: its commands, and what happens when one of them fails."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from cyclopts import App, CycloptsError, Parameter
from cyclopts.exceptions import UnusedCliTokensError

from fabula import __version__
from fabula.cli._console import complain, warnings_as_lines
from fabula.cli._interrupts import remember_interrupts, was_interrupted, what_was_kept
from fabula.cli._options import Reading
from fabula.cli._output import stdout_is_closed
from fabula.cli.align import align
from fabula.cli.ask import impute, predict, score
from fabula.cli.compare import compare
from fabula.cli.demo import demo
from fabula.cli.fit import fit
from fabula.cli.forecast import forecast
from fabula.cli.judge import judge
from fabula.cli.look import models, schema, show
from fabula.cli.plot import plot
from fabula.cli.simulate import condition, sample
from fabula.core.errors import FabulaError, UsageError

__all__ = ["main", "run"]

# The parser takes "-" for the beginning of an option; here it is standard input, or a value.
_DASH = "\N{EN DASH}stdin\N{EN DASH}"

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_PIPE_CLOSED = 141  # 128 + SIGPIPE: what any other command before `| head` leaves with

app = App(
    name="fabula",
    version=__version__,
    help="Generative models of tables with holes in them: sample, score, classify, decide, fill "
    "in, ask what if.",
    help_format="plaintext",
    help_epilogue="Data go to standard output or to -o; everything else to standard error. DATA "
    "is a CSV, TSV or Parquet file (gzip too), or - for standard input. Exit codes: 0 done, "
    "1 failed, 2 wrong usage, 3 bad data.",
    default_parameter=Parameter(negative=()),
)
_COMMANDS: tuple[Callable[..., None], ...] = (
    fit, sample, score, predict, impute, forecast, align, condition, compare, judge, schema, show,
    models, plot, demo,
)  # fmt: skip


def _help_of(command: Callable[..., None]) -> str:
    """The docstring without its table of parameters, each paragraph on one line.

    The terminal breaks the lines where it ends, not where the source did.
    """
    text = (inspect.getdoc(command) or "").partition("\nParameters\n")[0].strip()
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


for _place, _command in enumerate(_COMMANDS):
    app.command(sort_key=_place, help=_help_of(_command))(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    remember_interrupts()
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        As after the word ``fabula``; those of the process by default.

    Returns
    -------
    int
        0 done, 1 failed, 2 wrong usage, 3 bad data, 130 interrupted, 141 nobody reads any more.
    """
    debugging = bool(os.environ.get("FABULA_DEBUG"))
    try:
        with warnings_as_lines():
            _call(list(sys.argv[1:] if arguments is None else arguments))
            sys.stdout.flush()
    except BrokenPipeError:
        stdout_is_closed()
        return _PIPE_CLOSED
    except FabulaError as error:
        if debugging:
            traceback.print_exc()
        complain(str(error))
        return error.exit_code
    except MemoryError:
        complain("there is not enough memory for this; fewer rows or a smaller model may fit.")
        return 1
    except SystemExit:
        raise
    except BaseException as error:  # a panic of a library in Rust is no Exception
        if isinstance(error, KeyboardInterrupt) or was_interrupted():
            complain(what_was_kept(), "interrupted")
            return _INTERRUPTED
        if debugging:
            traceback.print_exc()
            return 1
        complain(
            f"this is a defect of fabula: {type(error).__name__}: {error}; run with FABULA_DEBUG=1 "
            "for the traceback."
        )
        return 1
    return 0


def _call(arguments: list[str]) -> None:
    try:
        command, bound, _ = app.parse_args(
            [_DASH if argument == "-" else argument for argument in arguments],
            exit_on_error=False,
            print_error=False,
            verbose=False,
        )
    except UnusedCliTokensError as error:
        extra = " ".join(error.unused_tokens or ())
        raise UsageError(f"There is nothing to do with {extra!r}. {_see_help(arguments)}") from None
    except CycloptsError as error:
        raise UsageError(f"{error} {_see_help(arguments)}") from None
    command(*map(_with_dash, bound.args), **{k: _with_dash(v) for k, v in bound.kwargs.items()})


def _with_dash(value: Any) -> Any:
    """What was parsed, with ``-`` where the parser saw its stand-in."""
    if isinstance(value, Reading):
        return replace(value, missing=_with_dash(value.missing))
    if isinstance(value, list):
        return [_with_dash(item) for item in value]
    return "-" if value == _DASH else value


def _see_help(arguments: list[str]) -> str:
    known = arguments[0] if arguments and arguments[0] in app else ""
    return f"See `fabula {known + ' ' if known else ''}--help`."

"""Options that several commands share, each described once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fabula.cli._interrupts import let_interrupts_through
from fabula.core.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "Force",
    "Given",
    "Json",
    "Out",
    "Reading",
    "ReadingOptions",
    "Seed",
    "Threads",
    "limited_threads",
]

Out = Annotated[
    str | None,
    Parameter(
        ("--output", "-o"),
        help="File to write (.csv, .tsv, .parquet; .gz after the first two). Without it, CSV goes "
        "to standard output.",
    ),
]
Json = Annotated[bool, Parameter("--json", show_default=False, help="Write JSON instead.")]
Force = Annotated[
    bool, Parameter("--force", show_default=False, help="Replace a file that is already there.")
]
Seed = Annotated[
    int | None, Parameter("--seed", help="Whole number from which all chance follows.")
]
Threads = Annotated[
    int | None, Parameter("--threads", help="How many cores to use; all of them by default.")
]
Given = Annotated[
    list[str] | None,
    Parameter(
        "--given",
        help="A condition, as often as needed: column=value, column=low..high (one end may be "
        "left open) or column=a|b|c.",
    ),
]


@dataclass(frozen=True)
class Reading:
    """How a file of text becomes a table; what is not stated is found out from the file."""

    delimiter: Annotated[
        str | None, Parameter(help="What stands between cells: one character, or 'tab'.")
    ] = None
    header: Annotated[
        bool | None,
        Parameter(negative="--no-header", help="Whether the first line names the columns."),
    ] = None
    quoting: Annotated[
        bool | None,
        Parameter(negative="--no-quoting", help="Whether double quotes enclose cells."),
    ] = None
    missing: Annotated[
        list[str] | None,
        Parameter(
            allow_leading_hyphen=True,
            help="A cell that stands for a missing value, besides the usual ones (empty, ?, NA, "
            "nan, null, …); as often as needed.",
        ),
    ] = None
    decimal: Annotated[str, Parameter(help="',' where numbers are written like 12,5.")] = "."
    encoding: Annotated[str, Parameter(help="Encoding of the text.")] = "utf-8"
    skip_lines: Annotated[int, Parameter(help="Lines before the table.")] = 0

    def read(self, path: str) -> pl.DataFrame:
        """The table in a file, or on standard input for ``-``."""
        from fabula.tables import MISSING_TOKENS, read_table

        if path == "-":
            let_interrupts_through()
        delimiter = "\t" if self.delimiter in ("tab", "\\t") else self.delimiter
        return read_table(
            path,
            delimiter=delimiter,
            header=self.header,
            quoting=self.quoting,
            missing_tokens=(*MISSING_TOKENS, *(self.missing or ())),
            decimal=self.decimal,
            encoding=self.encoding,
            skip_lines=self.skip_lines,
        )


ReadingOptions = Annotated[Reading, Parameter(name="*", group="Reading the table")]


@contextmanager
def limited_threads(number: int | None) -> Iterator[None]:
    """Use so many cores, in fabula's own loops and in the libraries below them."""
    if number is None:
        yield
        return
    if number < 1:
        raise UsageError(f"--threads is {number}, expected 1 or more.")
    from threadpoolctl import threadpool_limits

    from fabula.core.threads import use_threads

    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(limits=number))
        stack.enter_context(use_threads(number))
        yield

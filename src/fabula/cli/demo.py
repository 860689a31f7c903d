"""``fabula demo``: everything at work on a real table."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fabula.cli._console import note, working
from fabula.cli._options import Force, Seed, Threads, limited_threads
from fabula.cli._output import check_output
from fabula.core.errors import FabulaError, UsageError
from fabula.core.files import whole_file

__all__ = ["demo"]


def demo(
    *,
    output: Annotated[
        str, Parameter(("--output", "-o"), help="Folder to write to; it is made if need be.")
    ] = "fabula-demo",
    table: Annotated[
        str | None,
        Parameter(help="Only write the table of the demo, to this file: something to play with."),
    ] = None,
    images: Annotated[
        str | None,
        Parameter(help="Only write 1,797 handwritten digits, to this .npz file: for networks."),
    ] = None,
    seed: Seed = 0,
    # A few hundred rows are not worth threads: those of gradient boosting wait for one another
    # for longer than they work, where other programs want the cores too.
    threads: Threads = 1,
    force: Force = False,
) -> None:
    """See it all on a real table.

    Measurements of cells of 569 patients, with every fifth cell taken out: modelled, diagnosed,
    decided on under costs, filled in, conditioned, sampled and compared with models that draw
    borders. Pictures, tables, the model and a summary in plain words go to the folder; the summary
    is printed as well. It takes about half a minute.
    """
    if table is not None or images is not None:
        if table is not None:
            _write_table(table, seed or 0, force)
        if images is not None:
            _write_images(images, force)
        return
    folder = Path(output)
    _check_folder(folder, force)
    # Everything is made beside its place and moved there when it is whole.
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    try:
        with limited_threads(threads):
            from fabula.cli._demo_run import run_demo

            text = run_demo(part, seed or 0, working)
        _move(part, folder, force)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(text)
    note(f"\nWrote {len(list(folder.iterdir()))} files to {folder}{os.sep}: begin with summary.md.")


def _write_table(table: str, seed: int, force: bool) -> None:
    from fabula.cli._demo_table import demo_table
    from fabula.tables import write_table

    check_output(table, force=force)
    write_table(demo_table(seed).frame, table, force=force)
    note(f"Wrote {table}.")


def _write_images(images: str, force: bool) -> None:
    """Digits of 43 people, 8 × 8 pixels of 17 shades (Alpaydin and Kaynak 1998, scikit-learn)."""
    import numpy as np
    from sklearn.datasets import load_digits

    if not images.lower().endswith(".npz"):
        raise UsageError(f"Images are written as arrays: expected a name in .npz, not {images}.")
    check_output(images, force=force)
    digits = load_digits()
    with whole_file(Path(images), force=force) as stream:
        np.savez_compressed(stream, images=digits.images.astype(np.uint8), labels=digits.target)
    note(f"Wrote {images}.")


def _check_folder(folder: Path, force: bool) -> None:
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{folder} is a file: give the name of a folder.")
    if not folder.absolute().parent.is_dir():
        raise UsageError(f"The folder {folder.parent} does not exist: create it first.")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(
            f"The folder {folder} is not empty: give another name, or --force to replace the files "
            "of an earlier demo in it."
        )


def _move(part: Path, folder: Path, force: bool) -> None:
    try:
        folder.mkdir(exist_ok=True)
        for file in sorted(part.iterdir()):
            os.replace(file, folder / file.name)
    except OSError as error:
        raise FabulaError(f"{folder} could not be written: {error.strerror or error}.") from None

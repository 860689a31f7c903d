"""Writing a picture to a file, whole or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabula.core.errors import FabulaError, UsageError
from fabula.core.files import whole_file
from fabula.plots.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["save"]

# Dates and versions would make two runs of one program differ.
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@styled
def save(
    figure: Figure, path: str | os.PathLike[str], force: bool = False, *, dpi: int = 150
) -> Path:
    """Write a figure to ``path``; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path
        The ending says the format: ``.png``, ``.svg`` or ``.pdf``.
    force : bool
        Replace a file that is there.
    dpi : int
        Dots per inch of a ``.png``.

    Returns
    -------
    pathlib.Path
        Where it was written.

    Raises
    ------
    UsageError
        For another ending, a folder that does not exist or a file that does.
    FabulaError
        When the system refuses; no part of a file is left then.
    """
    place = Path(path)
    suffix = place.suffix.lower()
    if suffix not in _METADATA:
        raise UsageError(
            f"{place}: a picture ends in .png, .svg or .pdf, not in {suffix or 'nothing'!r}."
        )
    if place.is_dir():
        raise UsageError(f"{place} is a folder; give the name of a file in it.")
    if not place.parent.is_dir():
        raise UsageError(f"the folder {place.parent} does not exist; create it first.")
    if os.path.lexists(place) and not force:
        raise UsageError(f"{place} exists already; give another name, or force to replace it.")
    picture = io.BytesIO()
    figure.savefig(picture, format=suffix[1:], dpi=dpi, metadata=_METADATA[suffix])
    try:
        with whole_file(place, force=force) as stream:
            stream.write(picture.getvalue())
    except FileExistsError:
        raise UsageError(f"{place} appeared in the meantime; it was not touched.") from None
    except OSError as error:
        raise FabulaError(
            f"{place} could not be written ({error.strerror or error}); no part of it is left."
        ) from error
    return place

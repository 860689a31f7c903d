"""Images in files: arrays in .npz and .npy, and folders of pictures."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fabula.core.errors import DataError, FileFormatError, UsageError

__all__ = ["Images", "is_image_path", "read_images"]

_ARRAYS = (".npz", ".npy")
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_NAMES = ("images", "x", "X", "data", "arr_0")
_LABELS = ("labels", "y", "target", "targets", "classes")


@dataclass(frozen=True)
class Images:
    """Images of one size.

    Parameters
    ----------
    pixels : (n, h, w) or (n, h, w, c) array
    labels : list or None
        Class of each, None where it has none; None where no classes are known.
    names : list of str
        What each image is called.
    """

    pixels: Any
    labels: list[Any] | None
    names: list[str]


def is_image_path(path: str) -> bool:
    """Whether a name is that of arrays of images, or of a folder in which most files are pictures.

    Examples
    --------
    >>> is_image_path("digits.npz"), is_image_path("table.csv")
    (True, False)
    """
    if os.path.isdir(path):
        found = [file for file in _files_of(Path(path))[:50]]
        return 2 * sum(file.suffix.lower() in _PICTURES for file in found) > len(found)
    return path.lower().endswith(_ARRAYS)


def read_images(path: str) -> Images:
    """Images in a file of arrays or in a folder of pictures.

    Parameters
    ----------
    path : str
        ``.npz`` with an array of images (``images``, ``x``, ``data`` or the only one of three or
        four dimensions) and perhaps ``labels`` (``y``, ``target``); ``.npy``; or a folder of
        pictures of one size, in a folder for each class or all together.

    Raises
    ------
    UsageError
        There is no such file.
    FileFormatError
        It cannot be read.
    DataError
        It holds no images, or pictures of several sizes.
    """
    if not os.path.exists(path):
        raise UsageError(f"There is no file or folder {path}.")
    return _of_folder(Path(path)) if os.path.isdir(path) else _of_arrays(path)


def _of_arrays(path: str) -> Images:
    try:
        with open(path, "rb") as stream:  # numpy leaves a file open that it cannot read
            loaded = np.load(stream, allow_pickle=False)
            is_archive = hasattr(loaded, "files")
            arrays = {name: loaded[name] for name in loaded.files} if is_archive else {}
            arrays = arrays if is_archive else {"images": loaded}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileFormatError(f"{path} cannot be read as arrays of numpy: {error}.") from None
    images = {name: a for name, a in arrays.items() if a.ndim in (3, 4) and a.dtype.kind in "fiub"}
    chosen = next((name for name in _NAMES if name in images), None)
    if chosen is None and len(images) == 1:
        chosen = next(iter(images))
    if chosen is None:
        shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items())
        raise DataError(
            f"{path} holds {shapes or 'no arrays'}: expected images (n, h, w) or (n, h, w, c), "
            "under the name 'images'."
        )
    pixels = images[chosen]
    labels = None
    for name in _LABELS:
        if name in arrays and arrays[name].shape == (len(pixels),):
            labels = arrays[name].tolist()
            break
    return Images(pixels, labels, [str(i + 1) for i in range(len(pixels))])


def _of_folder(folder: Path) -> Images:
    from PIL import Image, UnidentifiedImageError

    files = [file for file in _files_of(folder) if file.suffix.lower() in _PICTURES]
    if not files:
        raise DataError(f"The folder {folder} holds no pictures ({', '.join(_PICTURES)}).")
    pixels: list[Any] = []
    for file in files:
        try:
            with Image.open(file) as picture:
                grey = picture.mode in ("1", "L", "I", "I;16", "F")
                array = np.asarray(picture.convert("L" if grey else "RGB"))
        except (UnidentifiedImageError, OSError, ValueError) as error:
            raise FileFormatError(f"{file} cannot be read as a picture: {error}.") from None
        if pixels and array.shape != pixels[0].shape:
            raise DataError(
                f"{file} is of the size {array.shape}, {files[0]} of {pixels[0].shape}: all "
                "pictures must have the same height, width and colours."
            )
        pixels.append(array)
    inside = [file.relative_to(folder) for file in files]
    labels = (
        [str(name.parts[0]) for name in inside]
        if all(len(name.parts) > 1 for name in inside)
        else None
    )
    return Images(np.stack(pixels), labels, [str(name) for name in inside])


def _files_of(folder: Path) -> list[Path]:
    """Files in a folder and in the folders in it, in the order of their names."""
    found = [f for f in folder.rglob("*") if f.is_file() and not f.name.startswith(".")]
    return sorted(found)

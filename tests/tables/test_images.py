"""Images in files: arrays, folders of pictures, and what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fabula.core.errors import DataError, FileFormatError, UsageError
from fabula.tables.images import is_image_path, read_images

PIXELS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def write_picture(path: Path, array: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(array).save(path)


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("pictures", "target")])
def test_arrays_and_their_labels(tmp_path, names):
    file = tmp_path / "set.npz"
    np.savez(file, **{names[0]: PIXELS, names[1]: np.array([7, 3])})
    found = read_images(str(file))
    assert np.array_equal(found.pixels, PIXELS) and found.labels == [7, 3]
    assert is_image_path(str(file)) and found.names == ["1", "2"]


def test_a_plain_array(tmp_path):
    file = tmp_path / "set.npy"
    np.save(file, PIXELS.astype(float))
    found = read_images(str(file))
    assert np.array_equal(found.pixels, PIXELS) and found.labels is None


def test_pictures_in_folders_of_classes(tmp_path):
    for k, name in enumerate(["cat/b.png", "dog/a.png"]):
        write_picture(tmp_path / name, PIXELS[k])
    assert is_image_path(str(tmp_path))
    found = read_images(str(tmp_path))
    assert np.array_equal(found.pixels, PIXELS)
    assert found.labels == ["cat", "dog"] and found.names == ["cat/b.png", "dog/a.png"]
    write_picture(tmp_path / "c.png", PIXELS[0])
    assert read_images(str(tmp_path)).labels is None  # not all of them stand in a folder


def test_colours_are_channels(tmp_path):
    write_picture(tmp_path / "a.png", np.stack([PIXELS[0]] * 3, axis=-1))
    assert read_images(str(tmp_path)).pixels.shape == (1, 3, 4, 3)


def test_what_is_no_set_of_images_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no file"):
        read_images(str(tmp_path / "absent.npz"))
    np.savez(tmp_path / "flat.npz", values=np.zeros(3))
    with pytest.raises(DataError, match=r"values \(3,\)"):
        read_images(str(tmp_path / "flat.npz"))
    with pytest.raises(DataError, match="no pictures"):
        (tmp_path / "empty").mkdir()
        read_images(str(tmp_path / "empty"))
    assert not is_image_path(str(tmp_path / "empty"))
    write_picture(tmp_path / "two/a.png", PIXELS[0])
    write_picture(tmp_path / "two/b.png", PIXELS[0][:2])
    with pytest.raises(DataError, match=r"b\.png is of the size \(2, 4\)"):
        read_images(str(tmp_path / "two"))
    (tmp_path / "two/b.png").write_bytes(b"no picture")
    with pytest.raises(FileFormatError, match=r"b\.png cannot be read"):
        read_images(str(tmp_path / "two"))


def test_files_that_are_cut_are_refused(tmp_path):
    file = tmp_path / "set.npz"
    np.savez_compressed(file, images=PIXELS)
    content = file.read_bytes()
    for cut in range(0, len(content) - 1, 9):
        file.write_bytes(content[:cut])
        with pytest.raises((FileFormatError, DataError)):
            read_images(str(file))

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fabula.core.errors import FabulaError, FileFormatError, UsageError
from fabula.persistence.container import read_members, write_members

GOOD = {"story.json": b'{"a": 1}', "arrays.safetensors": bytes(range(256))}
LIMITS = {"story.json": 1000, "arrays.safetensors": 1000}


def read(path: Path, limits: dict[str, int] = LIMITS) -> dict[str, bytes]:
    return read_members(path, tuple(GOOD), limits)


def make(path: Path, *members: tuple[Any, bytes], compression: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.fabula"


def test_members_come_back(path: Path) -> None:
    write_members(path, GOOD, force=False)
    assert read(path) == GOOD
    assert os.listdir(path.parent) == [path.name]


def test_only_what_is_asked_for_is_read(path: Path) -> None:
    write_members(path, GOOD, force=False)
    assert read_members(path, ["story.json"], LIMITS) == {"story.json": GOOD["story.json"]}


def test_the_same_members_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_members(tmp_path / name, GOOD, force=False)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_files_get_the_permissions_that_others_do(path: Path) -> None:
    write_members(path, GOOD, force=False)
    (path.parent / "plain").touch()
    assert path.stat().st_mode == (path.parent / "plain").stat().st_mode


def test_sizes_beyond_four_gigabytes_use_the_second_record(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    write_members(path, GOOD, force=False)
    assert b"PK\x06\x06" in path.read_bytes()
    assert read(path) == GOOD


def test_what_unzip_and_zip_make_of_it_can_be_read(path: Path) -> None:
    make(path, ("arrays.safetensors", b"x"), ("story.json", b"y"))
    assert read(path) == {"story.json": b"y", "arrays.safetensors": b"x"}


# ---- writing: whole or not at all


def test_a_file_that_is_there_is_replaced_only_by_force(path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists already"):
        write_members(path, GOOD, force=False)
    assert path.read_bytes() == b"precious"
    write_members(path, GOOD, force=True)
    assert read(path) == GOOD


def test_a_link_is_followed(path: Path) -> None:
    real = path.with_name("real")
    real.write_bytes(b"old")
    path.symlink_to(real)
    with pytest.raises(UsageError, match="exists already"):
        write_members(path, GOOD, force=False)
    write_members(path, GOOD, force=True)
    assert path.is_symlink()
    assert read(real) == GOOD


def test_places_that_cannot_be_written(path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        write_members(path.parent, GOOD, force=True)
    with pytest.raises(UsageError, match=r"folder .*nowhere does not exist"):
        write_members(path.parent / "nowhere" / "m.fabula", GOOD, force=False)
    with pytest.raises(FabulaError, match="could not be written"):
        write_members(path.with_name("x" * 300), GOOD, force=False)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(
    ("where", "force"),
    [
        ("zipfile.ZipFile.writestr", False),
        ("zipfile.ZipFile.writestr", True),
        ("os.fsync", False),
        ("os.fsync", True),
        ("os.link", False),
        ("os.replace", True),
    ],
)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), OSError(28, "No space")])
def test_an_interrupted_write_leaves_things_as_they_were(
    path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException, force: bool
) -> None:
    if force:
        path.write_bytes(b"precious")

    def fail(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(where, fail)
    if where == "os.link":  # a link that fails is followed by a rename: see below
        monkeypatch.setattr("os.replace", fail)
    expected = FabulaError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_members(path, GOOD, force=force)
    assert os.listdir(path.parent) == ([path.name] if force else [])
    assert not force or path.read_bytes() == b"precious"


def test_a_file_that_appears_meanwhile_is_not_touched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def appear(descriptor: int) -> None:
        path.write_bytes(b"precious")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", appear)
    with pytest.raises(UsageError, match="appeared while"):
        write_members(path, GOOD, force=False)
    assert path.read_bytes() == b"precious"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("appears", [False, True])
def test_file_systems_without_hard_links(
    path: Path, monkeypatch: pytest.MonkeyPatch, appears: bool
) -> None:
    def refuse(*args: Any) -> None:
        if appears:
            path.write_bytes(b"precious")
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    if appears:
        with pytest.raises(UsageError, match="appeared while"):
            write_members(path, GOOD, force=False)
        assert path.read_bytes() == b"precious"
    else:
        write_members(path, GOOD, force=False)
        assert read(path) == GOOD
    assert os.listdir(path.parent) == [path.name]


# ---- reading: places


def test_what_is_no_file(path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read(path)
    with pytest.raises(UsageError, match="is not a file, but a folder"):
        read(path.parent)
    os.mkfifo(path)
    with pytest.raises(UsageError, match="is not a file, but a device or pipe"):
        read(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read(path.with_name("x" * 300))


# ---- reading: what is no such zip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"P", "cut or damaged"),
        (b"\x80\x04\x95rest", "begins like a Python pickle, which fabula never opens"),
        (b"\x1f\x8brest", "a gzip file"),
        (b'{"format": "fabula"}', "a JSON file"),
        (b"PAR1rest", "a Parquet file"),
        (b"a,b,c\n1,2,3\n", "something else"),
        (b"PK\x05\x06" + bytes(18), "not a fabula file"),
        (b"PK\x03\x04" + bytes(200), "byte 204, its last, is not the end of a zip"),
        (b"PK\x03\x04" + b"PK\x05\x06" + bytes(18), "contains nothing"),
    ],
)
def test_what_is_no_zip(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        read(path)


def _link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["story.json"],
        ["story.json", "story.json"],
        ["story.json", "../arrays.safetensors"],
        ["/story.json", "arrays.safetensors"],
        ["./story.json", "arrays.safetensors"],
        ["a/story.json", "arrays.safetensors"],
        ["story.json/", "arrays.safetensors"],
        ["STORY.JSON", "arrays.safetensors"],
        ["story.json ", "arrays.safetensors"],
        ["story\\json", "arrays.safetensors"],
    ],
)
def test_members_other_than_expected(path: Path, names: list[str]) -> None:
    with pytest.warns(UserWarning) if len(set(names)) < len(names) else _nothing():
        make(path, *[(name, b"x") for name in names])
    with pytest.raises(FileFormatError, match=r"contains exactly 'story.json' and|not a fabula"):
        read(path)
    assert os.listdir(path.parent) == [path.name]


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


def test_a_third_member(path: Path) -> None:
    make(path, *GOOD.items(), ("extra.py", b"import os"))
    with pytest.raises(FileFormatError, match="lists more than a fabula file has"):
        read(path)


def test_a_name_that_goes_on_after_a_zero(path: Path) -> None:
    make(path, ("story.jsonX../a", b"x"), ("arrays.safetensors", b"y"))
    path.write_bytes(path.read_bytes().replace(b"story.jsonX", b"story.json\0"))
    with pytest.raises(FileFormatError, match=r"story.json\\x00../a"):
        read(path)


def test_a_link_inside(path: Path) -> None:
    make(path, (_link("story.json"), b"/etc/passwd"), ("arrays.safetensors", b"x"))
    with pytest.raises(FileFormatError, match=r"story\.json is not a plain file"):
        read(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_is_not_unfolded(path: Path, compression: int) -> None:
    make(path, ("story.json", bytes(10**7)), ("arrays.safetensors", b""), compression=compression)
    assert path.stat().st_size < 30_000
    with pytest.raises(FileFormatError, match=r"is compressed .* that claim to be 10,000,000"):
        read(path, {"story.json": 10**9, "arrays.safetensors": 10**9})


def test_a_bomb_that_lies_about_its_size(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("story.json", bytes(10**6), compress_type=zipfile.ZIP_DEFLATED)
        archive.writestr("arrays.safetensors", b"")
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    packed = struct.unpack_from("<L", data, entry + 20)[0]
    struct.pack_into("<L", data, entry + 24, packed)  # as large as it is compressed
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="is compressed"):
        read(path)
    struct.pack_into("<H", data, entry + 10, 0)  # and not compressed at all
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="Bad CRC"):
        read(path, {"story.json": 10**9, "arrays.safetensors": 10**9})


def test_a_stored_member_that_lies_about_its_size(path: Path) -> None:
    write_members(path, GOOD, force=False)
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 24, 7)
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"\(8 bytes that claim to be 7\)"):
        read(path)


def test_sizes_are_limited(path: Path) -> None:
    write_members(path, GOOD, force=False)
    with pytest.raises(FileFormatError, match=r"arrays\.safetensors has 256 bytes, over .* 255"):
        read(path, {**LIMITS, "arrays.safetensors": 255})


def test_members_larger_than_the_file(path: Path) -> None:
    write_members(path, GOOD, force=False)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    struct.pack_into("<LL", data, entry + 20, 900, 900)
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="do not fit"):
        read(path)


def test_two_members_on_the_same_bytes(path: Path) -> None:
    """A zip bomb without compression: each of its members contains the next."""
    write_members(path, GOOD, force=False)
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    struct.pack_into("<L", data, second + 42, 0)
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="damaged"):
        read(path)


def test_a_huge_table_of_contents_is_not_read(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(70_000):  # more than the first record can count: it says 65,535
            archive.writestr(f"{i}", b"")
    with pytest.raises(FileFormatError, match="lists more than"):
        read(path)


def test_a_second_record_that_counts_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    write_members(path, GOOD, force=False)
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q", data, data.index(b"PK\x06\x06") + 40, 10**9)
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="lists more than"):
        read(path)


def test_encrypted_members(path: Path) -> None:
    write_members(path, GOOD, force=False)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"story\.json is encrypted"):
        read(path)


def test_something_before_the_zip(path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in GOOD.items():
            archive.writestr(name, content)
    path.write_bytes(b"PK\x03\x04 something before" + buffer.getvalue())
    with pytest.raises(FileFormatError, match="do not fit"):
        read(path)


@pytest.mark.parametrize("comment", [b"x", b"PK\x05\x06" + bytes(18)])
def test_something_after_the_zip(path: Path, comment: bytes) -> None:
    write_members(path, GOOD, force=False)
    path.write_bytes(path.read_bytes() + comment)
    with pytest.raises(FileFormatError):
        read(path)


def test_cut_at_every_byte(path: Path) -> None:
    write_members(path, GOOD, force=False)
    data = path.read_bytes()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(FileFormatError, match=r"empty|cut or damaged"):
            read(path)


@pytest.mark.parametrize("flip", [0x01, 0x10, 0x80, 0xFF])
def test_every_byte_flipped(path: Path, flip: int) -> None:
    write_members(path, GOOD, force=False)
    data = path.read_bytes()
    refused = 0
    for place in range(len(data)):
        spoilt = bytearray(data)
        spoilt[place] ^= flip
        path.write_bytes(spoilt)
        try:
            assert read(path) == GOOD, place
        except FileFormatError:
            refused += 1
    # All of the contents (264 bytes) and their names, at least.
    assert refused >= 264 + 2 * 28

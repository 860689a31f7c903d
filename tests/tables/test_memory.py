"""Tables larger than memory: what stays in memory while they are read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

MEASURE = """
import resource, sys
from fabula.tables import infer_schema, scan_table
import polars, scipy.special
def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = megabytes()
scan = scan_table(sys.argv[1])
if len(sys.argv) > 2:
    infer_schema(scan)
rows = sum(block.height for _ in range(2) for block in scan)
print(rows, megabytes() - before)
"""


def growth(path: Path, *more: str) -> tuple[int, float]:
    """Rows read in two passes, and by how many MB the largest size of a fresh process grew."""
    command = [sys.executable, "-c", MEASURE, str(path), *more]
    rows, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(rows), float(grown)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_a_large_parquet_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 5_000_000
    frame = pl.DataFrame({f"x{i}": rng.normal(size=n) for i in range(8)})
    assert frame.estimated_size("mb") > 300
    path = tmp_path / "large.parquet"
    frame.write_parquet(path)
    rows, grown = growth(path)
    assert rows == 2 * n
    assert grown < 200
    rows, grown = growth(path, "infer")
    assert grown < 250


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_a_large_text_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    line = b"1234.5678,category a,99,2020-01-31,0.00012345\n" * 10_000
    with path.open("wb") as stream:
        stream.write(b"x,y,n,day,z\n")
        for _ in range(600):
            stream.write(line)
    assert path.stat().st_size > 250e6
    rows, grown = growth(path)
    assert rows == 2 * 6_000_000
    assert grown < 250


def test_importing_the_layer_imports_no_heavy_library() -> None:
    check = "import sys, fabula.tables; print([m for m in HEAVY if m in sys.modules])"
    heavy = ["polars", "pandas", "pyarrow", "narwhals", "sklearn", "scipy"]
    code = f"HEAVY = {heavy!r}; {check}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_arrays_of_numbers_need_no_polars() -> None:
    code = (
        "import sys, numpy as np; from fabula.tables import TableEncoding; x = np.zeros((3, 2));"
        "encoding = TableEncoding.fit(x); assert encoding.decode(encoding.encode(x)) is x;"
        "print('polars' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_pandas_without_pyarrow_is_enough() -> None:
    code = """
import sys
sys.modules["pyarrow"] = None
import numpy as np, pandas as pd
from fabula.tables import TableEncoding
frame = pd.DataFrame({
    "i": pd.array([1, None, 3], dtype="Int64"), "s": ["a", None, "b"], "x": [0.5, np.nan, 2.0],
    "c": pd.Categorical(["u", None, "v"]), "b": pd.array([True, None, False], dtype="boolean"),
    "d": pd.to_datetime(["2020-01-01", None, "2020-03-01"]),
})
encoding = TableEncoding.fit(frame)
pd.testing.assert_frame_equal(encoding.decode(encoding.encode(frame)), frame)
filled = encoding.fill_missing(frame, np.nan_to_num(encoding.encode(frame), nan=1.0))
assert not filled.isna().any().any()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


DAMAGE = """
import sys, pathlib, random
import polars as pl
from fabula.core.errors import FabulaError
from fabula.tables import read_table, scan_table, write_table
path, n = pathlib.Path(sys.argv[1]), 200
columns = {"a": range(n), "b": [i / 3 for i in range(n)], "c": ["x", None] * (n // 2)}
write_table(pl.DataFrame(columns), path, force=True)
content = path.read_bytes()
for seed in range(int(sys.argv[2]), 150):
    print("\\nseed", seed, end=" ", flush=True)
    rng, damaged = random.Random(seed), bytearray(content)
    for _ in range(rng.randint(1, 3)):
        damaged[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(damaged)
    for read in (read_table, lambda path: list(scan_table(path, block_rows=64))):
        try:
            read(path)
            print("table", end=" ", flush=True)
        except FabulaError as error:
            print(type(error).__name__, end=" ", flush=True)
"""


def test_damaged_parquet_files_give_a_table_or_a_clear_error(tmp_path: Path) -> None:
    # In processes of their own, because polars ends the process where damaged bytes make it ask
    # for an impossible amount of memory: the one kind of damage that cannot be told in words.
    written, n_aborted, start = "", 0, 0
    while True:
        command = [sys.executable, "-c", DAMAGE, str(tmp_path / "t.parquet"), str(start)]
        done = subprocess.run(command, capture_output=True, text=True)
        written += done.stdout
        if done.returncode == 0:
            break
        assert "memory allocation of" in done.stderr, done.stderr
        n_aborted += 1
        start = int(done.stdout.rpartition("seed ")[2].split()[0]) + 1
    assert n_aborted <= 5
    assert written.count("FileFormatError") > 150
    assert "table" in written

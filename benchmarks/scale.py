"""A Parquet file of up to 20 million rows, fitted block by block: memory and time per row."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import print_table

CHILD = """
import sys, time, warnings
warnings.simplefilter("ignore")
import fabula
began = time.perf_counter()
if sys.argv[2] == "NaiveBayes":
    fabula.NaiveBayes().fit_file(sys.argv[1], "class")
else:
    fabula.MixtureModel(4, max_iter=3, tol=0.0, random_state=0).fit_file(sys.argv[1])
seconds = time.perf_counter() - began
# What getrusage calls the peak is inherited from the process that started this one.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(seconds, int(status["VmHWM"].split()[0]) / 1024)
"""


def run() -> None:
    """Every fit in a process of its own, whose peak memory the operating system reports."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for n in (1_000_000, 5_000_000, 20_000_000):
            path = Path(folder) / f"{n}.parquet"
            _write(path, n)
            for model in ("NaiveBayes", "MixtureModel"):
                out = subprocess.check_output([sys.executable, "-c", CHILD, str(path), model])
                seconds, megabytes = map(float, out.split())
                title = "NaiveBayes" if model == "NaiveBayes" else "MixtureModel(4), 3 iterations"
                rows.append([f"{n:,}", title, seconds, 1e6 * seconds / n, megabytes])
            path.unlink()
    print("8 columns: 6 numbers, a count and a class of 3\n")
    print_table(["rows", "model", "s", "µs a row", "peak memory, MiB"], rows)


def _write(path: Path, n: int) -> None:
    """Write in pieces, so that this process stays small as well."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    writer = None
    for start in range(0, n, 500_000):
        m = min(500_000, n - start)
        z = rng.integers(3, size=m)
        columns = {f"x{j}": rng.normal(size=m) + z * (j + 1) for j in range(6)}
        table = pa.table(
            {**columns, "count": rng.poisson(3 + z), "class": np.array(["a", "b", "c"])[z]}
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=100_000)
    assert writer is not None
    writer.close()

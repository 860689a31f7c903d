"""Reads and haplotypes as texts, qualities in every form, and what goes wrong with them."""

from __future__ import annotations

import numpy as np
import pytest

from fabula import use_threads
from fabula.core.errors import DataError, UsageError
from fabula.sequences import Record
from fabula.structures.pairs.read_haplotype import read_haplotype_log10


def literal(read: str, qualities: list[np.ndarray], haplotype: str) -> float:
    """The recursion as it is written down, whole matrices in double precision."""
    e, i, d, c = (10.0 ** (-np.asarray(q, dtype=float) / 10) for q in qualities)
    rows, columns = len(read), len(haplotype)
    m, x, y = (np.zeros((rows + 1, columns + 1)) for _ in range(3))
    y[0] = 1.0 / columns
    for k in range(1, rows + 1):
        for j in range(1, columns + 1):
            a, b = read[k - 1], haplotype[j - 1]
            agree = a == b or "N" in (a, b)
            emission = 1 - e[k - 1] if agree else e[k - 1] / 3
            before = (1 - i[k - 1] - d[k - 1]) * m[k - 1, j - 1]
            m[k, j] = emission * (before + (1 - c[k - 1]) * (x[k - 1, j - 1] + y[k - 1, j - 1]))
            x[k, j] = i[k - 1] * m[k - 1, j] + c[k - 1] * x[k - 1, j]
            y[k, j] = d[k - 1] * m[k, j - 1] + c[k - 1] * y[k, j - 1]
    return float(np.log10((m + x)[rows, 1:].sum()))


def some(seed: int, n: int = 5) -> tuple[list[str], list[list[np.ndarray]], list[str]]:
    rng = np.random.default_rng(seed)
    letters = np.array(list("ACGTN"))

    def text(length: int) -> str:
        return "".join(rng.choice(letters, size=length, p=[0.24] * 4 + [0.04]))

    reads = [text(rng.integers(1, 40)) for _ in range(n)]
    low, high = [6, 20, 20, 5], [40, 45, 45, 20]
    qualities = [
        [rng.integers(a, b, size=len(read)) for read in reads]
        for a, b in zip(low, high, strict=True)
    ]
    return reads, qualities, [text(rng.integers(1, 60)) for _ in range(n)]


@pytest.mark.parametrize("seed", range(4))
def test_the_literal_recursion(seed: int) -> None:
    reads, qualities, haplotypes = some(seed)
    found = read_haplotype_log10(reads, *qualities, haplotypes)
    for r, read in enumerate(reads):
        for h, haplotype in enumerate(haplotypes):
            expected = literal(read, [q[r] for q in qualities], haplotype)
            assert found[r, h] == pytest.approx(expected, abs=1e-6)
    matched = read_haplotype_log10(reads, *qualities, haplotypes, matched=True)
    np.testing.assert_array_equal(matched, np.diag(found))


def test_long_reads_that_fit_nowhere_do_not_underflow() -> None:
    read, haplotype = "A" * 400, "C" * 500
    qualities = [[np.full(400, 40)]] * 3 + [[np.full(400, 10)]]
    found = read_haplotype_log10([read], *qualities, [haplotype])[0, 0]
    assert -1200 < found < -320  # below what a double can hold


def test_one_number_stands_for_all_bases_and_threads_change_nothing() -> None:
    reads, _, haplotypes = some(7)
    one = read_haplotype_log10(reads, 30, 45, 45, 10, haplotypes)
    each = [[np.full(len(read), q) for read in reads] for q in (30, 45, 45, 10)]
    with use_threads(1):
        np.testing.assert_array_equal(read_haplotype_log10(reads, *each, haplotypes), one)
    raw = [bytes([30] * len(read)) for read in reads]
    np.testing.assert_array_equal(read_haplotype_log10(reads, raw, 45, 45, 10, haplotypes), one)


def test_records_bring_their_qualities() -> None:
    reads, qualities, haplotypes = some(3)
    base, *gaps = qualities
    records = [
        Record(f"r{k}", "", read.lower(), bytes(q.tolist()))
        for k, (read, q) in enumerate(zip(reads, base, strict=True))
    ]
    named = [Record("h", "", haplotype) for haplotype in haplotypes]
    found = read_haplotype_log10(records, None, *gaps, named)
    np.testing.assert_array_equal(found, read_haplotype_log10(reads, *qualities, haplotypes))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((["ACGT", ""], 30, 45, 45, 10, ["ACGT"]), DataError, "read 2"),
        ((["ACGE"], 30, 45, 45, 10, ["ACGT"]), DataError, "position 4"),
        ((["ACGT"], [[30, 30]], 45, 45, 10, ["ACGT"]), DataError, "4 bases"),
        ((["ACGT"], [[30, 30, -1, 30]], 45, 45, 10, ["ACGT"]), DataError, "is negative"),
        ((["ACGT"], [], 45, 45, 10, ["ACGT"]), DataError, "0 lists of base qualities"),
        ((["ACGT"], [[30, np.nan, 30, 30]], 45, 45, 10, ["ACGT"]), DataError, "or missing"),
        ((["ACGT"], ["IIII"], 45, 45, 10, ["ACGT"]), UsageError, "less 33"),
        ((["ACGT"], 30, None, 45, 10, ["ACGT"]), UsageError, "insertion qualities must be"),
        ((["ACGT"], None, 45, 45, 10, ["ACGT"]), UsageError, "brings no base qualities"),
        (([Record("r", "", "ACGT")], None, 45, 45, 10, ["ACGT"]), UsageError, "FASTQ"),
        (([[0, 1, 2.5]], 30, 45, 45, 10, ["ACGT"]), UsageError, "codes of bases"),
        (([None], 30, 45, 45, 10, ["ACGT"]), UsageError, "codes of bases"),
        (("ACGT", 30, 45, 45, 10, ["ACGT"]), UsageError, "must be a list"),
        ((Record("r", "", "A"), 30, 45, 45, 10, ["ACGT"]), UsageError, "must be a list"),
        ((["ACGT"], 30, 45, 45, 10, [Record("h", "", "AC-T")]), DataError, "'h', position 3"),
    ],
)
def test_what_cannot_be_used_is_named(
    arguments: tuple[object, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        read_haplotype_log10(*arguments)


def test_matched_lists_have_one_length() -> None:
    with pytest.raises(UsageError, match="2 reads and 1"):
        read_haplotype_log10(["A", "C"], 30, 45, 45, 10, ["A"], matched=True)


def test_nothing_gives_nothing() -> None:
    assert read_haplotype_log10([], 30, 45, 45, 10, ["A"]).shape == (0, 1)

"""Likelihoods of reads against the reference file of genotype callers, and a plain recursion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fabula.core.errors import DataError, UsageError
from fabula.core.threads import use_threads
from fabula.structures.pairs.read_haplotype import read_haplotype_log10


def _codes(bases: str) -> np.ndarray:
    return np.array(["ACGTN".index(base) for base in bases], dtype=np.uint8)


def _plain(read: np.ndarray, qualities: list[np.ndarray], haplotype: np.ndarray) -> float:
    """The recursion as it is written down, with long double numbers."""
    e, i, d, c = (np.longdouble(10.0) ** (-np.asarray(q) / np.longdouble(10)) for q in qualities)
    n, m = len(read), len(haplotype)
    match, insert, delete = (np.zeros((n + 1, m + 1), dtype=np.longdouble) for _ in range(3))
    delete[0] = np.longdouble(1) / m
    for k in range(1, n + 1):
        for j in range(1, m + 1):
            agree = read[k - 1] == haplotype[j - 1] or 4 in (read[k - 1], haplotype[j - 1])
            emission = 1 - e[k - 1] if agree else e[k - 1] / 3
            match[k, j] = emission * (
                (1 - i[k - 1] - d[k - 1]) * match[k - 1, j - 1]
                + (1 - c[k - 1]) * (insert[k - 1, j - 1] + delete[k - 1, j - 1])
            )
            insert[k, j] = i[k - 1] * match[k - 1, j] + c[k - 1] * insert[k - 1, j]
            delete[k, j] = d[k - 1] * match[k, j - 1] + c[k - 1] * delete[k, j - 1]
    return float(np.log10((match[n, 1:] + insert[n, 1:]).sum()))


def _random(rng: np.random.Generator, n: int) -> tuple[np.ndarray, list[np.ndarray]]:
    ranges = [(6, 40), (20, 45), (20, 45), (5, 15)]
    return rng.integers(0, 5, size=n), [rng.uniform(*r, size=n) for r in ranges]


@pytest.mark.data
def test_the_reference_file(data_folder: Path) -> None:
    lines = (data_folder / "pairhmm" / "pairhmm-testdata.txt").read_text().splitlines()
    cases = [line.split() for line in lines if not line.startswith("#")]
    assert len(cases) == 104
    phred = [
        [np.frombuffer(c[k].encode(), dtype=np.uint8) - 33.0 for c in cases] for k in range(2, 6)
    ]
    got = read_haplotype_log10(
        [_codes(c[1]) for c in cases], *phred, [_codes(c[0]) for c in cases], matched=True
    )
    np.testing.assert_allclose(got, [float(c[6]) for c in cases], rtol=0, atol=1e-4)


def test_every_read_with_every_haplotype_as_the_plain_recursion() -> None:
    rng = np.random.default_rng(0)
    reads = [_random(rng, n) for n in (1, 7, 20, 33)]
    haplotypes = [rng.integers(0, 5, size=m) for m in (1, 12, 30, 41, 50)]
    # One that agrees, so that likelihoods of all sizes are met.
    haplotypes[4][3:36] = reads[3][0]
    qualities = [[read[1][k] for read in reads] for k in range(4)]
    got = read_haplotype_log10([r[0] for r in reads], *qualities, haplotypes)
    expected = [[_plain(*read, haplotype) for haplotype in haplotypes] for read in reads]
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-6)


def test_what_float32_cannot_hold_is_computed_in_float64() -> None:
    n = 150
    read = np.zeros(n, dtype=np.uint8)
    qualities = [np.full(n, q) for q in (60.0, 60.0, 60.0, 30.0)]
    haplotypes = [np.ones(200, dtype=np.uint8), np.zeros(200, dtype=np.uint8)]
    got = read_haplotype_log10([read], *([q] for q in qualities), haplotypes)[0]
    expected = [_plain(read, qualities, haplotype) for haplotype in haplotypes]
    assert expected[0] < -300
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-5)


def test_one_quality_holds_for_a_whole_read_and_unknown_bases_agree() -> None:
    read, haplotype = _codes("ACGT"), _codes("TTACGTTT")
    args = ([30.0], [45.0], [45.0], [10.0])
    whole = read_haplotype_log10([read], *args, [haplotype])
    each = read_haplotype_log10([read], *([np.full(4, q[0])] for q in args), [haplotype])
    np.testing.assert_array_equal(whole, each)
    for unknown in (_codes("ANGT"), _codes("NNNN")):
        got = read_haplotype_log10([unknown], *args, [haplotype, _codes("NNNNNNNN")])
        assert np.all(got >= whole[0, 0])


def test_any_number_of_threads_gives_the_same_bits() -> None:
    rng = np.random.default_rng(1)
    reads = [_random(rng, int(n)) for n in rng.integers(1, 30, size=60)]
    haplotypes = [rng.integers(0, 4, size=m) for m in rng.integers(1, 40, size=50)]
    qualities = [[read[1][k] for read in reads] for k in range(4)]
    results = []
    for threads in (1, 2):
        with use_threads(threads):
            results.append(read_haplotype_log10([r[0] for r in reads], *qualities, haplotypes))
    np.testing.assert_array_equal(*results)


def test_mistakes_are_named() -> None:
    read, q = np.zeros(3, dtype=np.uint8), [30.0]
    good = np.zeros(5, dtype=np.uint8)
    with pytest.raises(DataError, match=r"read 1 .* empty"):
        read_haplotype_log10([read[:0]], q, q, q, q, [good])
    with pytest.raises(DataError, match=r"haplotype 2 .* empty"):
        read_haplotype_log10([read], q, q, q, q, [good, good[:0]])
    with pytest.raises(DataError, match="haplotype 1 has the code 7 at base 2"):
        read_haplotype_log10([read], q, q, q, q, [np.array([0, 7])])
    with pytest.raises(DataError, match="3 bases and 2 insertion"):
        read_haplotype_log10([read], q, [np.ones(2)], q, q, [good])
    with pytest.raises(DataError, match="2 lists of base qualities for 1 reads"):
        read_haplotype_log10([read], q * 2, q, q, q, [good])
    with pytest.raises(DataError, match="negative"):
        read_haplotype_log10([read], [-1.0], q, q, q, [good])
    with pytest.raises(DataError, match=r"base 2 of read 1 .* above 1"):
        read_haplotype_log10([read], q, [[30.0, 1.0, 30.0]], [[30.0, 1.0, 30.0]], q, [good])
    with pytest.raises(UsageError, match="1 reads and 2 haplotypes"):
        read_haplotype_log10([read], q, q, q, q, [good, good], matched=True)
    assert read_haplotype_log10([], [], [], [], [], [good]).shape == (0, 1)

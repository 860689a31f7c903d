"""Pairs of sequences: grid cells a second, beside a plain loop over one pair; and genomes."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import numpy as np
from numba import njit

from benchmarks.timing import print_table, race
from fabula.core.blocks import Block
from fabula.core.threads import ordered_map, use_threads
from fabula.structures.pairs.blocks import PairBlocks, Pairs
from fabula.structures.pairs.gaps import durbin_story
from fabula.structures.pairs.hidden_markov import PairHiddenMarkov
from fabula.structures.pairs.read_haplotype import read_haplotype_log10

N_PAIRS = 30_000


def run() -> None:
    """Reads with haplotypes, then two mitochondrial genomes."""
    if "FABULA_DATA" not in os.environ:
        print("FABULA_DATA is not set: it has to name the folder of real data.")
        return
    folder = Path(os.environ["FABULA_DATA"])
    lines = (folder / "pairhmm" / "pairhmm-testdata.txt").read_text().splitlines()
    cases = [line.split() for line in lines if not line.startswith("#")]
    which = np.arange(N_PAIRS) % len(cases)
    haplotypes, reads = ([_codes(case[k]) for case in cases] for k in (0, 1))
    pairs = Pairs.of([haplotypes[k] for k in which], [reads[k] for k in which])
    cells = float(pairs.cells.sum())
    print(
        f"{N_PAIRS:,} reads of {pairs.y.lengths.min()} to {pairs.y.lengths.max()} bases with "
        f"haplotypes of {pairs.x.lengths.min()} to {pairs.x.lengths.max()}: {cells / 1e6:.0f} "
        "million cells\n"
    )
    _grids(pairs, cells)
    print()
    _reads(cases, which, cells)
    print()
    _genomes(folder / "mtdna")


def _codes(bases: str) -> np.ndarray:
    table = np.full(256, 4, dtype=np.uint8)
    table[list(b"ACGT")] = range(4)
    return table[np.frombuffer(bases.upper().encode(), dtype=np.uint8)]


def _story(ends: str) -> PairHiddenMarkov:
    rng = np.random.default_rng(0)
    match = 0.01 + 0.01 * rng.random((4, 4)) + 0.2 * np.eye(4)
    return durbin_story(match / match.sum(), gap_open=0.01, gap_extend=0.3, end=0.01, ends=ends)


@njit(nogil=True, cache=True, error_model="numpy")
def _plain(x, y, match, moves, start, end):
    """The recursion as it stands in the book, for one pair, with no care for range."""
    rows = np.zeros((3, len(y) + 1))
    for i in range(len(x) + 1):
        corner = np.zeros(3)
        for j in range(len(y) + 1):
            above = rows[:, j].copy()
            for s in range(3):
                rows[s, j] = 0.0
            if i > 0 and j > 0:
                begin = start[0] if i == 1 and j == 1 else 0.0
                inflow = corner[0] * moves[0, 0] + corner[1] * moves[1, 0] + corner[2] * moves[2, 0]
                rows[0, j] = match[x[i - 1], y[j - 1]] * (inflow + begin)
            if j > 0:
                begin = start[1] if i == 0 and j == 1 else 0.0
                rows[1, j] = begin + rows[0, j - 1] * moves[0, 1] + rows[1, j - 1] * moves[1, 1]
            if i > 0:
                begin = start[2] if i == 1 and j == 0 else 0.0
                rows[2, j] = begin + above[0] * moves[0, 2] + above[2] * moves[2, 2]
            corner = above
    return np.log((rows[:, -1] * end).sum())


def _grids(pairs: Pairs, cells: float) -> None:
    rows: list[list[object]] = []
    for ends in ("global", "read", "local"):
        story = _story(ends)
        work = {
            "forward": lambda story=story: story.log_prob(pairs),
            "forward, backward and counts": lambda story=story: story.expected_counts(pairs),
            "the same over blocks": lambda story=story: sum(
                part.n_rows for part in ordered_map(story.statistics, PairBlocks(pairs))
            ),
        }
        for name, call in work.items():
            seconds = {}
            for threads in (1, 2):
                with use_threads(threads):
                    call()
                    seconds[threads] = race({name: call}, rounds=5)[name]
            rates = [cells / seconds[threads] / 1e9 for threads in (1, 2)]
            rows.append([ends, name, *rates, rates[1] / rates[0]])
    story = _story("global")
    few = range(0, len(pairs), 100)
    tables = (story.match, *(np.exp(t) for t in (
        story.log_transitions, story.log_start, story.log_end,
    )))  # fmt: skip
    _plain(*pairs.pair(0), *tables)
    plain = race({"plain": lambda: [_plain(*pairs.pair(k), *tables) for k in few]}, rounds=3)
    rate = float(pairs.cells[few].sum()) / plain["plain"] / 1e9
    rows.append(["global", "forward, a plain compiled loop over one pair", rate, "", ""])
    print_table(["ends", "work", "GCUPS, 1 thread", "2 threads", "ratio"], rows)


def _reads(cases: list[list[str]], which: np.ndarray, cells: float) -> None:
    reads, haplotypes = ([_codes(cases[k][f]) for k in which] for f in (1, 0))
    phred = [
        [np.frombuffer(cases[k][f].encode(), dtype=np.uint8) - 33.0 for k in which]
        for f in range(2, 6)
    ]
    expected = np.array([float(cases[k][6]) for k in which])
    rows = []
    for threads in (1, 2):
        with use_threads(threads):
            got = read_haplotype_log10(reads, *phred, haplotypes, matched=True)
            seconds = race(
                {"": lambda: read_haplotype_log10(reads, *phred, haplotypes, matched=True)}, 4
            )[""]
        gap = float(np.abs(got - expected).max())
        rows.append([threads, cells / seconds / 1e9, f"{gap:.1e}"])
    print_table(["threads", "read likelihoods, GCUPS", "largest gap to the file"], rows)


def _genomes(folder: Path) -> None:
    human, chimpanzee = (_genome(folder / name) for name in ("rCRS.fasta", "chimpanzee.fasta"))
    # The human sequence begins in the control region, the chimpanzee's after it.
    x, y = np.roll(human, -576), chimpanzee
    match = np.full((4, 4), 0.008) + 0.226 * np.eye(4)
    story = durbin_story(match / match.sum(), gap_open=0.003, gap_extend=0.6, end=1e-4)
    pairs = Pairs.of([x], [y])
    work = {
        "log probability": lambda: story.log_prob(pairs),
        "the same in a band of ±300": lambda: story.log_prob(pairs, band=300),
        "Viterbi": lambda: story.viterbi(pairs),
        "Viterbi in the band": lambda: story.viterbi(pairs, band=300),
        "posterior above .01, sparse": lambda: story.posterior_matrix(x, y, threshold=0.01),
        "most accurate alignment": lambda: story.expected_accuracy_path(x, y),
        "ten sampled alignments": lambda: story.sample_paths(x, y, 10, np.random.default_rng(0)),
        "expected counts": lambda: story.statistics(Block(pairs)),
    }
    rows: list[list[object]] = []
    for name, call in work.items():
        began = time.perf_counter()
        call()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append([name, time.perf_counter() - began, memory])
    print(f"human and chimpanzee mtDNA, {len(x):,} x {len(y):,}\n")
    print_table(["question", "s", "peak memory so far, GiB"], rows)


def _genome(path: Path) -> np.ndarray:
    lines = path.read_text().splitlines()
    return _codes("".join(line for line in lines if not line.startswith(">")))

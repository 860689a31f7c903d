"""The fast kernels of pairs against the plain recursion in logarithms, and that against a sum."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fabula.kernels.pairs.counts import Events
from fabula.kernels.pairs.lanes import lane_weights
from fabula.kernels.pairs.log import log_backward, log_counts, log_forward, log_total
from fabula.kernels.pairs.rows import pair_of
from fabula.kernels.pairs.viterbi import best_path, chain_block, chain_cells
from fabula.kernels.pairs.weights import LinearWeights, PairWeights, linear_weights
from fabula.structures.pairs.batches import counts, log_totals
from fabula.structures.pairs.blocks import Pairs
from fabula.structures.pairs.gaps import affine_story, gap_transitions
from fabula.structures.pairs.walks import PairWalk, band_of

ENDS = {"global": 0, "read": 1, "local": 2, "overlap": 3}


def _weights(ends: int, n_states: int, seed: int = 0, letters: int = 4) -> PairWeights:
    """Weights of no particular story: no row sums to 1, every move is possible."""
    rng = np.random.default_rng(seed)
    match = rng.normal(-1.5, 0.5, size=(letters + 1, letters + 1))
    match[np.diag_indices(letters)] = 1.2
    moves = np.log(rng.dirichlet(np.ones(n_states + 1) * 2, size=n_states))
    moves[0, 0] = math.log(0.8)
    return PairWeights(
        match,
        rng.normal(0, 0.2, size=letters + 1),
        rng.normal(0, 0.2, size=letters + 1),
        np.log(rng.dirichlet(np.ones(n_states))),
        np.ascontiguousarray(moves[:, :-1]),
        np.ascontiguousarray(moves[:, -1]),
        ends,
        math.log(0.3),
    )


def _pairs(n: int, longest: int, seed: int = 1, letters: int = 4) -> Pairs:
    rng = np.random.default_rng(seed)
    xs = [rng.integers(0, letters + 1, size=rng.integers(0, longest + 1)) for _ in range(n)]
    ys = [
        np.concatenate([x[k % 7 :], rng.integers(0, letters + 1, size=k % 5)])
        for k, x in enumerate(xs)
    ]
    return Pairs.of(xs, ys)


def _flank(w: PairWeights, i: int, j: int) -> float:
    stop = math.exp(w.log_stop)
    if w.ends == 2:
        return stop * stop
    if w.ends == 1:
        return stop if j == 0 else 0.0
    if w.ends == 3:
        # A fair coin says which of the two has letters beyond this end.
        return 0.5 * stop * (j == 0) + 0.5 * stop * (i == 0)
    return float(i == 0 and j == 0)


def _enumerated(
    x: np.ndarray, y: np.ndarray, w: PairWeights
) -> list[tuple[float, tuple, int, int]]:
    """Weight of every alignment with at least one column, its states, and where it begins."""
    s = len(w.start)
    gaps = (s - 1) // 2
    found = []
    for i0, j0 in itertools.product(range(len(x) + 1), range(len(y) + 1)):
        begin = _flank(w, i0, j0)
        stack = [((), i0, j0, begin)] if begin > 0 else []
        while stack:
            path, i, j, weight = stack.pop()
            if path:
                end = _flank(w, len(x) - i, len(y) - j)
                if end > 0:
                    found.append((weight * end * math.exp(w.end[path[-1]]), path, i0, j0))
            for t in range(s):
                a, b = i + (t == 0 or t > gaps), j + (t <= gaps)
                if a > len(x) or b > len(y):
                    continue
                step = w.transitions[path[-1], t] if path else w.start[t]
                letter = (
                    w.match[x[i], y[j]] if t == 0 else w.insert[y[j]] if t <= gaps
                    else w.delete[x[i]]
                )  # fmt: skip
                stack.append(((*path, t), a, b, weight * math.exp(step + letter)))
    return found


def _nothing(w: PairWeights) -> Events:
    a, s = len(w.insert), len(w.start)
    return Events(*(np.zeros(shape) for shape in ((a, a), a, a, s + 1, (s, s + 1))))


def _reference(x: np.ndarray, y: np.ndarray, w: PairWeights) -> tuple[float, Events, np.ndarray]:
    forward, backward = log_forward(x, y, w), log_backward(x, y, w)
    total = float(log_total(forward, w))
    events = _nothing(w)
    if total > -math.inf:
        log_counts(x, y, w, forward, backward, total, 1.0, *events)
    with np.errstate(invalid="ignore"):
        return total, events, np.exp(forward + backward - total)


@pytest.mark.parametrize("n_states", [3, 5])
@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_the_plain_recursion_is_the_sum_over_all_alignments(ends: int, n_states: int) -> None:
    w = _weights(ends, n_states)
    rng = np.random.default_rng(5)
    for n, m in [(0, 0), (1, 0), (0, 2), (1, 1), (3, 2), (2, 3)]:
        x, y = (rng.integers(0, 5, size=k).astype(np.uint8) for k in (n, m))
        found = _enumerated(x, y, w)
        total, events, posterior = _reference(x, y, w)
        weights = np.array([f[0] for f in found])
        assert total == pytest.approx(math.log(weights.sum()) if found else -math.inf, rel=1e-12)
        if not found:
            continue
        share = weights / weights.sum()
        seen, moves = np.zeros_like(posterior), np.zeros((n_states, n_states + 1))
        start = np.zeros(n_states + 1)
        for p, (_, path, i, j) in zip(share, found, strict=True):
            start[path[0]] += p
            for t, after in zip(path, (*path[1:], n_states), strict=True):
                i, j = i + (t == 0 or t > (n_states - 1) // 2), j + (t <= (n_states - 1) // 2)
                seen[i, j, t] += p
                moves[t, after] += p
        np.testing.assert_allclose(posterior, seen, atol=1e-12)
        np.testing.assert_allclose(events.moves, moves, atol=1e-12)
        np.testing.assert_allclose(events.start, start, atol=1e-12)
        best = max(found)
        top, states, i, j = best_path(pair_of(x, y, w), w, band_of(n, m, None))
        # Weights of ends differ for two paths of one weight; only the weight is unique.
        assert top == pytest.approx(math.log(best[0]), rel=1e-12)
        mine = [f for f in found if f[1:] == (tuple(states[::-1].tolist()), i, j)]
        assert mine[0][0] == pytest.approx(best[0], rel=1e-12)


@pytest.mark.parametrize("n_states", [3, 5])
@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_rows_agree_with_the_plain_recursion(ends: int, n_states: int) -> None:
    w = _weights(ends, n_states, seed=2)
    linear = linear_weights(w)
    pairs = _pairs(12, 90)
    for k in range(len(pairs)):
        x, y = pairs.pair(k)
        total, events, posterior = _reference(x, y, w)
        walk = PairWalk(x, y, linear, -np.inf)
        assert walk.log_total == pytest.approx(total, rel=1e-12, abs=1e-12)
        mine = _nothing(w)
        walk.count(1.0, mine)
        for got, expected in zip(mine, events, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)
        if total > -math.inf:
            for state in range(n_states):
                for first, block in walk.state_blocks(state):
                    expected = posterior[first : first + len(block), :, state]
                    np.testing.assert_allclose(block, expected, atol=1e-12)


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_distance_of_kept_rows_changes_nothing(ends: int) -> None:
    w = linear_weights(_weights(ends, 3, seed=3))
    x, y = _pairs(3, 90, seed=4).pair(1)
    results = []
    for every in (1, 4, len(x) + 1):
        walk = PairWalk(x, y, w, -np.inf, every=every)
        blocks = sorted(walk.state_blocks(0), key=lambda part: part[0])
        results.append((walk.log_total, np.concatenate([block for _, block in blocks])))
    for log_total_, posterior in results[1:]:
        assert log_total_ == results[0][0]
        np.testing.assert_array_equal(posterior, results[0][1])


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_a_band_is_the_sum_over_the_alignments_within_it(ends: int) -> None:
    w = _weights(ends, 3, seed=6)
    rng = np.random.default_rng(7)
    for n, m in [(4, 4), (3, 5), (5, 3)]:
        x, y = (rng.integers(0, 4, size=k).astype(np.uint8) for k in (n, m))
        band = band_of(n, m, 1)

        def inside(path: tuple, i: int, j: int, band: object = band) -> bool:
            cells = [(i, j)]
            for t in path:
                i, j = i + (t != 1), j + (t != 2)
                cells.append((i, j))
            return all(band.low[a] <= b <= band.high[a] for a, b in cells)

        within = [f[0] for f in _enumerated(x, y, w) if inside(*f[1:])]
        walk = PairWalk(x, y, linear_weights(w), -np.inf, band=1)
        assert walk.log_total == pytest.approx(math.log(sum(within)), rel=1e-12)
        top = best_path(pair_of(x, y, w), w, band)[0]
        assert top == pytest.approx(math.log(max(within)), rel=1e-12)
        events = _nothing(w)
        walk.count(1.0, events)
        assert events.moves[:, -1].sum() == pytest.approx(1.0, rel=1e-12)
        assert events.start.sum() == pytest.approx(1.0, rel=1e-12)
        full = PairWalk(x, y, linear_weights(w), -np.inf, band=9).log_total
        assert full == PairWalk(x, y, linear_weights(w), -np.inf).log_total


@pytest.mark.parametrize("letters", [4, 20])
@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_lanes_agree_with_the_plain_recursion(ends: int, letters: int) -> None:
    w = _weights(ends, 3, seed=8, letters=letters)
    linear = linear_weights(w)
    assert linear.tile > 0
    pairs = _pairs(41, 60, seed=9, letters=letters)
    weights = np.random.default_rng(1).random(len(pairs))
    weights[3] = 0.0
    expected, wanted = np.empty(len(pairs)), _nothing(w)
    for k in range(len(pairs)):
        expected[k], events, _ = _reference(*pairs.pair(k), w)
        for total, share in zip(wanted, events, strict=True):
            total += weights[k] * share
    got = log_totals(pairs, w, linear)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=2e-5)
    empty = np.full(len(pairs), -np.inf)
    found, totals = counts(pairs, w, linear, empty, weights, 1)
    kept = weights > 0
    np.testing.assert_allclose(totals[kept], expected[kept], rtol=1e-6, atol=2e-5)
    for mine, reference in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=3e-6, atol=1e-5)


def test_lanes_count_alignments_without_columns() -> None:
    w = _weights(2, 3, seed=10)
    linear = linear_weights(w)
    pairs = _pairs(5, 6, seed=3)
    empty = np.linspace(-2.0, 2.0, len(pairs))
    alone = linear._replace(tile=0)
    for got, expected in zip(
        counts(pairs, w, linear, empty, np.ones(len(pairs)), 1)[0],
        counts(pairs, w, alone, empty, np.ones(len(pairs)), 1)[0],
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_very_different_long_pairs_do_not_underflow(ends: int) -> None:
    """Row sums spread over hundreds of orders of magnitude: the parts are the wrong way round."""
    match = np.log(np.full((5, 5), 0.02))
    match[np.diag_indices(4)] = math.log(3.8)
    moves = np.log([[0.94, 0.02, 0.02], [0.59, 0.4, 0.001], [0.59, 0.001, 0.4]])
    w = PairWeights(
        match, np.zeros(5), np.zeros(5), np.log([0.9, 0.05, 0.05]), moves,
        np.log([0.02, 0.009, 0.009]), ends, math.log(0.01),
    )  # fmt: skip
    rng = np.random.default_rng(11)
    one, two = rng.integers(0, 4, size=150), rng.integers(0, 4, size=400)
    noise = rng.integers(0, 4, size=300)
    cases = [
        (np.concatenate([one, two]), np.concatenate([two, one])),
        (np.concatenate([two, one]), np.concatenate([one, two])),
        (noise, np.repeat(0, 500)),
        (noise[:3], two),
        (two, noise[:3]),
        (np.repeat(1, 400), np.repeat(2, 400)),
    ]
    pairs = Pairs.of([c[0] for c in cases], [c[1] for c in cases])
    linear = linear_weights(w)
    assert linear.tile > 0
    expected = np.array([log_total(log_forward(*pairs.pair(k), w), w) for k in range(len(pairs))])
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(log_totals(pairs, w, linear), expected, rtol=1e-5, atol=1e-4)
    alone = [PairWalk(*pairs.pair(k), linear, -np.inf).log_total for k in range(len(pairs))]
    np.testing.assert_allclose(alone, expected, rtol=1e-11)
    ones = np.ones(len(pairs))
    fast = counts(pairs, w, linear, -np.inf * ones, ones, 1)[0]
    slow = counts(pairs, w, linear._replace(tile=0), -np.inf * ones, ones, 1)[0]
    for got, wanted in zip(fast, slow, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-3)


def test_weights_too_far_apart_for_float32_go_to_float64() -> None:
    w = _weights(0, 3, seed=1)
    assert linear_weights(w).tile == 8
    steep = w._replace(match=w.match + 25.0 * np.eye(5))
    assert linear_weights(steep).tile == 0
    assert linear_weights(w._replace(match=np.where(np.eye(5) > 0, 1.0, -np.inf))).tile == 0
    between = w._replace(match=w.match + 10.0 * np.eye(5))
    assert linear_weights(between).tile == 4
    pairs = _pairs(20, 40)
    for weights in (between, steep):
        expected = [_reference(*pairs.pair(k), weights)[0] for k in range(len(pairs))]
        got = log_totals(pairs, weights, linear_weights(weights))
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize("extend", [1e-2, 1e-5, 1e-8, 0.0])
@pytest.mark.parametrize("ends", ENDS)
def test_gaps_that_hardly_ever_go_on(ends: str, extend: float) -> None:
    # Neighbouring cells differ by up to 2**60 here, and a long gap has to be taken all the same.
    story = affine_story(
        0.7 * np.eye(4) / 4 + 0.3 / 12 * (1 - np.eye(4)),
        gap_transitions(0.1, 0.1, [extend], [extend], [1.0]),
        insert=np.full(4, 0.25), delete=np.full(4, 0.25), background=np.full(4, 0.25),
        mean_length=100.0, ends=ends,
    )  # fmt: skip
    w = story._weights
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, size=150)
    y = np.concatenate([x[:50], x[90:], rng.integers(0, 4, size=20)])
    total, expected, seen = _reference(x, y, w)
    walk = PairWalk(*Pairs.of([x], [y]).pair(0), story._linear, -np.inf)
    assert walk.log_total == pytest.approx(total, rel=1e-12)
    events = _nothing(w)
    walk.count(1.0, events)
    for found, wanted in zip(events, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-9)
    for first, block in walk.state_blocks(0):
        np.testing.assert_allclose(block, seen[first : first + len(block), :, 0], atol=1e-9)


def test_weights_beyond_every_float_go_to_logarithms() -> None:
    w = _weights(0, 3, seed=1)
    w = w._replace(insert=np.full(5, -900.0), match=np.full((5, 5), -800.0))
    w = w._replace(transitions=np.where(np.eye(3) > 0, w.transitions, -600.0))
    pairs = Pairs.of([np.zeros(5), np.zeros(3)], [np.zeros(5), np.zeros(6)])
    linear: LinearWeights = linear_weights(w)
    expected = [_reference(*pairs.pair(k), w)[0] for k in range(2)]
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(log_totals(pairs, w, linear), expected, rtol=1e-9)
    wanted = _nothing(w)
    for k in range(2):
        for total, share in zip(wanted, _reference(*pairs.pair(k), w)[1], strict=True):
            total += share
    got, totals = counts(pairs, w, linear, np.full(2, -np.inf), np.ones(2), 1)
    np.testing.assert_allclose(totals, expected, rtol=1e-9)
    for mine, reference in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, reference, atol=1e-9)


def test_lane_tables() -> None:
    for letters, small in ((4, True), (20, False)):
        w = lane_weights(linear_weights(_weights(0, 3, letters=letters)))
        assert w.small is small
        assert len(w.match) == (32 if small else (letters + 1) ** 2)


def test_the_best_chain_is_the_best_of_all_chains() -> None:
    rng = np.random.default_rng(3)
    for n, m in [(1, 1), (3, 4), (4, 3)]:
        gains = rng.normal(size=(n, m))
        cells = [(i, j) for i in range(n) for j in range(m)]
        best = 0.0
        for size in range(1, min(n, m) + 1):
            for chosen in itertools.combinations(cells, size):
                pairs = itertools.pairwise(chosen)
                if all(a[0] < b[0] and a[1] < b[1] for a, b in pairs):
                    best = max(best, sum(gains[c] for c in chosen))
        top, came = np.zeros(m + 1), np.empty((n, m), dtype=np.uint8)
        for first in range(n - 1, -1, -1):
            chain_block(gains[first : first + 1], first, top, came)
        assert top[0] == pytest.approx(best, abs=1e-12)
        taken = chain_cells(came)
        assert gains[taken[:, 0], taken[:, 1]].sum() == pytest.approx(best, abs=1e-12)
        assert np.all(np.diff(taken, axis=0) > 0)

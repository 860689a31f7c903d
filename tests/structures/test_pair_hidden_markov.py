"""Pair hidden Markov models: a proper distribution, its posterior, and what is learnt of it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fabula.core.blocks import Block
from fabula.core.errors import CannotAnswerError, DataError, FabulaWarning, UsageError
from fabula.core.threads import use_threads
from fabula.learning.em import expectation_maximisation
from fabula.persistence.codec import pack, unpack
from fabula.structures.pairs.blocks import PairBlocks, PairPath, Pairs, path_of
from fabula.structures.pairs.gaps import durbin_story
from fabula.structures.pairs.hidden_markov import PairHiddenMarkov, PairPrior

ENDS = ("global", "read", "local", "overlap")
every_end = pytest.mark.parametrize("ends", ENDS)
both_sizes = pytest.mark.parametrize("n_states", [3, 5])


def _story(ends: str = "global", n_states: int = 3, letters: int = 2, seed: int = 0, **changes):
    """A story in which no two parameters are equal and every move is possible."""
    rng = np.random.default_rng(seed)
    match = rng.dirichlet(np.ones(letters**2)).reshape(letters, letters) + 0.5 * np.eye(letters)
    rows = rng.dirichlet(np.full(n_states + 1, 2.0), size=n_states + 1)
    return PairHiddenMarkov(
        **{
            "match": match / match.sum(),
            "insert": rng.dirichlet(np.full(letters, 5.0)),
            "delete": rng.dirichlet(np.full(letters, 5.0)),
            "log_start": np.log(rows[-1, :-1]),
            "log_transitions": np.log(rows[:-1, :-1]),
            "log_end": np.log(rows[:-1, -1]),
            "background": rng.dirichlet(np.full(letters, 5.0)),
            "background_stop": 0.4,
            "ends": ends,
            "log_empty": float(np.log(rows[-1, -1])),
            **changes,
        }
    )


def _dna(ends: str = "global", *, two_gaps: bool = False, end: float = 0.01) -> PairHiddenMarkov:
    match = np.full((4, 4), 0.01) + 0.21 * np.eye(4)
    gaps = {"gap_open": [0.02, 0.004], "gap_extend": [0.3, 0.8]} if two_gaps else {
        "gap_open": 0.02, "gap_extend": 0.4,
    }  # fmt: skip
    return durbin_story(match / match.sum(), end=end, ends=ends, **gaps)


def _in_float64(story: PairHiddenMarkov) -> PairHiddenMarkov:
    """The same story, whose pairs are computed one by one."""
    copy = replace(story, ends=story.ends)
    copy.__dict__["_linear"] = story._linear._replace(tile=0)
    return copy


def _log_joint(story: PairHiddenMarkov, x: np.ndarray, y: np.ndarray, path: PairPath) -> float:
    """Log probability of two sequences and one alignment, straight from the definition."""
    total, i, j = 0.0, path.x_start, path.y_start
    row = np.append(story.log_start, story.log_empty)
    for state in path.states:
        total += row[state]
        if state == 0:
            total += math.log(story.match[x[i], y[j]])
        elif state <= story.n_gaps:
            total += math.log(story.insert[y[j]])
        else:
            total += math.log(story.delete[x[i]])
        i, j = i + (state == 0 or state > story.n_gaps), j + (state <= story.n_gaps)
        row = np.append(story.log_transitions[state], story.log_end[state])
    total += row[-1]
    stop, go = math.log(story.background_stop), math.log1p(-story.background_stop)
    for free_x, free_y in ((x[: path.x_start], y[: path.y_start]), (x[i:], y[j:])):
        letters = np.log(story.background)[np.concatenate([free_x, free_y])].sum()
        n = len(free_x) + len(free_y)
        if story.ends == "global":
            assert n == 0
        elif story.ends == "local":
            total += 2 * stop + n * go + letters
        elif story.ends == "read":
            assert len(free_y) == 0
            total += stop + n * go + letters
        else:
            assert len(free_x) == 0 or len(free_y) == 0
            total += stop + n * go + letters + (math.log(0.5) if n else 0.0)
    return total


def _alignments(story: PairHiddenMarkov, n: int, m: int) -> list[PairPath]:
    """Every alignment of n with m letters, the empty ones among them."""
    gaps = story.n_gaps
    found = []
    for i0, j0 in itertools.product(range(n + 1), range(m + 1)):
        if (story.ends == "global" and i0 + j0) or (story.ends == "read" and j0):
            continue
        if story.ends == "overlap" and i0 and j0:
            continue
        stack = [((), i0, j0)]
        while stack:
            states, i, j = stack.pop()
            left_x, left_y = n - i, m - j
            if {
                "global": left_x + left_y == 0,
                "read": left_y == 0,
                "local": True,
                "overlap": left_x == 0 or left_y == 0,
            }[story.ends]:
                found.append(PairPath(np.array(states, dtype=np.uint8), gaps, i0, j0))
            for t in range(story.n_states):
                a, b = i + (t == 0 or t > gaps), j + (t <= gaps)
                if a <= n and b <= m:
                    stack.append(((*states, t), a, b))
    return found


@every_end
@both_sizes
def test_the_answers_are_those_of_all_alignments(ends: str, n_states: int) -> None:
    story = _story(ends, n_states, letters=3)
    rng = np.random.default_rng(2)
    for n, m in [(0, 0), (0, 1), (2, 0), (1, 1), (2, 3), (3, 2)]:
        x, y = rng.integers(0, 3, size=n), rng.integers(0, 3, size=m)
        pairs = Pairs.of([x], [y])
        x, y = pairs.pair(0)
        paths = _alignments(story, n, m)
        joint = np.array([_log_joint(story, x, y, path) for path in paths])
        if not paths:
            assert np.isneginf(story.log_prob(pairs)[0])
            continue
        evidence = np.logaddexp.reduce(joint)
        assert story.log_prob(pairs)[0] == pytest.approx(evidence, abs=3e-6)
        assert _in_float64(story).log_prob(pairs)[0] == pytest.approx(evidence, abs=1e-12)
        (best,), log_best = story.viterbi(pairs)
        assert log_best[0] == pytest.approx(joint.max(), abs=1e-12)
        assert _log_joint(story, x, y, best) == pytest.approx(joint.max(), abs=1e-12)
        share = np.exp(joint - evidence)
        seen = np.zeros((n + 1, m + 1, n_states))
        for p, path in zip(share, paths, strict=True):
            i = path.x_start + np.cumsum(path.takes_x)
            j = path.y_start + np.cumsum(path.takes_y)
            np.add.at(seen, (i, j, path.states), p)
        np.testing.assert_allclose(story.posterior_states(x, y), seen, atol=1e-12)
        np.testing.assert_allclose(story.posterior_matrix(x, y), seen[1:, 1:, 0], atol=1e-12)
        kept = story.posterior_matrix(x, y, threshold=0.1).toarray()
        matched = seen[1:, 1:, 0]
        np.testing.assert_allclose(kept, np.where(matched > 0.1, matched, 0.0), atol=1e-12)
        counts = story.expected_counts(pairs)
        assert counts.log_evidence == pytest.approx(evidence, abs=3e-6)
        assert counts.start[:-1].sum() == pytest.approx(counts.transitions[:, -1].sum(), abs=1e-5)
        columns = sum(p * len(path.states) for p, path in zip(share, paths, strict=True))
        letters = counts.match.sum() + counts.insert.sum() + counts.delete.sum()
        assert letters == pytest.approx(columns, abs=1e-5)
        empty = sum(p for p, path in zip(share, paths, strict=True) if not len(path.states))
        assert counts.start[-1] == pytest.approx(empty, abs=1e-6)


@every_end
@both_sizes
def test_sampled_paths_have_their_posterior_probabilities(ends: str, n_states: int) -> None:
    story = _story(ends, n_states, letters=3, seed=3)
    pairs = Pairs.of([[0, 2]], [[2, 1]])
    x, y = pairs.pair(0)
    paths = _alignments(story, 2, 2)
    key = {(tuple(p.states.tolist()), p.x_start, p.y_start): k for k, p in enumerate(paths)}
    joint = np.array([_log_joint(story, x, y, path) for path in paths])
    share = np.exp(joint - np.logaddexp.reduce(joint))
    drawn = story.sample_paths(x, y, 20_000, np.random.default_rng(5))
    places = [key[tuple(p.states.tolist()), p.x_start, p.y_start] for p in drawn]
    seen = np.bincount(places, minlength=len(paths))
    often = share * len(drawn) > 5
    observed = np.append(seen[often], seen[~often].sum())
    expected = np.append(share[often], share[~often].sum()) * len(drawn)
    keep = expected > 0
    assert stats.chisquare(observed[keep], expected[keep]).pvalue > 1e-3


@every_end
@both_sizes
def test_samples_of_long_pairs_have_their_posterior_probabilities(ends: str, n_states: int) -> None:
    # Each row of the grid has several powers of two here.
    story = _story(ends, n_states, letters=4, background_stop=0.01)
    rng = np.random.default_rng(4)
    x = rng.integers(0, 4, size=230)
    y = np.concatenate([x[:90], rng.integers(0, 4, size=20), x[110:]])
    n = 400
    shares = np.zeros((len(x), len(y)))
    for path in story.sample_paths(x, y, n, rng):
        assert path.x_end <= len(x) and path.y_end <= len(y)
        if ends == "global":
            assert (path.x_start, path.x_end, path.y_end) == (0, len(x), len(y))
        i, j = path.matched().T
        shares[i, j] += 1 / n
    p = story.posterior_matrix(x, y)
    error = np.sqrt(p * (1 - p) / n + 1e-4)
    assert np.abs((shares - p) / error).max() < 5.5


@pytest.mark.parametrize("n", [0, 1, 3])
@every_end
def test_empty_sequences_have_every_empty_alignment(ends: str, n: int) -> None:
    story = _story(ends, letters=3, seed=4)
    for pairs in (Pairs.of([[1] * n], [[]]), Pairs.of([[]], [[1] * n])):
        x, y = pairs.pair(0)
        paths = _alignments(story, len(x), len(y))
        if not paths:
            continue
        joint = np.array([_log_joint(story, x, y, path) for path in paths])
        assert story.log_prob(pairs)[0] == pytest.approx(np.logaddexp.reduce(joint), abs=3e-6)
        key = {(tuple(p.states.tolist()), p.x_start, p.y_start): k for k, p in enumerate(paths)}
        drawn = story.sample_paths(x, y, 4000, np.random.default_rng(1))
        places = [key[tuple(p.states.tolist()), p.x_start, p.y_start] for p in drawn]
        share = np.exp(joint - np.logaddexp.reduce(joint))
        error = np.sqrt(share * (1 - share) / len(drawn))
        seen = np.bincount(places, minlength=len(paths)) / len(drawn)
        assert np.all(np.abs(seen - share) <= 4.5 * error + 1e-9)


@every_end
@both_sizes
def test_all_pairs_together_have_probability_one(ends: str, n_states: int) -> None:
    """Unknown letters are summed out, so a pair of them has the probability of its lengths."""
    story = _story(ends, n_states, seed=1)
    sizes = [(n, m) for n in range(61) for m in range(61)]
    pairs = Pairs.of([np.full(n, 2) for n, _ in sizes], [np.full(m, 2) for _, m in sizes])
    lengths = np.exp(story.log_prob(pairs)).reshape(61, 61)
    # What is missing belongs to sequences of more than 60 letters.
    assert lengths.sum() == pytest.approx(1.0, abs=1e-5)
    independent = np.exp(story.log_prob_independent(pairs)).reshape(61, 61)
    assert independent.sum() == pytest.approx(1.0, abs=1e-6)
    drawn, _ = story.sample(4000, np.random.default_rng(1))
    cells = np.minimum(drawn.x.lengths, 6) * 7 + np.minimum(drawn.y.lengths, 6)
    grid = np.add.reduceat(np.add.reduceat(lengths, np.arange(7), axis=0), np.arange(7), axis=1)
    grid[:6, :6] = lengths[:6, :6]
    grid[6, :6], grid[:6, 6] = lengths[6:, :6].sum(axis=0), lengths[:6, 6:].sum(axis=1)
    grid[6, 6] = lengths[6:, 6:].sum()
    expected = grid.ravel() * 4000
    often = expected > 5
    observed = np.bincount(cells, minlength=49)
    observed = np.append(observed[often], observed[~often].sum())
    expected = np.append(expected[often], expected[~often].sum())
    expected *= 4000 / expected.sum()
    keep = expected > 1e-3
    assert not observed[~keep].any()
    expected = expected[keep] * (4000 / expected[keep].sum())
    assert stats.chisquare(observed[keep], expected).pvalue > 1e-3


@every_end
def test_unknown_letters_are_the_sum_over_letters(ends: str) -> None:
    story = _in_float64(_story(ends, letters=3))
    x, y = [0, 3, 2], [3, 1]
    explicit = [([0, a, 2], [b, 1]) for a in range(3) for b in range(3)]
    unknown = story.log_prob(Pairs.of([x], [y]))[0]
    each = story.log_prob(Pairs.of([e[0] for e in explicit], [e[1] for e in explicit]))
    assert unknown == pytest.approx(np.logaddexp.reduce(each), abs=1e-12)
    counts = story.expected_counts(Pairs.of([x], [y]))
    share = np.exp(each - unknown)
    for name in ("match", "insert", "delete", "transitions", "start"):
        parts = [
            p * getattr(story.expected_counts(Pairs.of([e[0]], [e[1]])), name)
            for p, e in zip(share, explicit, strict=True)
        ]
        np.testing.assert_allclose(getattr(counts, name), sum(parts), atol=1e-12)


@every_end
@both_sizes
def test_expected_counts_are_the_derivative_of_the_evidence(ends: str, n_states: int) -> None:
    """In softmax parameters θ of a row p with counts c: d log Z / dθ = c - p Σ c."""
    story = _story(ends, n_states, letters=3, seed=6)
    rng = np.random.default_rng(0)
    pairs = Pairs.of([rng.integers(0, 4, size=9)], [rng.integers(0, 4, size=7)])
    counts = _in_float64(story).expected_counts(pairs)

    def evidence(**changes: object) -> float:
        fields = {name: getattr(story, name) for name in story.__dataclass_fields__}
        return float(_in_float64(PairHiddenMarkov(**{**fields, **changes})).log_prob(pairs)[0])

    def check(row: np.ndarray, counted: np.ndarray, changed) -> None:
        for k in range(len(row)):
            values = []
            for step in (1e-4, -1e-4):
                moved = row * np.exp(step * (np.arange(len(row)) == k))
                values.append(evidence(**changed(moved / moved.sum())))
            slope = (values[0] - values[1]) / 2e-4
            assert slope == pytest.approx(counted[k] - row[k] * counted.sum(), abs=2e-6)

    check(story.match.ravel(), counts.match.ravel(), lambda p: {"match": p.reshape(3, 3)})
    check(story.insert, counts.insert, lambda p: {"insert": p})
    check(story.delete, counts.delete, lambda p: {"delete": p})
    first = np.exp(np.append(story.log_start, story.log_empty))
    check(first, counts.start, lambda p: {
        "log_start": np.log(p[:-1]), "log_empty": float(np.log(p[-1])),
    })  # fmt: skip
    moves = np.exp(np.column_stack([story.log_transitions, story.log_end]))
    for s in range(n_states):

        def changed(p: np.ndarray, s: int = s) -> dict[str, np.ndarray]:
            new = moves.copy()
            new[s] = p
            return {"log_transitions": np.log(new[:, :-1]), "log_end": np.log(new[:, -1])}

        check(moves[s], counts.transitions[s], changed)


def _gotoh(ends: str) -> tuple[PairHiddenMarkov, float, float, np.ndarray]:
    """A story whose best alignment is that of an aligner with affine gaps, and its scores.

    A gap of k letters has the weight δ c (ε)^(k-1) whatever comes before and after it, where c
    makes up for the match that does not follow a match (Durbin et al. 1998, section 4.1).
    """
    delta, epsilon, tau, eta = 0.03, 0.4, 0.01, 0.02
    match = np.full((4, 4), 0.02) + np.diag([0.16, 0.2, 0.18, 0.14])
    match /= match.sum()
    background = np.array([0.3, 0.2, 0.2, 0.3])
    c = (1 - epsilon) / (1 - delta)
    stay = 1 - 2 * delta - tau
    moves = np.array([
        [stay, delta, delta, tau],
        [c * stay, epsilon, c * delta, c * tau],
        [c * stay, c * delta, epsilon, c * tau],
    ])  # fmt: skip
    story = PairHiddenMarkov(
        match, background, background, np.log(moves[0, :3]), np.log(moves[:, :3]),
        np.log(moves[:, 3]), background, eta, ends, math.log(tau),
    )  # fmt: skip
    go = 1 - eta
    scores = np.log(match / np.outer(background, background)) + math.log(stay / go**2)
    return story, math.log(delta * c / go), math.log(epsilon / go), scores


def _related(rng: np.random.Generator, n: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    pairs, _ = _dna(end=0.02).sample(n, rng)
    xs, ys = zip(*(pairs.pair(k) for k in range(n)), strict=True)
    kept = [k for k in range(n) if len(xs[k]) and len(ys[k])]
    return [xs[k] for k in kept], [ys[k] for k in kept]


@pytest.mark.parametrize("ends", ["global", "local", "read"])
def test_the_best_alignment_scores_as_in_biopython(ends: str) -> None:
    align = pytest.importorskip("Bio.Align")
    arrays = pytest.importorskip("Bio.Align.substitution_matrices")
    story, opening, extending, scores = _gotoh(ends)
    aligner = align.PairwiseAligner(mode="local" if ends == "local" else "global")
    aligner.substitution_matrix = arrays.Array("ACGT", dims=2, data=scores)
    aligner.open_gap_score, aligner.extend_gap_score = opening, extending
    if ends == "read":
        # x is the target: a gap at the ends of the query is a letter of x outside the alignment.
        aligner.open_end_deletion_score = aligner.extend_end_deletion_score = 0.0
    xs, ys = _related(np.random.default_rng(4), 25)
    pairs = Pairs.of(xs, ys)
    paths, log_joint = story.viterbi(pairs)
    constant = math.log(0.01) + (2 * math.log(0.02) if ends == "local" else 0.0)
    constant -= 2 * math.log(0.02) if ends == "global" else 0.0
    for k, score in enumerate(log_joint - story.log_prob_independent(pairs)):
        x, y = ("".join("ACGT"[code] for code in s) for s in pairs.pair(k))
        assert score - constant == pytest.approx(aligner.score(x, y), abs=1e-9)
        assert _log_joint(story, *pairs.pair(k), paths[k]) == pytest.approx(log_joint[k], abs=1e-9)


def test_the_best_alignment_scores_as_in_parasail() -> None:
    parasail = pytest.importorskip("parasail")
    story, opening, extending, scores = _gotoh("global")
    unit = 1000
    matrix = parasail.matrix_create("ACGT", 1, -1)
    for a, b in itertools.product(range(4), range(4)):
        matrix[a, b] = round(scores[a, b] * unit)
    xs, ys = _related(np.random.default_rng(6), 25)
    pairs = Pairs.of(xs, ys)
    _, log_joint = story.viterbi(pairs)
    constant = math.log(0.01) - 2 * math.log(0.02)
    for k, score in enumerate(log_joint - story.log_prob_independent(pairs)):
        x, y = ("".join("ACGT"[code] for code in s) for s in pairs.pair(k))
        found = parasail.nw_scan_32(x, y, round(-opening * unit), round(-extending * unit), matrix)
        assert score - constant == pytest.approx(found.score / unit, abs=0.0005 * (len(x) + len(y)))


@every_end
def test_the_most_accurate_alignment_is_the_best_of_all(ends: str) -> None:
    story = _story(ends, letters=3, seed=8)
    rng = np.random.default_rng(3)
    for n, m in [(3, 3), (4, 2), (1, 4)]:
        x, y = (rng.integers(0, 3, size=k).astype(np.uint8) for k in (n, m))
        posterior = story.posterior_matrix(x, y)
        chains: list[tuple] = [()]
        for size in range(1, min(n, m) + 1):
            for rows in itertools.combinations(range(n), size):
                for columns in itertools.combinations(range(m), size):
                    chains.append(tuple(zip(rows, columns, strict=True)))
        for gamma in (0.5, 2.0, np.inf):
            gains = posterior - 1.0 / (gamma + 1.0)
            best = max(sum(gains[c] for c in chain) for chain in chains)
            path = story.expected_accuracy_path(x, y, gamma)
            assert sum(gains[tuple(c)] for c in path.matched()) == pytest.approx(best, abs=1e-12)
            assert math.isfinite(_log_joint(story, x, y, path))


def test_paths_leave_out_what_may_lie_outside() -> None:
    matched = np.array([[2, 1], [4, 2]])
    assert path_of(matched, 6, 5, "global").states.tolist() == [2, 2, 1, 0, 2, 0, 2, 1, 1]
    local = path_of(matched, 6, 5, "local")
    assert (local.states.tolist(), local.x_start, local.y_start) == ([0, 2, 0], 2, 1)
    assert (local.x_end, local.y_end) == (5, 3)
    np.testing.assert_array_equal(local.matched(), matched)
    read = path_of(matched, 6, 5, "read", 2)
    assert (read.states.tolist(), read.x_start, read.y_start) == ([1, 0, 3, 0, 1, 1], 2, 0)
    overlap = path_of(matched, 6, 5, "overlap")
    assert (overlap.states.tolist(), overlap.x_start, overlap.y_start) == ([1, 0, 2, 0, 2], 2, 0)
    none = path_of(np.empty((0, 2)), 2, 1, "global")
    assert none.states.tolist() == [2, 2, 1]
    assert path_of(np.empty((0, 2)), 2, 1, "local").states.tolist() == []


@pytest.mark.parametrize("two_gaps", [False, True])
def test_learning_from_unaligned_pairs_finds_what_they_were_drawn_from(two_gaps: bool) -> None:
    truth = _dna(two_gaps=two_gaps, end=0.004)
    rng = np.random.default_rng(12)
    pairs, paths = truth.sample(60 if two_gaps else 400, rng)
    rough = durbin_story(
        np.full((4, 4), 0.03) + 0.13 * np.eye(4), end=0.01,
        gap_open=[0.05, 0.01] if two_gaps else 0.05,
        gap_extend=[0.2, 0.7] if two_gaps else 0.6,
    )  # fmt: skip
    prior = PairPrior(symmetric_match=True, tie_gaps=True)
    story, report = expectation_maximisation(
        rough,
        PairBlocks(pairs, cells=2_000_000),
        prior=prior,
        max_iter=10 if two_gaps else 25,
        tol=1e-4,
    )
    assert np.all(np.diff(report.trace) > -1e-6 * np.abs(report.trace[:-1]))
    np.testing.assert_allclose(story.match, story.match.T, rtol=1e-12)
    np.testing.assert_allclose(story.insert, story.delete, rtol=1e-12)
    aligned = sum(int((path.states == 0).sum()) for path in paths)
    error = np.sqrt(truth.match / aligned)
    # Alignments are hidden, so the spread is larger than that of counts.
    np.testing.assert_allclose(story.match, truth.match, atol=6 * error.max())
    gaps = np.exp(story.log_transitions[0, 1:]).sum()
    assert gaps == pytest.approx(
        np.exp(truth.log_transitions[0, 1:]).sum(), rel=0.3 if two_gaps else 0.15
    )
    if not two_gaps:
        assert math.exp(story.log_transitions[1, 1]) == pytest.approx(0.4, abs=0.05)
    ends = np.exp(story.log_end[0])
    assert ends == pytest.approx(np.exp(truth.log_end[0]), rel=4 / math.sqrt(len(paths)))
    assert report.trace[-1] * len(pairs) > truth.log_prob(pairs).sum()


@every_end
def test_every_step_of_learning_climbs(ends: str) -> None:
    story = _in_float64(_story(ends, letters=3, seed=9))
    pairs, _ = _story(ends, letters=3, seed=10).sample(30, np.random.default_rng(2))
    weights = np.random.default_rng(3).random(30)
    prior = PairPrior(match=0.3, gaps=0.2, transitions=0.5, start=0.1)
    objectives = []
    for _ in range(6):
        found = story.statistics(Block(pairs, None, weights))
        objectives.append(found.log_evidence + story.log_prior(prior))
        story = _in_float64(story.maximise(found, prior))
    assert np.all(np.diff(objectives) > 0)


def test_learning_leaves_alone_what_it_is_told_to() -> None:
    story = _dna()
    pairs, _ = story.sample(20, np.random.default_rng(0))
    found = story.expected_counts(pairs)
    fixed = PairPrior(
        learn_match=False, learn_gaps=False, learn_transitions=False, learn_start=False
    )
    same = story.maximise(found, fixed)
    for name in ("match", "insert", "delete", "log_start", "log_transitions", "log_end"):
        np.testing.assert_allclose(getattr(same, name), getattr(story, name), atol=1e-12)
    assert story.log_prior(fixed) == 0.0
    assert story.log_prior(None) == 0.0
    # What is impossible stays so, and what was never met keeps its probabilities.
    learnt = story.maximise(found)
    assert np.array_equal(np.isneginf(learnt.log_transitions), np.isneginf(story.log_transitions))
    nothing = story.maximise(story.expected_counts(pairs, np.zeros(20)))
    np.testing.assert_allclose(nothing.match, story.match, atol=1e-12)
    np.testing.assert_allclose(nothing.log_transitions, story.log_transitions, atol=1e-12)


def test_statistics_add_up_and_weights_count_pairs() -> None:
    story = _in_float64(_dna("read", two_gaps=True))
    pairs, _ = story.sample(9, np.random.default_rng(1))
    whole = story.statistics(Block(pairs, None, np.arange(9.0)))
    parts = story.statistics(Block(pairs[:4], None, np.arange(4.0))) + story.statistics(
        Block(pairs[4:], None, np.arange(4.0, 9.0))
    )
    for name in ("log_evidence", "n_rows", "match", "insert", "delete", "start", "transitions"):
        np.testing.assert_allclose(getattr(whole, name), getattr(parts, name), rtol=1e-12)
    assert whole.n_rows == 36.0
    blocks = list(PairBlocks(pairs, np.arange(9.0), cells=1))
    assert [len(block) for block in blocks] == [1] * 9
    assert sum(len(block) for block in PairBlocks(pairs)) == 9


@pytest.mark.parametrize("two_gaps", [False, True])
def test_any_number_of_threads_gives_the_same_bits(two_gaps: bool) -> None:
    story = _dna("overlap", two_gaps=two_gaps)
    pairs, _ = story.sample(80, np.random.default_rng(7))
    results = []
    for threads in (1, 2, 3):
        with use_threads(threads):
            counts = story.expected_counts(pairs)
            results.append((story.log_prob(pairs), counts.match, counts.transitions))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@every_end
def test_batches_agree_with_pairs_one_by_one_in_float64(ends: str) -> None:
    story = _dna(ends)
    assert story._linear.tile == 8
    rng = np.random.default_rng(20)
    pairs, _ = story.sample(50, rng)
    xs = [pairs.pair(k)[0] for k in range(50)]
    ys = [pairs.pair(k)[1] for k in rng.permutation(50)]
    both = Pairs.of(xs + xs, [pairs.pair(k)[1] for k in range(50)] + ys)
    np.testing.assert_allclose(
        story.log_prob(both), _in_float64(story).log_prob(both), rtol=1e-6, atol=1e-5
    )
    assert np.median(story.log_odds(pairs)) > np.median(story.log_odds(both[50:]))


def test_log_odds_tell_related_from_unrelated_pairs() -> None:
    story = _dna("local", end=0.005)
    pairs, _ = replace(story, ends="global").sample(40, np.random.default_rng(3))
    long = np.minimum(pairs.x.lengths, pairs.y.lengths) > 40
    pairs = pairs[np.flatnonzero(long)]
    assert np.all(story.log_odds(pairs) > 0)
    rng = np.random.default_rng(4)
    apart = Pairs.of([rng.integers(0, 4, 100) for _ in range(40)], [rng.integers(0, 4, 100)] * 40)
    assert np.mean(story.log_odds(apart) < 0) > 0.9
    np.testing.assert_allclose(
        story.log_odds(apart), story.log_prob(apart) - story.log_prob_independent(apart), atol=1e-9
    )


def test_a_narrow_band_warns_and_a_wide_one_changes_nothing() -> None:
    story = _dna(end=0.002)
    rng = np.random.default_rng(5)
    x = rng.integers(0, 4, size=300).astype(np.uint8)
    y = np.concatenate([x[60:], rng.integers(0, 4, size=60)]).astype(np.uint8)
    pairs = Pairs.of([x], [y])
    full = _in_float64(story).log_prob(pairs)
    np.testing.assert_allclose(story.log_prob(pairs, band=120), full, rtol=1e-12)
    np.testing.assert_allclose(
        story.posterior_matrix(x, y, band=120), story.posterior_matrix(x, y), atol=1e-9
    )
    assert story.viterbi(pairs, band=120)[1] == pytest.approx(story.viterbi(pairs)[1])
    with pytest.warns(FabulaWarning, match="border of the band"):
        narrow = story.log_prob(pairs, band=60)
    assert narrow < full
    with pytest.raises(UsageError, match="at least 1"):
        story.log_prob(pairs, band=0)


def test_pairs_of_a_given_length_are_those_of_all_pairs_that_have_it() -> None:
    story = _story(n_states=5, letters=3, seed=11)
    rng = np.random.default_rng(1)
    free, _ = story.sample(12_000, rng)
    for length in (0, 1, 3):
        chosen = free.x.lengths == length
        given, paths = story.sample(1500, rng, x_lengths=length)
        assert np.all(given.x.lengths == length)
        assert all(path.takes_x.sum() == length for path in paths)
        ours, theirs = given.y.lengths, free.y.lengths[chosen]
        table = np.array([np.bincount(np.minimum(v, 5), minlength=6) for v in (ours, theirs)])
        table = table[:, table.min(axis=0) > 4]
        assert stats.chi2_contingency(table).pvalue > 1e-3
    with pytest.raises(CannotAnswerError, match="its ends are local"):
        _story("local").sample(1, rng, x_lengths=3)
    long, _ = _dna(end=1e-4).sample(3, rng, x_lengths=[2000, 0, 1500])
    assert long.x.lengths.tolist() == [2000, 0, 1500]


@every_end
def test_degenerate_pairs(ends: str) -> None:
    story = _dna(ends)
    xs = [[], [0], [], [4, 4, 4], [0, 1, 2]]
    ys = [[], [], [1, 2], [4], [0, 1, 2]]
    pairs = Pairs.of(xs, ys)
    log_prob = story.log_prob(pairs)
    assert not np.isnan(log_prob).any()
    assert np.isfinite(log_prob).all()
    paths, best = story.viterbi(pairs)
    assert np.all(best <= log_prob + 1e-5)
    assert len(paths) == len(pairs)
    for k in range(len(pairs)):
        x, y = pairs.pair(k)
        assert story.posterior_matrix(x, y).shape == (len(x), len(y))
        assert len(story.sample_paths(x, y, 3, np.random.default_rng(0))) == 3
        story.expected_accuracy_path(x, y)
    none = Pairs.of([], [])
    assert story.log_prob(none).shape == (0,)
    assert story.expected_counts(none).n_rows == 0.0


def test_impossible_pairs_have_no_probability_and_no_nan() -> None:
    match = np.diag([0.5, 0.5])
    story = durbin_story(match, gap_open=0.0, gap_extend=0.0, end=0.1)
    pairs = Pairs.of([[0, 1], [0, 1], [0]], [[0, 1], [1, 1], [0, 0]])
    log_prob = story.log_prob(pairs)
    assert log_prob[0] == pytest.approx(2 * math.log(0.9 * 0.5) + math.log(0.1), abs=1e-9)
    assert np.all(np.isneginf(log_prob[1:]))
    paths, best = story.viterbi(pairs)
    assert np.isneginf(best[1:]).all()
    assert paths[0].states.tolist() == [0, 0]
    counts = story.expected_counts(pairs)
    assert np.isneginf(counts.log_evidence)
    assert not np.isnan(counts.match).any()
    with pytest.raises(DataError, match="probability 0"):
        story.posterior_matrix(*pairs.pair(1))


def test_stories_are_checked_and_stored() -> None:
    story = _dna("overlap", two_gaps=True)
    again = unpack(*pack(story))
    assert again.ends == "overlap"
    np.testing.assert_array_equal(again.match, story.match)
    assert story.n_parameters == 15 + 6 + (4 + 1) + 5 + 4 * 2
    assert list(story.insert_states) == [1, 2]
    assert list(story.delete_states) == [3, 4]
    for changes, message in [
        ({"match": np.full((2, 2), 0.3)}, "match must sum to 1"),
        ({"insert": np.ones(3) / 3}, "insert must have the shape"),
        ({"background": np.array([1.0, 0.0])}, "positive probability"),
        ({"background_stop": 0.0}, "between 0 and 1"),
        ({"ends": "around"}, "one of global, read, local, overlap"),
        ({"log_end": np.log(np.full(3, 0.9))}, "log_transitions with its log_end"),
        ({"log_empty": 0.0}, "log_start with log_empty"),
        ({"match": np.array([[1.5, -0.5], [0.0, 0.0]])}, "no negative"),
    ]:
        with pytest.raises(UsageError, match=message):
            _story(**changes)
    with pytest.raises(UsageError, match="less than nothing"):
        durbin_story(np.eye(2) / 2, gap_open=0.5, gap_extend=0.1)
    with pytest.raises(UsageError, match="both be two"):
        durbin_story(np.eye(2) / 2, gap_open=[0.1, 0.1], gap_extend=0.1)
    with pytest.raises(UsageError, match="as many sequences"):
        Pairs.of([[0]], [])
    with pytest.raises(DataError, match=r"Sequence 2 of y .* code 9"):
        _dna().log_prob(Pairs.of([[0], [1]], [[0], [9]]))

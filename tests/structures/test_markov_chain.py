"""Markov chains beside a plain version of the same formulas, written with dictionaries."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from fabula.core.blocks import Block, SequenceBlocks, Sequences
from fabula.core.errors import DataError, UsageError
from fabula.persistence import load, save
from fabula.structures.chains.markov_chain import MarkovChain, MarkovChainPrior
from fabula.structures.chains.ngram_smoothing import dirichlet_shares
from fabula.structures.chains.ngram_tree import NgramTree

BEGIN, END = "<s>", "</s>"


def sequences(lists) -> Sequences:
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in lists])]).astype(np.intp)
    steps = np.concatenate([np.asarray(part, dtype=np.float64) for part in lists])
    return Sequences(steps[:, None], offsets)


def random_lists(seed: int, n: int = 60, n_symbols: int = 5, longest: int = 12):
    """Sequences whose next symbol mostly depends on the last."""
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n):
        codes = [int(rng.integers(n_symbols))]
        while len(codes) < rng.integers(1, longest + 1):
            jump = rng.choice([0, 1, 2], p=[0.2, 0.6, 0.2])
            codes.append(int((codes[-1] + jump) % n_symbols))
        lists.append(codes)
    return [*lists, []]


class Reference:
    """Chen and Goodman (1999), section 3.3 and equation 26, word for word."""

    def __init__(self, lists, n_symbols, order, ends, smoothing="kneser-ney", alphas=None):
        self.order, self.ends, self.smoothing, self.alphas = order, ends, smoothing, alphas
        self.outcomes = [*range(n_symbols), "unknown", *([END] if ends else [])]
        padded = [(BEGIN, *part, *([END] if ends else [])) for part in lists]
        self.raw = [Counter() for _ in range(order + 2)]
        for part in padded:
            for m in range(1, order + 2):
                for start in range(len(part) - m + 1):
                    self.raw[m][part[start : start + m]] += 1
        self.counts = [Counter(c) for c in self.raw]
        if smoothing == "kneser-ney":
            for m in range(1, order + 1):
                for gram in self.raw[m]:
                    if gram[0] != BEGIN:
                        self.counts[m][gram] = sum(1 for g in self.raw[m + 1] if g[1:] == gram)
        self.counts[1].pop((BEGIN,), None)
        self.after = [defaultdict(dict) for _ in range(order + 2)]
        for m in range(1, order + 2):
            for gram, count in self.counts[m].items():
                self.after[m][gram[:-1]][gram[-1]] = count
        self.discounts = [None, *(self._discounts(m) for m in range(1, order + 2))]

    def _discounts(self, m):
        n = [sum(1 for c in self.counts[m].values() if c == j) for j in range(5)]
        if min(n[1:]) > 0:
            y = n[1] / (n[1] + 2 * n[2])
            found = [j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3)]
            if min(found) > 0:
                return [0.0, *found]
        return [0.0, 0.5, 1.0, 1.5]

    def probability(self, symbol, context):
        context = tuple(context)[max(len(context) - self.order, 0) :]
        m = len(context) + 1
        shorter = self.probability(symbol, context[1:]) if context else 1.0 / len(self.outcomes)
        following = self.after[m].get(context, {})
        total = sum(following.values())
        if not total:
            return shorter
        if self.smoothing == "dirichlet":
            alpha = self.alphas[m - 1]
            return (following.get(symbol, 0) + alpha * shorter) / (total + alpha)
        taken = [self.discounts[m][min(c, 3)] for c in following.values()]
        count = following.get(symbol, 0)
        own = count - self.discounts[m][min(count, 3)]
        return own / total + sum(taken) / total * shorter

    def log_prob(self, part):
        history = (BEGIN,) if self.ends else ()
        total = 0.0
        for symbol in [*part, *([END] if self.ends else [])]:
            # Nothing is known after an unknown symbol but what shorter contexts say.
            total += np.log(self.probability(symbol, history))
            history = () if symbol == "unknown" else (*history, symbol)
        return total


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("order", [0, 1, 2, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_kneser_ney_is_that_of_the_book(order, ends, seed) -> None:
    lists = random_lists(seed, n=200 if seed else 30)
    chain = MarkovChain.learn(sequences(lists), 5, order, ends=ends)
    reference = Reference(lists, 5, order, ends)
    asked = [*random_lists(seed + 7, n=20), [0, 5, 3, 3], [5], [4, 4, 4, 4, 4]]
    expected = [reference.log_prob(["unknown" if c == 5 else c for c in part]) for part in asked]
    np.testing.assert_allclose(chain.log_prob(sequences(asked)), expected, rtol=1e-12)


def test_discounts_were_estimated_not_assumed() -> None:
    chain = MarkovChain.learn(sequences(random_lists(1, n=200)), 5, 4)
    assert not np.allclose(chain.shares.parameters[-1], (0.5, 1.0, 1.5))
    assert np.all((chain.shares.parameters > 0) & (chain.shares.parameters < (1, 2, 3)))


@pytest.mark.parametrize("ends", [True, False])
def test_dirichlet_is_the_hierarchy_of_the_book(ends) -> None:
    lists = random_lists(3)
    alphas = np.array([0.7, 2.0, 5.0, 11.0])
    tree = NgramTree.grow(sequences(lists).with_steps(codes(lists)), 5, 3, ends)
    chain = MarkovChain(tree, "dirichlet", alphas)
    reference = Reference(lists, 5, 3, ends, "dirichlet", alphas)
    asked = [*random_lists(8, n=20), [2, 5, 1]]
    expected = [reference.log_prob(["unknown" if c == 5 else c for c in part]) for part in asked]
    np.testing.assert_allclose(chain.log_prob(sequences(asked)), expected, rtol=1e-12)


def codes(lists):
    return np.concatenate([np.asarray(part, dtype=np.int64) for part in lists])


def test_order_zero_is_smoothed_frequencies() -> None:
    lists = [[0, 1, 1], [2, 1]]
    chain = MarkovChain.learn(sequences(lists), 3, 0, smoothing="dirichlet", concentration=2.0)
    counts = np.array([1, 3, 1, 0, 2])  # three symbols, the unseen one, two ends
    np.testing.assert_allclose(chain.next_probabilities([]), (counts + 2 / 5) / (7 + 2))
    almost = MarkovChain.learn(sequences(lists), 3, 0, smoothing="dirichlet", concentration=1e-12)
    np.testing.assert_allclose(almost.next_probabilities([1]), counts / 7, atol=1e-12)


def test_concentrations_have_the_greatest_evidence() -> None:
    tree = NgramTree.grow(sequences(random_lists(5, 300)).with_steps(codes(random_lists(5, 300))),
                          5, 2, True)  # fmt: skip
    found = dirichlet_shares(tree).parameters[:, 0]

    def log_evidence(level: int, alpha: float) -> float:
        """Counts of every context as they come, one observation after another (Pólya's urn)."""
        alphas = found.copy()
        alphas[level] = alpha
        lower = dirichlet_shares(tree, alphas)
        total = 0.0
        for node in np.flatnonzero(np.diff(tree.child_starts)):
            if not (tree.level(level).start <= node < tree.level(level).stop):
                continue
            seen = 0
            for child in range(tree.child_starts[node], tree.child_starts[node + 1]):
                if tree.symbols[child] == tree.beginning:
                    continue
                suffix = tree.suffixes[child]
                base = lower.probabilities[suffix] if level else 1 / tree.n_outcomes
                for drawn in range(int(tree.counts[child])):
                    total += np.log((drawn + alpha * base) / (seen + alpha))
                    seen += 1
        return total

    for level in range(3):
        best = log_evidence(level, found[level])
        assert best >= log_evidence(level, found[level] * 1.3)
        assert best >= log_evidence(level, found[level] / 1.3)


@pytest.mark.parametrize("smoothing", ["kneser-ney", "dirichlet"])
@pytest.mark.parametrize("ends", [True, False])
def test_what_may_come_next_adds_up_to_one(smoothing, ends) -> None:
    lists = random_lists(11)
    chain = MarkovChain.learn(sequences(lists), 5, 3, ends=ends, smoothing=smoothing)
    rng = np.random.default_rng(0)
    for length in range(8):
        context = rng.integers(6, size=length)  # 5 is a symbol never seen
        p = chain.next_probabilities(context)
        assert p.shape == (7 if ends else 6,)
        assert np.all(p > 0)
        assert p.sum() == pytest.approx(1.0, abs=1e-12)


def test_scores_are_those_of_the_next_symbols() -> None:
    chain = MarkovChain.learn(sequences(random_lists(12)), 5, 3)
    part = [0, 1, 2, 5, 4, 0, 1, 2, 3, 3, 3, 3]
    scores, ends = chain.symbol_scores(sequences([part]))
    walked = [np.log(chain.next_probabilities(part[:t])[part[t]]) for t in range(len(part))]
    np.testing.assert_allclose(scores, walked, rtol=1e-12)
    assert ends[0] == pytest.approx(np.log(chain.next_probabilities(part)[6]))
    assert chain.log_prob(sequences([part]))[0] == pytest.approx(scores.sum() + ends[0])


@pytest.mark.parametrize("smoothing", ["kneser-ney", "dirichlet"])
def test_a_chain_cut_to_a_lower_order_is_the_one_learned_so(smoothing) -> None:
    x, asked = sequences(random_lists(13)), sequences(random_lists(14))
    long = MarkovChain.learn(x, 5, 4, smoothing=smoothing)
    for order in range(5):
        short = MarkovChain.learn(x, 5, order, smoothing=smoothing)
        np.testing.assert_allclose(long.cut(order).log_prob(asked), short.log_prob(asked))


def test_contexts_longer_than_every_sequence_change_nothing_of_the_counts() -> None:
    x = sequences([[0, 1], [1]])
    chain = MarkovChain.learn(x, 2, 40, smoothing="dirichlet", concentration=1.0)
    short = MarkovChain.learn(x, 2, 3, smoothing="dirichlet", concentration=1.0)
    np.testing.assert_allclose(chain.log_prob(x), short.log_prob(x), rtol=1e-14)
    assert np.isfinite(MarkovChain.learn(x, 2, 40).log_prob(x)).all()


def test_a_weight_is_so_many_copies() -> None:
    lists = random_lists(15, n=20)
    weights = np.random.default_rng(0).integers(0, 4, size=len(lists))
    copies = [part for part, w in zip(lists, weights, strict=True) for _ in range(w)]
    asked = sequences(random_lists(16))
    for smoothing in ("kneser-ney", "dirichlet"):
        weighted = MarkovChain.learn(
            sequences(lists), 5, 2, weights=weights.astype(float), smoothing=smoothing,
            concentration=None if smoothing == "kneser-ney" else 3.0,
        )  # fmt: skip
        copied = MarkovChain.learn(
            sequences(copies), 5, 2, smoothing=smoothing,
            concentration=None if smoothing == "kneser-ney" else 3.0,
        )  # fmt: skip
        np.testing.assert_allclose(weighted.log_prob(asked), copied.log_prob(asked), rtol=1e-12)


def test_statistics_add_and_learn_the_same_chain() -> None:
    lists = random_lists(17)
    x, weights = sequences(lists), np.random.default_rng(1).uniform(0, 2, size=len(lists))
    weights[3] = 0.0
    whole = MarkovChain.learn(x, 5, 2, smoothing="dirichlet", weights=weights)
    parts = [
        whole.statistics(whole.prepare(block))
        for block in SequenceBlocks(x, None, weights, steps=40)
    ]
    assert len(parts) > 3
    together = parts[0]
    for part in parts[1:]:
        together = together + part
    assert together.n_rows == pytest.approx(weights.sum())
    assert together.log_evidence == pytest.approx(float(weights @ whole.log_prob(x)))
    again = whole.maximise(together)
    np.testing.assert_allclose(again.log_prob(x), whole.log_prob(x), rtol=1e-12)


@pytest.mark.parametrize(("order", "ends"), [(0, True), (1, True), (2, True), (2, False)])
def test_the_m_step_is_the_mode_under_the_prior(order: int, ends: bool) -> None:
    """No other shares of any one context have a greater expected log joint plus log prior."""
    x = sequences(random_lists(31, n=12))
    rng = np.random.default_rng(2)
    base = MarkovChain.learn(
        x, 5, order, ends=ends, smoothing="dirichlet", concentration=3.0,
        weights=rng.uniform(0, 2, size=13),
    )  # fmt: skip
    prior = MarkovChainPrior(base.tree)
    assert base.log_prior() == 0.0
    weights = rng.uniform(0, 2, size=13)
    weights[4] = 0.0
    block = base.prepare(Block(x, None, weights))
    best = base.maximise(base.statistics(block), prior)

    def objective(chain: MarkovChain) -> float:
        return float(weights @ chain.log_prob(x)) + chain.log_prior(prior)

    greatest = objective(best)
    longest = np.flatnonzero(best.tree.is_longest)
    assert objective(base) < greatest
    for node in rng.choice(longest, 30):
        counts = best.tree.counts.copy()
        counts[node] *= rng.uniform(0.8, 1.2)
        counts[node] += 0.01
        other = MarkovChain(replace(best.tree, counts=counts), "dirichlet", best.concentrations)
        assert objective(other) < greatest + 1e-12
    shorter = ~best.tree.is_longest
    np.testing.assert_array_equal(best.tree.counts[shorter], base.tree.counts[shorter])


def test_the_prior_of_other_sequences_is_refused() -> None:
    x, other = sequences(random_lists(32)), sequences(random_lists(33))
    chain = MarkovChain.learn(x, 5, 2, smoothing="dirichlet")
    prior = MarkovChainPrior(MarkovChain.learn(other, 5, 2).tree)
    with pytest.raises(UsageError, match="different n-grams"):
        chain.maximise(chain.statistics(chain.prepare(Block(x))), prior)


def test_nothing_to_learn_from_leaves_the_chain_as_it_is() -> None:
    chain = MarkovChain.learn(sequences(random_lists(18)), 5, 2, smoothing="dirichlet")
    empty = chain.statistics(Block(sequences(random_lists(18)), None, np.zeros(61)))
    assert chain.maximise(empty) is chain


def test_kneser_ney_takes_no_part_of_a_sequence() -> None:
    x = sequences([[0, 1], [1, 1]])
    with pytest.raises(UsageError, match="whole numbers: take smoothing='dirichlet'"):
        _ = MarkovChain.learn(x, 2, 1, weights=np.array([0.5, 1.0])).shares


@pytest.mark.parametrize("smoothing", ["kneser-ney", "dirichlet"])
def test_draws_follow_the_probabilities(smoothing) -> None:
    chain = MarkovChain.learn(sequences(random_lists(19)), 5, 2, smoothing=smoothing)
    drawn = chain.sample_codes(4000, np.random.default_rng(2))
    following = defaultdict(Counter)
    for low, high in zip(drawn.offsets[:-1], drawn.offsets[1:], strict=True):
        part = drawn.steps[low:high].tolist()
        for t in range(len(part) + 1):
            context = tuple(part[max(t - 2, 0) : t])
            following[(t < 2, context)][part[t] if t < len(part) else 6] += 1
    n_checked = 0
    for (early, context), counts in following.items():
        n = sum(counts.values())
        if n < 500:
            continue
        p = chain.next_probabilities(context) if early else None
        if p is None:  # within a sequence: any beginning that leads to this context
            p = chain.next_probabilities([0, 0, 0, *context])
        p = np.delete(p, 5) / (1 - p[5])
        seen = np.array([counts[v] for v in (0, 1, 2, 3, 4, 6)]) / n
        assert np.all(np.abs(seen - p) < 4.5 * np.sqrt(p * (1 - p) / n) + 1e-9)
        n_checked += 1
    assert n_checked >= 8


def test_what_is_drawn_teaches_the_same_chain() -> None:
    chain = MarkovChain.learn(sequences(random_lists(20)), 5, 1)
    drawn = chain.sample_codes(20_000, np.random.default_rng(3))
    again = MarkovChain.learn(drawn, 5, 1)
    for context in ([], *([c] for c in range(5))):
        p, q = chain.next_probabilities(context), again.next_probabilities(context)
        # The unseen slot is never drawn; each context occurs at least 1,000 times.
        np.testing.assert_allclose(q, p, atol=5 * 0.5 / np.sqrt(1000) + p[5])


def test_temperature_has_its_limits() -> None:
    chain = MarkovChain.learn(sequences(random_lists(21)), 5, 2)
    rng = np.random.default_rng(4)
    coldest = chain.sample_codes(3, rng, temperature=0.0, max_length=30)
    first = coldest.steps[: coldest.offsets[1]]
    for t in range(len(first)):
        p = chain.next_probabilities(first[:t])
        p[5] = 0
        assert first[t] == p.argmax()
    for options in ({"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-3}):
        same = chain.sample_codes(3, rng, max_length=30, **options)
        assert np.array_equal(same.steps, coldest.steps)
    hot = chain.sample_codes(6000, rng, temperature=1e6, max_length=1).steps
    shares = np.bincount(hot, minlength=5) / 6000
    np.testing.assert_allclose(shares, 1 / 6, atol=4 * np.sqrt(5 / 36 / 6000))  # 1/6 are ends


def test_only_the_best_are_drawn() -> None:
    chain = MarkovChain.learn(sequences(random_lists(22)), 5, 0, ends=False)
    p = chain.next_probabilities([])[:5]
    best = set(np.argsort(-p)[:2].tolist())
    rng = np.random.default_rng(5)
    assert set(chain.sample_codes(1, rng, max_length=200, top_k=2).steps.tolist()) == best
    needed = p[np.argsort(-p)][:1].sum() / p.sum() + 1e-6  # a little more than one symbol has
    assert set(chain.sample_codes(1, rng, max_length=200, top_p=needed).steps.tolist()) == best


def test_sequences_of_given_lengths() -> None:
    chain = MarkovChain.learn(sequences(random_lists(23)), 5, 2)
    drawn, states = chain.sample(np.array([4, 0, 9]), np.random.default_rng(6))
    assert drawn.lengths.tolist() == [4, 0, 9]
    assert drawn.steps.shape == (13, 1)
    assert states.tolist() == [0, 0, 0]
    assert drawn.steps.max() < 5


def test_a_file_gives_back_the_chain(tmp_path) -> None:
    asked = sequences(random_lists(25))
    for smoothing in ("kneser-ney", "dirichlet"):
        chain = MarkovChain.learn(sequences(random_lists(24)), 5, 3, smoothing=smoothing)
        save(chain, tmp_path / f"{smoothing}.fabula")
        again = load(tmp_path / f"{smoothing}.fabula")
        assert np.array_equal(again.log_prob(asked), chain.log_prob(asked))


def test_damaged_trees_are_refused() -> None:
    tree = NgramTree.grow(sequences([[0, 1, 0]]).with_steps(np.array([0, 1, 0])), 2, 2, True)
    fields = (tree.n_symbols, tree.order, tree.ends, tree.symbols, tree.child_starts, tree.counts)
    rng = np.random.default_rng(0)
    n_refused = 0
    for _ in range(300):
        symbols, starts, counts = (array.copy() for array in fields[3:])
        array = (symbols, starts, counts)[rng.integers(3)]
        array[rng.integers(len(array))] = rng.integers(-2, 2 * len(array))
        try:
            chain = MarkovChain(NgramTree(*fields[:3], symbols, starts, counts), "dirichlet")
            scores = chain.log_prob(sequences([[0, 1, 2, 0, 0]]))
        except DataError:
            n_refused += 1
        else:
            assert scores.shape == (1,)
    assert n_refused > 100


def test_a_missing_step_is_named() -> None:
    with pytest.raises(DataError, match=r"Sequence 2, step 2 \(counting from 1\) is missing"):
        MarkovChain.learn(sequences([[0, 1], [1, np.nan]]), 2, 1)


def test_parameters_that_make_no_sense() -> None:
    tree = NgramTree.grow(sequences([[0]]).with_steps(np.array([0])), 1, 1, True)
    with pytest.raises(UsageError, match="smoothing must be one of"):
        MarkovChain(tree, "none")
    with pytest.raises(UsageError, match="go with smoothing='dirichlet'"):
        MarkovChain(tree, "kneser-ney", np.ones(2))
    with pytest.raises(UsageError, match="2 positive numbers"):
        MarkovChain(tree, "dirichlet", np.array([1.0, -1.0]))


def test_kenlm_walks_the_same_tree(tmp_path) -> None:
    """The back-off table of the chain, read and scored by another library (Heafield 2011)."""
    kenlm = pytest.importorskip("kenlm")
    lists = random_lists(26, n=150)
    chain = MarkovChain.learn(sequences(lists), 5, 3)
    tree, shares = chain.tree, chain.shares
    words = [*"abcde", "<unk>", "</s>", "<s>"]
    lines = ["\\data\\"]
    for m in range(1, 5):
        mine = tree.level(m)
        lines.append(f"ngram {m}={mine.stop - mine.start + (m == 1)}")
    grams = [""] * len(tree.symbols)
    for m in range(1, 5):
        lines += ["", f"\\{m}-grams:"]
        if m == 1:
            lines.append(f"{np.log10(shares.left[0] / tree.n_outcomes):.9f}\t<unk>\t0")
        for node in range(tree.level(m).start, tree.level(m).stop):
            before = grams[tree.parents[node]]
            grams[node] = f"{before} {words[tree.symbols[node]]}".strip()
            p = shares.probabilities[node]
            row = f"{np.log10(p) if p else -99:.9f}\t{grams[node]}"
            lines.append(row if m == 4 else f"{row}\t{np.log10(shares.left[node]):.9f}")
    path = tmp_path / "chain.arpa"
    path.write_text("\n".join([*lines, "", "\\end\\", ""]))
    model = kenlm.Model(str(path))
    asked = [*random_lists(27, n=50), [0, 5, 1, 2]]
    expected = [model.score(" ".join(words[c] for c in part)) * np.log(10) for part in asked]
    np.testing.assert_allclose(chain.log_prob(sequences(asked)), expected, rtol=2e-5)

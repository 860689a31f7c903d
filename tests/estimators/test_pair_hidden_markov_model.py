"""Pairs of sequences: what the model says, learns, refuses and stores."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from sklearn.base import clone

import fabula
from fabula.core.errors import (
    CannotAnswerError,
    ConvergenceWarning,
    DataError,
    FabulaError,
    UsageError,
)
from fabula.estimators.pair_hidden_markov_model import PairHiddenMarkovModel
from fabula.families.substitution import Substitution
from fabula.sequences.alignment import Alignment
from fabula.sequences.fasta import Record

X, Y = "ACGTTAGGATCCGATTACA", "ACGTAGGGTCCGAATTAC"


@pytest.fixture(scope="module")
def model() -> PairHiddenMarkovModel:
    return PairHiddenMarkovModel.from_evolution(
        "k80", distance=0.25, kappa=3.0, indel_rate=0.3, gap_extend=0.5, length=20, random_state=0
    )


# --- questions --------------------------------------------------------------------------------


def all_alignments(n: int, m: int):
    """Yield every order of matches, insertions and deletions, no deletion before an insertion."""
    for columns in range(max(n, m), n + m + 1):
        for path in itertools.product((0, 1, 2), repeat=columns):
            if sum(s != 1 for s in path) == n and sum(s != 2 for s in path) == m:
                yield path


def test_the_score_is_the_sum_over_all_alignments(model):
    story = model.story_
    total = 0.0
    x, y = [0, 2, 3], [0, 3]
    for path in all_alignments(3, 2):
        log_p = story.log_start[path[0]] + story.log_end[path[-1]]
        log_p += sum(story.log_transitions[a, b] for a, b in itertools.pairwise(path))
        i = j = 0
        p = np.exp(log_p)
        for state in path:
            if state == 0:
                p *= story.match[x[i], y[j]]
            else:
                p *= story.insert[y[j]] if state == 1 else story.delete[x[i]]
            i, j = i + (state != 1), j + (state != 2)
        total += p
    assert model.score_pairs("AGT", "AT")[0] == pytest.approx(np.log(total), abs=1e-5)  # float32


def test_pairs_come_in_many_forms(model):
    records = Record("one", "", X), Record("two", "", Y)
    expected = model.score_pairs(X, Y)
    for given in (
        (records[0], records[1]),
        ([X], [Y]),
        ([(X, Y)], None),
        ([records], None),
        ([Alignment.from_rows(X, Y + "-")], None),
    ):
        assert model.score_pairs(*given) == pytest.approx(expected)
    assert model.align(*records).names == ("one", "two")


def test_lower_case_is_the_same_and_n_sums_over_letters(model):
    assert model.score_pairs(X.lower(), Y) == pytest.approx(model.score_pairs(X, Y))
    summed = np.logaddexp.reduce([model.score_pairs("AC" + c + "T", "ACGT")[0] for c in "ACGT"])
    assert model.score_pairs("ACNT", "ACGT")[0] == pytest.approx(summed)


def test_odds_and_probabilities_of_being_related(model):
    pairs = [(X, Y), (X, "TTTTTGGGCGCGCATATAT")]
    odds = model.log_odds(pairs)
    assert odds[0] > 5 > 0 > odds[1]
    assert odds == pytest.approx(
        model.score_pairs(pairs)
        - model.story_.log_prob_independent(
            fabula.estimators.pairs.input.read_pairs(pairs, None, model._alphabet).pairs
        )
    )
    p = model.predict_related(pairs, prior=0.1)
    assert p == pytest.approx(1 / (1 + np.exp(-odds) * 9))
    assert model.predict_related(pairs, prior=0.0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("method", ["viterbi", "posterior", "sample"])
def test_an_alignment_knows_how_sure_it_is(model, method):
    alignment = model.align(X, Y, method)
    assert alignment.sequences == (X, Y)
    assert alignment.ends == (len(X), len(Y))
    matrix = model.posterior_matrix(X, Y)
    assert matrix.shape == (len(X), len(Y))
    for (i, j), sure in zip(alignment.columns, alignment.confidence, strict=True):
        if i >= 0 and j >= 0:
            assert sure == pytest.approx(matrix[i, j], abs=1e-9)
        else:
            left = 1 - (matrix[i].sum() if i >= 0 else matrix[:, j].sum())
            assert sure == pytest.approx(left, abs=1e-9)


def test_the_posterior_of_the_best_path(model):
    alignment = model.align("AGT", "AT")
    story, best = model.story_, -np.inf
    for path in all_alignments(3, 2):
        log_p = story.log_start[path[0]] + story.log_end[path[-1]]
        log_p += sum(story.log_transitions[a, b] for a, b in itertools.pairwise(path))
        i = j = 0
        for s in path:
            letters = (
                story.match[[0, 2, 3][i], [0, 3][j]] if s == 0
                else story.insert[[0, 3][j]] if s == 1 else story.delete[[0, 2, 3][i]]
            )  # fmt: skip
            log_p += np.log(letters)
            i, j = i + (s != 1), j + (s != 2)
        best = max(best, log_p)
    assert alignment.log_posterior == pytest.approx(best - model.score_pairs("AGT", "AT")[0])
    assert alignment.cigar() == "1=1D1="


def test_expected_accuracy_is_highest_for_the_posterior_alignment(model):
    matrix = model.posterior_matrix(X, Y)
    gain = {
        method: sum(matrix[i, j] for i, j in model.align(X, Y, method).pairs)
        for method in ("viterbi", "posterior", "sample")
    }
    assert gain["posterior"] >= max(gain.values()) - 1e-12


def test_samples_show_the_posterior(model):
    n = 2000
    samples = model.sample_alignments(X, Y, n, random_state=1)
    assert len(samples) == n
    share = np.zeros((len(X), len(Y)))
    for sample in samples:
        share[tuple(sample.pairs.T)] += 1 / n
    matrix = model.posterior_matrix(X, Y)
    error = np.sqrt(matrix * (1 - matrix) / n)
    assert np.all(np.abs(share - matrix) <= 5 * error + 3 / n)
    first = samples[0]
    for (i, j), sure in zip(first.columns, first.confidence, strict=True):
        if i >= 0 and j >= 0:
            assert sure == pytest.approx(share[i, j])
    again = model.sample_alignments(X, Y, n, random_state=1)
    assert again[:20] == samples[:20]


def test_samples_of_pairs_have_their_history(model):
    truth = model.sample(200, length=60, random_state=2)
    assert {len(a.sequences[0]) for a in truth} == {60}
    lengths = [int(np.sum(a.path == 0)) for a in truth]
    identities = [a.counts() for a in truth]
    share = sum(c["mismatches"] for c in identities) / sum(
        c["matches"] + c["mismatches"] for c in identities
    )
    expected = 1 - np.trace(Substitution("k80", 3.0).joint(0.25))
    assert share == pytest.approx(expected, abs=4 * np.sqrt(expected / sum(lengths)))


def test_expected_counts_are_what_samples_hold(model):
    expected = model.expected_counts(X, Y)
    samples = model.sample_alignments(X, Y, 1500, random_state=3)
    held = [a.counts() for a in samples]
    for name in held[0]:
        values = np.array([counts[name] for counts in held], dtype=float)
        error = values.std() / np.sqrt(len(values)) + 1e-9
        assert expected[name] == pytest.approx(values.mean(), abs=5 * error), name
    assert expected["mean_gap_length"] >= 1


@pytest.mark.parametrize("ends", ["local", "overlap", "read"])
def test_free_ends_leave_letters_out(ends):
    core = "ACGTTAGGATCCGATTACAGGCATTCA"
    model = PairHiddenMarkovModel.from_evolution(
        "jc69", distance=0.1, length=30, ends=ends, indel_rate=0.05
    )
    x = "TTGTGTGTTG" + core + "CCCGCG"
    y = {"local": "GAGAGA" + core + "AAAT", "overlap": core + "CCCGCG" + "ATATA", "read": core}[
        ends
    ]
    alignment = model.align(x, y)
    i, j = alignment.starts
    assert x[i : i + 10] == y[j : j + 10]
    assert i >= 8
    assert model.align(x, y, "posterior").fraction_of(alignment) > 0.9
    assert alignment.confidence.shape == (len(alignment),)


def test_a_wide_band_changes_nothing_and_a_narrow_one_warns(model):
    x, y = X * 3, (X[:30] + "GATTACA" + X * 3)[: len(X * 3)]
    wide = clone(model).set_params(band=50)
    wide.story_ = model.story_
    assert wide.score_pairs(x, y) == pytest.approx(model.score_pairs(x, y), abs=1e-4)
    assert wide.align(x, y).path.tolist() == model.align(x, y).path.tolist()
    assert wide.posterior_matrix(x, y) == pytest.approx(model.posterior_matrix(x, y), abs=1e-6)
    narrow = clone(model).set_params(band=3)
    narrow.story_ = model.story_
    with pytest.warns(fabula.FabulaWarning, match="band"):
        scores = narrow.score_pairs(x, y)
    assert scores < model.score_pairs(x, y)
    assert sum(wide.expected_counts(x, y).values()) == pytest.approx(
        sum(model.expected_counts(x, y).values()), rel=1e-4
    )
    with pytest.warns(fabula.FabulaWarning, match="band"):
        narrow.distance(x, y, interval="none")


# --- parameters -------------------------------------------------------------------------------


def test_parameters_are_what_was_given():
    model = PairHiddenMarkovModel.from_parameters(0.9, 0.05, 0.6, length=99)
    story = model.story_
    assert np.diag(story.match) == pytest.approx(np.full(4, 0.225))
    moves = np.exp(story.log_transitions)
    assert moves[0, 1:] == pytest.approx([0.05, 0.95 * 0.05])
    assert moves[1, 1] == pytest.approx(0.6)
    five = PairHiddenMarkovModel.from_parameters(0.9, (0.05, 0.01), (0.4, 0.9))
    assert five.n_states == five.story_.n_states == 5
    assert np.exp(five.story_.log_transitions[0, 1:3]) == pytest.approx([0.05, 0.01])


def test_proteins_with_a_published_matrix():
    substitution_matrices = pytest.importorskip("Bio.Align.substitution_matrices")
    from fabula.sequences.alphabets import PROTEIN

    matrix = substitution_matrices.load("BLOSUM62")
    scores = np.array([[matrix[a][b] for b in PROTEIN.letters] for a in PROTEIN.letters])
    # Robinson and Robinson (1991), as used by BLAST, in the order of the alphabet.
    pi = np.array([
        0.07805, 0.05129, 0.04487, 0.05364, 0.01925, 0.04264, 0.06295, 0.07377, 0.02199, 0.05142,
        0.09019, 0.05744, 0.02243, 0.03856, 0.05203, 0.07120, 0.05841, 0.01330, 0.03216, 0.06441,
    ])  # fmt: skip
    model = PairHiddenMarkovModel.from_scores(
        scores, gap_open=-12, gap_extend=-1, background=pi / pi.sum(), alphabet="protein"
    )
    # The λ of ungapped BLOSUM62 is 0.3176 (Altschul et al. 1997, Nucleic Acids Res. 25:3389).
    assert model.scale_ == pytest.approx(0.3176, abs=5e-4)
    assert model.align("HEAGAWGHEE", "PAWHEAE").ends == (10, 7)


def test_letters_of_ones_own():
    model = PairHiddenMarkovModel.from_scores(1, -2, -3, -1, alphabet="01")
    assert model.align("0011010", "001101").cigar() == "6=1D"


# --- learning ---------------------------------------------------------------------------------


def test_baum_welch_learns_what_was_sampled():
    match = np.full((4, 4), 0.02)
    np.fill_diagonal(match, [0.25, 0.19, 0.19, 0.13])
    true = PairHiddenMarkovModel.from_parameters(match, 0.06, 0.6, length=60)
    pairs = true.sample(60, random_state=0)
    model = PairHiddenMarkovModel(tol=1e-3, max_iter=60, pseudo_count=0.0).fit(pairs)
    assert model.converged_
    assert np.all(np.diff(model.report_.trace) >= -1e-9)
    n = sum(int(np.sum(a.path == 0)) for a in pairs)
    # Some information is lost with the alignments: twice the errors of the complete data.
    assert np.abs(model.story_.match - match).max() < 5 * 2 * np.sqrt(0.25 * 0.75 / n)
    gaps = sum(a.counts()["insertion_gaps"] for a in pairs)
    learned = np.exp(model.story_.log_transitions)
    assert learned[1, 1] == pytest.approx(0.6, abs=4 * 2 * np.sqrt(0.24 / gaps))
    assert model.score(pairs) >= true.score(pairs)


def test_symmetric_learning_exchanges_x_and_y(model):
    pairs = model.sample(8, length=30, random_state=4)
    learned = PairHiddenMarkovModel(symmetric=True, max_iter=3, tol=10.0).fit(pairs)
    assert learned.story_.match == pytest.approx(learned.story_.match.T)


def test_weights_count_pairs():
    pairs = [(X, Y), (Y, X), (X[:8], Y[:9])]
    twice = PairHiddenMarkovModel(max_iter=2, tol=100.0).fit([*pairs, pairs[0]])
    heavy = PairHiddenMarkovModel(max_iter=2, tol=100.0).fit(pairs, sample_weight=[2, 1, 1])
    assert heavy.story_.match == pytest.approx(twice.story_.match, rel=0.05)


def test_the_iteration_limit_is_told(model):
    pairs = model.sample(5, length=30, random_state=5)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        PairHiddenMarkovModel(max_iter=1, tol=0.0).fit(pairs)


@pytest.mark.parametrize("kind", ["jc69", "k80"])
def test_without_gaps_the_distance_is_the_classical_one(kind):
    rng = np.random.default_rng(6)
    process = Substitution("k80", 3.0)
    joint = rng.choice(16, size=1500, p=process.joint(0.2).ravel())
    x, y = ("".join("ACGT"[c] for c in codes) for codes in (joint // 4, joint % 4))
    counts = np.bincount(joint, minlength=16).reshape(4, 4)
    # An indel rate next to nothing leaves one alignment, that without gaps.
    model = PairHiddenMarkovModel.from_evolution(kind, distance=0.1, indel_rate=1e-7, length=1500)
    free = ("distance",) if kind == "jc69" else ("distance", "kappa")
    fit = model.distance(x, y, free=free)
    classical = Substitution.of(kind).classical_distance(counts)
    assert fit.distance.value == pytest.approx(classical, rel=1e-4)
    if kind == "jc69":
        # Variance of the distance of Jukes and Cantor (Kimura and Ohta 1972, J. Mol. Evol. 2:87).
        p = 1 - np.trace(counts) / 1500
        error = np.sqrt(p * (1 - p) / 1500) / (1 - 4 * p / 3)
        half = (np.log(fit.distance.high) - np.log(fit.distance.low)) / 2
        assert half == pytest.approx(1.96 * error / classical, rel=0.01)


def test_one_pair_without_differences_has_a_distance_from_zero():
    fit = PairHiddenMarkovModel(substitution="jc69").distance(X, X)
    assert fit.distance.value < 1e-3
    assert fit.distance.low == 0.0
    # Three substitutions would be missed with a probability of about 5 %; the profile allows 1.92.
    assert fit.distance.high == pytest.approx(1.92 / len(X), rel=0.2)


def test_the_profile_agrees_with_the_information():
    true = PairHiddenMarkovModel.from_evolution("jc69", distance=0.3, length=500)
    x, y = true.sample(1, length=400, random_state=0)[0].sequences
    model = PairHiddenMarkovModel(substitution="jc69")
    one, other = (
        model.distance(x, y, interval=how, free=("distance",)).distance
        for how in ("information", "profile")
    )
    assert one.value == other.value
    assert other.low == pytest.approx(one.low, rel=0.02)
    assert other.high == pytest.approx(one.high, rel=0.02)


def test_a_fit_shares_the_distance_and_keeps_its_intervals():
    true = PairHiddenMarkovModel.from_evolution(
        "hky85", distance=0.3, kappa=4.0, frequencies=[0.3, 0.3, 0.15, 0.25],
        indel_rate=0.15, gap_extend=0.6, length=120, random_state=0,
    )  # fmt: skip
    pairs = true.sample(12)
    model = PairHiddenMarkovModel(substitution="hky85").fit(pairs)
    truth = true.evolution_.natural()
    assert set(model.estimates_) == set(truth)
    for name, (value, low, high) in model.estimates_.items():
        assert low < value < high
        half = (high - low) / 2
        assert abs(value - truth[name]) < 2 * half, name  # about four standard errors
    assert model.n_parameters == 4 + 3
    assert model.score(pairs) > true.score(pairs) - 0.5


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    true = PairHiddenMarkovModel.from_evolution(
        "k80", distance=0.3, kappa=3.0, indel_rate=0.2, gap_extend=0.6, length=300
    )
    model = PairHiddenMarkovModel(substitution="k80")
    hits = dict.fromkeys(true.evolution_.parameters, 0)
    for pair in true.sample(50, length=200, random_state=0):
        fit = model.distance(*pair.sequences)
        for name, estimate in fit.estimates.items():
            hits[name] += estimate.low <= true.evolution_.natural()[name] <= estimate.high
    # Binomial, .95: 43 or more of 50 with a probability of 98.8 %.
    assert min(hits.values()) >= 43, hits


@pytest.mark.data
@pytest.mark.slow
def test_human_and_chimpanzee_mitochondria(data_folder):
    from fabula.sequences import read_fasta
    from fabula.sequences.rotation import rotate_to

    human, chimpanzee = (
        read_fasta(data_folder / "mtdna" / f"{name}.fasta")[0].sequence
        for name in ("rCRS", "chimpanzee")
    )
    model = PairHiddenMarkovModel(substitution="hky85", band=200)
    model.fit(rotate_to(human, chimpanzee), chimpanzee)
    counts = model.expected_counts(rotate_to(human, chimpanzee), chimpanzee)
    differences = counts["mismatches"] / (counts["matches"] + counts["mismatches"])
    # Of other individuals, 8.9 % (Arnason, Xu and Gullberg 1996, J. Mol. Evol. 42:145).
    assert differences == pytest.approx(0.089, abs=0.003)
    value, low, high = model.estimates_["distance"]
    assert low < value < high
    # More than the differences, since some sites changed twice.
    assert low > 0.089
    assert value == pytest.approx(0.097, abs=0.005)
    assert model.estimates_["kappa"][1] > 10  # transitions rule mitochondrial DNA


# --- what it refuses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ("ACGT", "", "y is empty"),
        ("ACGT", "ACET", "y, position 3: 'E' is no letter of DNA"),
        (Record("chr1", "", "ACLT"), "ACGT", r"record 'chr1' \(x\), position 3: 'L'"),
        ("AC-T", "ACGT", "position 3: '-' is a gap"),
        ("ACUT", "ACGT", "U stands in RNA"),
    ],
)
def test_sequences_that_cannot_be_read(model, x, y, message):
    for ask in (model.align, model.score_pairs, model.posterior_matrix, model.distance):
        with pytest.raises(DataError, match=message):
            ask(x, y)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((X,), UsageError, "A str is no pair"),
        (([X, Y],), UsageError, r"Pair 1 \(counted from 1\) is a str"),
        (([X], [Y, Y]), DataError, "X has 1 sequences and Y 2"),
        ((X, [Y]), UsageError, "must both be one sequence"),
        ((1, 2), UsageError, "not an int and an int"),
        (([X], None), UsageError, "is a str"),
        (([], []), DataError, "no pairs at all"),
        (([(X, 3)],), UsageError, "is a tuple of 2; expected two sequences"),
        (([X, ""], [Y, Y]), DataError, "x of pair 2 is empty"),
    ],
)
def test_what_is_no_pair(model, given, error, message):
    with pytest.raises(error, match=message):
        model.score_pairs(*given)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alphabet": "klingon1k"}, "neither 'dna'"),
        ({"alphabet": ""}, "alphabet must be"),
        ({"n_states": 4}, "n_states must be 3 or 5"),
        ({"ends": "free"}, "ends must be"),
        ({"substitution": "gtr"}, "substitution must be"),
        ({"substitution": "jc69", "alphabet": "protein"}, "a model of DNA and RNA"),
        ({"max_iter": 0}, "max_iter"),
        ({"tol": -1}, "tol must be"),
        ({"band": 0}, "band must be"),
        ({"interval": "bayes"}, "interval must be"),
        ({"frequencies": [0.25] * 4}, "of a substitution model"),
    ],
)
def test_parameters_that_make_no_sense(parameters, message):
    with pytest.raises(UsageError, match=message):
        PairHiddenMarkovModel(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PairHiddenMarkovModel.from_parameters(1.5, 0.1, 0.1), "two equal letters"),
        (lambda: PairHiddenMarkovModel.from_parameters(np.eye(3) / 3, 0.1, 0.1), r"\(4, 4\)"),
        (lambda: PairHiddenMarkovModel.from_parameters(0.9, (0.1, 0.2), 0.1), "must both be 2"),
        (lambda: PairHiddenMarkovModel.from_parameters(0.9, 0.1, 1.0), "below 1"),
        (lambda: PairHiddenMarkovModel.from_parameters(0.9, 0.1, 0.1, length=0), "positive"),
        (lambda: PairHiddenMarkovModel.from_scores(1, -1, 2, -1), "negative"),
        (lambda: PairHiddenMarkovModel.from_scores(np.eye(3)), r"\(4, 4\)"),
        (lambda: PairHiddenMarkovModel.from_scores(n_states=5), "n_states=3"),
        (lambda: PairHiddenMarkovModel.from_scores(background=[1, 0, 0, 0]), "positive prob"),
        (lambda: PairHiddenMarkovModel.from_evolution(distance=-1), "distance"),
        (lambda: PairHiddenMarkovModel.from_evolution(distance=100), "at most 10"),
        (lambda: PairHiddenMarkovModel.from_evolution(distance=0.1, kappa=1e-5), "at least 0.001"),
        (lambda: PairHiddenMarkovModel.from_evolution(distance="far"), "must be a number"),
        (lambda: PairHiddenMarkovModel.from_parameters("x", 0.1, 0.1), "must be numbers"),
        (lambda: PairHiddenMarkovModel.from_parameters(-np.eye(4) / 4, 0.1, 0.1), "none negative"),
        (lambda: PairHiddenMarkovModel.from_parameters(0.9, "a", 0.1), "gap_open must be numbers"),
        (lambda: PairHiddenMarkovModel.from_parameters(0.9, [[0.1]], 0.1), "gap_open must be one"),
        (lambda: PairHiddenMarkovModel.from_parameters(0.9, (0.6, 0.6), (0.5, 0.9)), "sum below 1"),
        (lambda: PairHiddenMarkovModel.from_parameters(0.9, 0.1, np.nan), "below 1"),
        (lambda: PairHiddenMarkovModel.from_parameters(0.9, 0.1, 0.1, length=np.inf), "positive"),
        (lambda: PairHiddenMarkovModel.from_scores("a"), "match must be numbers"),
        (lambda: PairHiddenMarkovModel.from_scores(gap_open=None), "gap_open must be a number"),
    ],
)
def test_parameters_that_cannot_be_given(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_insertions_and_deletions_open_independently_of_each_other():
    story = PairHiddenMarkovModel.from_parameters(0.9, 0.6, 0.6, length=1.0).story_
    assert np.exp(story.log_transitions[0]) == pytest.approx([0.4 * 0.4 * 0.5, 0.6, 0.4 * 0.6])
    assert np.exp(story.log_end[0]) == pytest.approx(0.4 * 0.4 * 0.5)


@pytest.mark.parametrize("ends", ["read", "local", "overlap"])
def test_the_posterior_alignment_leaves_out_what_only_chance_would_match(ends):
    related = "ACGTACGGCTAGGCTTAGAC"
    x, y = "TTTGTTGTATTTG" + related, related + "CCGCCACCCGGCC"
    if ends != "overlap":
        y = ("CCGCCACCTGGCC" if ends == "local" else "") + related
    model = PairHiddenMarkovModel.from_evolution("k80", distance=0.1, length=20, ends=ends)
    best, found, wide = (
        model.align(x, y, "viterbi"), model.align(x, y, "posterior"),
        model.align(x, y, "posterior", gamma=np.inf),
    )  # fmt: skip
    assert found.starts == best.starts and found.cigar() == best.cigar() == "20="
    assert (len(wide) > len(found)) == (ends == "local")
    assert model.align(x, y, "posterior", gamma=1.0) == found


def test_rna_frequencies_name_u():
    shares = {"A": 0.3, "C": 0.2, "G": 0.2, "U": 0.3}
    model = PairHiddenMarkovModel.from_evolution(distance=0.1, frequencies=shares, alphabet="rna")
    assert model.story_.background == pytest.approx([0.3, 0.2, 0.2, 0.3])


def test_a_distance_near_saturation_has_an_interval_from_the_profile():
    far = PairHiddenMarkovModel.from_evolution("jc69", distance=3.0, random_state=0)
    pair = far.sample(1, length=200)[0]
    model = PairHiddenMarkovModel(substitution="jc69")
    fit = model.distance(*pair.sequences)
    profile = model.distance(*pair.sequences, interval="profile").distance
    assert fit.distance.low == pytest.approx(profile.low, rel=0.02)
    assert fit.distance.high == pytest.approx(profile.high, rel=0.02)


def test_questions_that_have_no_answer(model):
    plain = PairHiddenMarkovModel.from_parameters(0.9, 0.05, 0.6)
    with pytest.raises(CannotAnswerError, match="substitution="):
        plain.distance(X, Y)
    with pytest.raises(CannotAnswerError, match="align"):
        model.predict([X])
    assert not hasattr(model, "predict_proba")
    with pytest.raises(UsageError, match="method must be"):
        model.align(X, Y, "best")
    with pytest.raises(UsageError, match="n must be"):
        model.sample(0)
    with pytest.raises(UsageError, match="free must name"):
        model.distance(X, Y, free=["speed"])
    with pytest.raises(UsageError, match="interval"):
        model.distance(X, Y, interval="bayes")


# --- as an estimator, and in files ------------------------------------------------------------


def test_parameters_can_be_listed_and_cloned():
    model = PairHiddenMarkovModel("protein", n_states=5, ends="local", random_state=3)
    again = clone(model)
    assert again.get_params() == model.get_params()
    assert again.set_params(ends="global").ends == "global"


@pytest.mark.parametrize("learned", [True, False])
def test_a_file_gives_it_back(model, tmp_path, learned):
    if learned:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = PairHiddenMarkovModel(substitution="k80").fit([(X, Y)])
    fabula.save(model, tmp_path / "pairs.fabula")
    again = fabula.load(tmp_path / "pairs.fabula")
    assert again.get_params() == model.get_params()
    assert again.score_pairs(X, Y) == model.score_pairs(X, Y)
    assert again.evolution_.natural() == model.evolution_.natural()
    assert again.align(X, Y) == model.align(X, Y)


def test_a_model_that_was_not_fitted_says_so():
    from sklearn.exceptions import NotFittedError

    with pytest.raises((NotFittedError, FabulaError)):
        PairHiddenMarkovModel().align(X, Y)

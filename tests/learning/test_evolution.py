"""Maximum likelihood of distances: closed forms, limits and second summits."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import ConvergenceWarning, UsageError
from fabula.families.substitution import Substitution
from fabula.learning.evolution import fit_evolution
from fabula.structures.pairs.blocks import Pairs
from fabula.structures.pairs.evolution import PairEvolution
from fabula.structures.pairs.hidden_markov import PairStatistics

START = PairEvolution(Substitution("k80", 2.0), 0.2, 0.1, (0.5,))


def seen(match: np.ndarray, opened: float, extended: float, closed: float):
    """Counts of an alignment that is known, so that the likelihood is that of the counts."""

    def count(model: PairEvolution) -> PairStatistics:
        s = model.n_states
        moves = np.zeros((s, s + 1))
        moves[0, 0] = match.sum()
        moves[0, 1] = moves[0, 2] = opened / 2
        moves[1, 1] = moves[2, 2] = extended / 2
        moves[1, 0] = moves[2, 0] = closed / 2
        log_p = model.explains(match, moves[:, :-1])
        none = np.zeros(4)
        return PairStatistics(log_p, 1.0, match, none, none, np.zeros(s + 1), moves)

    return count


@pytest.fixture
def match() -> np.ndarray:
    return np.rint(4000 * Substitution("k80", 3.0).joint(0.25))


def test_a_known_alignment_has_the_classical_distance(match):
    fit = fit_evolution(START, seen(match, 0.0, 30.0, 20.0), free=("distance", "kappa"))
    assert fit.converged
    # The opening of gaps depends on the distance too, but is next to nothing where none is seen.
    only = PairEvolution(Substitution("k80", 2.0), 0.2, 1e-7, (0.5,))
    fit = fit_evolution(only, seen(match, 0.0, 30.0, 20.0), free=("distance", "kappa"))
    assert fit.distance.value == pytest.approx(
        Substitution.of("k80").classical_distance(match), rel=1e-5
    )
    assert str(fit).startswith("distance 0.2")


def test_every_parameter_is_found_from_a_known_alignment(match):
    fit = fit_evolution(START, seen(match, 120.0, 180.0, 120.0))
    found = fit.evolution.natural()
    n = match.sum()
    assert found["gap_extend"] == pytest.approx(0.6, abs=1e-4)
    # g: 120 gaps begun; not begun twice at each match, once after each insertion and once
    # before each deletion.
    g = 120 / (120 + 2 * n + 60 + 60)
    t = Substitution.of("k80").classical_distance(match)
    assert found["distance"] == pytest.approx(t, rel=2e-3)
    assert found["indel_rate"] * found["distance"] == pytest.approx(-2 * np.log(1 - g), rel=1e-3)
    # On the scale of the logit, the information of 300 trials.
    low, high = (np.log(p / (1 - p)) for p in (fit.estimates["gap_extend"].low,
                                               fit.estimates["gap_extend"].high))  # fmt: skip
    assert (high - low) / 2 == pytest.approx(1.96 / np.sqrt(300 * 0.24), rel=1e-3)


def test_no_gap_leaves_an_upper_limit(match):
    fit = fit_evolution(START, seen(match, 0.0, 0.0, 0.0), free=("distance", "kappa", "indel_rate"))
    rate = fit.estimates["indel_rate"]
    assert rate.low == 0.0
    assert rate.value < 1e-5
    # 2 n places without a gap: exp(-rate t n) = exp(-1.92)
    assert rate.high == pytest.approx(1.9207 / (match.sum() * fit.distance.value), rel=0.01)


@pytest.mark.parametrize("level", [0.8, 0.99])
def test_profile_and_information_agree_where_there_is_much_data(match, level):
    count = seen(20 * match, 2400.0, 3600.0, 2400.0)
    one, other = (
        fit_evolution(START, count, interval=how, level=level) for how in ("information", "profile")
    )
    assert one.estimates["gap_extend"].value == pytest.approx(other.estimates["gap_extend"].value)
    for name, estimate in one.estimates.items():
        width = estimate.high - estimate.low
        assert other.estimates[name].low == pytest.approx(estimate.low, abs=0.02 * width)
        assert other.estimates[name].high == pytest.approx(estimate.high, abs=0.02 * width)


def test_what_nothing_tells_leaves_the_other_errors_as_they_are(match):
    # Gaps of one kind only: which of two kinds they are, nobody can tell.
    five = PairEvolution(Substitution("k80", 2.0), 0.2, 0.1, (0.5, 0.8), 0.1)
    one = fit_evolution(START, seen(match, 120.0, 180.0, 120.0))

    def count(model: PairEvolution) -> PairStatistics:
        simple = PairEvolution(
            model.substitution, model.distance, model.indel_rate, model.gap_extend[:1]
        )
        known = seen(match, 120.0, 180.0, 120.0)(simple)
        moves = np.zeros((5, 6))
        places = np.ix_([0, 1, 3], [0, 1, 3])
        moves[places] = known.transitions[:, :-1]
        share = np.log1p(-model.long_gaps) * known.transitions[0, 1:-1].sum()
        return PairStatistics(
            known.log_evidence + share, 1.0, match, *[np.zeros(4)] * 2, np.zeros(6), moves
        )

    fit = fit_evolution(five, count)
    assert (fit.estimates["gap_extend_long"].low, fit.estimates["gap_extend_long"].high) == (0, 1)
    assert fit.estimates["long_gaps"].low == 0.0
    for name in ("distance", "kappa", "indel_rate", "gap_extend"):
        assert fit.estimates[name].low == pytest.approx(one.estimates[name].low, rel=2e-3)
        assert fit.estimates[name].high == pytest.approx(one.estimates[name].high, rel=2e-3)
    assert fit.n_passes < 200


def test_what_is_not_free_stays(match):
    fit = fit_evolution(START, seen(match, 120.0, 180.0, 120.0), free=("distance",))
    found = fit.evolution.natural()
    assert found.pop("distance") != START.distance
    assert found == pytest.approx({n: v for n, v in START.natural().items() if n != "distance"})
    assert list(fit.estimates) == ["distance"]


def test_distant_sequences_do_not_run_off_to_being_unrelated():
    true = PairEvolution(Substitution("k80", 3.0), 1.0, 0.15, (0.7,))
    pairs, _ = true.story(300.0).sample(10, np.random.default_rng(5), x_lengths=300)
    process = Substitution("k80", 2.0)
    starts = [PairEvolution(process, t, 0.1, (0.7,)) for t in (0.05, 0.2, 0.5, 1.0)]
    fit = fit_evolution(starts, lambda m: m.story(300.0).expected_counts(pairs), interval="none")
    assert 0.6 < fit.distance.value < 1.6
    assert fit.log_likelihood > true.story(300.0).log_prob(pairs).sum() - 1e-3


def test_the_iteration_limit_is_told(match):
    true = PairEvolution(Substitution("k80", 3.0), 0.5, 0.3, (0.7,))
    pairs, _ = true.story(60.0).sample(4, np.random.default_rng(0), x_lengths=60)
    assert isinstance(pairs, Pairs)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        fit_evolution(
            START, lambda m: m.story(60.0).expected_counts(pairs), interval="none", max_iter=1
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"free": ("speed",)}, "not speed"),
        ({"free": ()}, "free must name"),
        ({"interval": "bayes"}, "interval must be"),
        ({"level": 1.0}, "level must lie"),
    ],
)
def test_bad_options(match, options, message):
    with pytest.raises(UsageError, match=message):
        fit_evolution(START, seen(match, 1.0, 1.0, 1.0), **options)

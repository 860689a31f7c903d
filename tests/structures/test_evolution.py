"""Evolution of pairs: its story, its symmetry and its derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import UsageError
from fabula.families.substitution import Substitution
from fabula.structures.pairs.blocks import Pairs
from fabula.structures.pairs.evolution import PairEvolution, moves_of
from fabula.structures.pairs.gaps import gap_transitions

HKY = Substitution("hky85", 3.0, np.array([0.31, 0.29, 0.13, 0.27]))
MODELS = [
    PairEvolution(Substitution("jc69"), 0.3, 0.2, (0.6,)),
    PairEvolution(HKY, 0.3, 0.3, (0.6,)),
    PairEvolution(HKY, 0.5, 0.3, (0.3, 0.9), 0.2),
]
IDS = ["jc69", "hky85", "five states"]


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_moves_are_probabilities_and_every_history_has_one_path(model):
    story = model.story(50.0)
    moves = np.exp(story.log_transitions)
    assert moves.sum(axis=1) + np.exp(story.log_end) == pytest.approx(np.ones(story.n_states))
    for delete in story.delete_states:
        for insert in story.insert_states:
            assert moves[delete, insert] == 0.0
            assert moves[insert, delete] > 0.0


def test_moves_by_hand():
    # g = 1 - exp(-.2 · .5 / 2); a gap of one kind
    g = 1 - np.exp(-0.05)
    moves = gap_transitions(g, g, [0.7], [0.7], [1.0])
    assert moves == pytest.approx(
        np.array(
            [
                [(1 - g) ** 2, g, (1 - g) * g],
                [0.3 * (1 - g), 0.7, 0.3 * g],
                [0.3, 0.0, 0.7],
            ]
        )
    )
    story = PairEvolution(HKY, 0.5, 0.2, (0.7,)).story(99.0)
    ends = np.column_stack([0.99 * moves[:, 0], 0.01 * moves[:, 0]])
    assert np.exp(story.log_transitions[:, 0]) == pytest.approx(ends[:, 0])
    assert np.exp(story.log_end) == pytest.approx(ends[:, 1])
    assert np.exp(story.log_transitions[:, 1:]) == pytest.approx(moves[:, 1:])


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_x_and_y_can_be_exchanged(model):
    rng = np.random.default_rng(0)
    x, y = [rng.integers(0, 5, n) for n in (12, 9, 1)], [rng.integers(0, 5, n) for n in (10, 3, 4)]
    story = model.story(20.0)
    forth, back = story.log_prob(Pairs.of(x, y)), story.log_prob(Pairs.of(y, x))
    assert forth == pytest.approx(back, abs=1e-5)  # some of it in float32


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_the_gradient_is_the_slope_of_the_likelihood(model):
    rng = np.random.default_rng(1)
    pairs = Pairs.of(
        [rng.integers(0, 5, n) for n in (15, 8, 20)], [rng.integers(0, 5, n) for n in (12, 11, 20)]
    )
    counts = model.story(20.0).expected_counts(pairs)
    slope = model.gradient(counts.match, moves_of(counts))
    for k in range(len(model.theta)):
        step = np.zeros(len(model.theta))
        step[k] = 1e-2
        up, down = (
            model.with_theta(model.theta + side * step)
            .story(20.0)
            .expected_counts(pairs)
            .log_evidence
            for side in (1, -1)
        )
        # Sums are in single precision, so the step is wide.
        assert slope[k] == pytest.approx((up - down) / 2e-2, abs=2e-3)


def test_the_parameters_come_back():
    model = MODELS[2]
    again = model.with_theta(model.theta)
    assert again.natural() == pytest.approx(model.natural())
    assert model.parameters == (
        "distance", "kappa", "indel_rate", "gap_extend", "gap_extend_long", "long_gaps",
    )  # fmt: skip
    assert MODELS[0].parameters == ("distance", "indel_rate", "gap_extend")


def test_mean_gap_length():
    assert MODELS[1].mean_gap_length == pytest.approx(2.5)
    assert MODELS[2].mean_gap_length == pytest.approx(0.8 / 0.7 + 0.2 / 0.1)


def test_length_says_nothing_of_being_related():
    # Unrelated letters, almost without gaps: any odds would come from the length alone.
    story = PairEvolution(Substitution("jc69"), 10.0, 1e-7).story(50.0)
    rng = np.random.default_rng(0)
    odds = [
        story.log_odds(Pairs.of([rng.integers(0, 4, n)], [rng.integers(0, 4, n)]))[0]
        for n in (10, 400)
    ]
    assert odds[0] == pytest.approx(odds[1], abs=1e-3)


def test_distance_zero_aligns_equal_letters_without_gaps():
    story = PairEvolution(Substitution("jc69"), 0.0).story(4.0)
    assert story.match == pytest.approx(np.eye(4) / 4, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distance": -1.0}, "distance must be a number that is not negative"),
        ({"distance": 0.1, "indel_rate": np.nan}, "indel_rate"),
        ({"distance": 0.1, "gap_extend": (1.0,)}, "probabilities below 1"),
        ({"distance": 0.1, "gap_extend": (0.1, 0.2, 0.3)}, "short and long"),
        ({"distance": 0.1, "long_gaps": 0.5}, "needs a second gap_extend"),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises(UsageError, match=message):
        PairEvolution(HKY, **arguments)


def test_a_file_gives_it_back(tmp_path):
    import fabula

    fabula.save(MODELS[2], tmp_path / "m.fabula")
    assert fabula.load(tmp_path / "m.fabula").natural() == MODELS[2].natural()

"""Stories of symbols told by networks: probabilities, draws and learning."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest

from fabula.core.blocks import Sequences
from fabula.core.errors import CannotAnswerError, DataError
from fabula.neural.autoregressive.chain import SpeakingChain, learn_chain, share_of_chain
from fabula.neural.autoregressive.draws import Draws, Rule
from fabula.neural.autoregressive.learning import Lessons, learn
from fabula.neural.autoregressive.story import Autoregressive
from fabula.neural.networks import CausalTransformer, GatedRecurrent, Network
from fabula.neural.training.plan import Plan
from fabula.persistence.codec import pack, unpack

SYMBOLS, CONTEXT = 3, 8


def story_of(architecture, **options) -> Autoregressive:
    module = architecture.build(jax.random.key(5))
    return Autoregressive(
        Network.of(architecture, module), SYMBOLS, **{"context": CONTEXT, **options}
    )


RECURRENT = story_of(GatedRecurrent(SYMBOLS + 2, 16, 2))
ATTENTION = story_of(CausalTransformer(SYMBOLS + 2, 16, 1, 2))


def sequences(*parts) -> Sequences:
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return Sequences(np.concatenate([np.asarray(part, dtype=np.int64) for part in parts]), offsets)


def all_of_length(length: int) -> Sequences:
    return sequences(*itertools.product(range(SYMBOLS), repeat=length))


def with_chain(share: float, **options) -> Autoregressive:
    """A story beside which a chain speaks that knows what follows two symbols."""
    codes = np.random.default_rng(4).integers(0, SYMBOLS, 40)
    x = sequences(codes, codes[::2], [0, 0, 0])
    spoken = learn_chain(x, SYMBOLS, 2, options.get("ends", True), None)
    architecture = GatedRecurrent(SYMBOLS + 2, 16, 2, options.pop("n_condition", 0))
    return story_of(architecture, beside=SpeakingChain(spoken, share), **options)


MIXED = with_chain(0.6)
STORIES = pytest.mark.parametrize(
    "story", [RECURRENT, ATTENTION, MIXED], ids=["recurrent", "attention", "with a chain"]
)


@STORIES
def test_all_sequences_together_have_the_probability_of_what_they_begin_with(story):
    """Those that end within three symbols, and those that do not, are all there are."""
    total = sum(np.exp(story.log_prob(all_of_length(n))).sum() for n in range(3))
    x = all_of_length(3)
    scores, _ = story.symbol_scores(x)
    longer = np.exp(scores.reshape(-1, 3).sum(axis=1)).sum()
    new = sum(
        np.exp(scores.sum()) * story.next_probabilities(codes)[SYMBOLS]
        for n in range(3)
        for codes in itertools.product(range(SYMBOLS), repeat=n)
        for scores in [story.symbol_scores(sequences(codes))[0]]
    )
    assert total + longer + new == pytest.approx(1.0, abs=1e-5)


@STORIES
def test_each_symbol_has_the_probability_that_was_told_for_it(story):
    """The whole sequence at once, and prefix by prefix: also beyond the context."""
    codes = np.random.default_rng(0).integers(0, SYMBOLS, 30)
    scores, ends = story.symbol_scores(sequences(codes, [], codes[:2]))
    for place in (0, 1, 7, 8, 9, 12, 29):
        told = story.next_probabilities(codes[:place])
        assert told.sum() == pytest.approx(1.0, abs=1e-6)
        assert scores[place] == pytest.approx(np.log(told[codes[place]]), abs=1e-5)
    assert ends[0] == pytest.approx(np.log(story.next_probabilities(codes)[-1]), abs=1e-5)
    assert ends[1] == pytest.approx(np.log(story.next_probabilities([])[-1]), abs=1e-5)
    np.testing.assert_allclose(scores[30:], scores[:2], atol=1e-5)


@STORIES
def test_symbols_beyond_the_context_are_forgotten_and_those_within_half_of_it_are_not(story):
    codes = np.random.default_rng(1).integers(0, SYMBOLS, 16)
    for place, remembered in ((0, False), (11, False), (12, True), (15, True)):
        changed = codes.copy()
        changed[place] = (changed[place] + 1) % SYMBOLS
        gap = np.abs(story.next_probabilities(changed) - story.next_probabilities(codes))
        assert (gap.max() > 1e-6) == remembered


@STORIES
def test_drawing_symbol_by_symbol_tells_what_reading_the_whole_tells(story):
    """The most probable path, drawn with what is kept, is that of `next_probabilities`."""
    drawn = story.sample_codes(2, np.random.default_rng(0), temperature=0.0, max_length=20)
    codes = drawn.steps[: drawn.offsets[1]]
    for place in range(len(codes)):
        told = np.delete(story.next_probabilities(codes[:place]), SYMBOLS)
        assert told.argmax() == codes[place]
    assert len(codes) == 20 or np.argmax(story.next_probabilities(codes)) == SYMBOLS + 1


@pytest.mark.parametrize("story", [RECURRENT, MIXED], ids=["recurrent", "with a chain"])
def test_draws_are_as_frequent_as_they_are_probable(story):
    n = 20_000
    x = story.sample_codes(n, np.random.default_rng(0), max_length=2)
    found: dict[tuple[int, ...], int] = {}
    for low, high in itertools.pairwise(x.offsets):
        key = tuple(x.steps[low:high].tolist())
        found[key] = found.get(key, 0) + 1
    # A symbol that was never seen is not drawn: the others share its probability.
    told = {
        codes: np.delete(shares, SYMBOLS) / (1.0 - shares[SYMBOLS])
        for length in range(2)
        for codes in itertools.product(range(SYMBOLS), repeat=length)
        for shares in [story.next_probabilities(codes)]
    }
    for codes, shares in told.items():
        before = told[()][codes[0]] if codes else 1.0
        outcomes = {codes: shares[-1]}
        if codes:
            outcomes |= {(*codes, code): shares[code] for code in range(SYMBOLS)}
        for key, p in outcomes.items():
            expected = before * p
            error = 4 * np.sqrt(expected / n)
            assert found.get(key, 0) / n == pytest.approx(expected, abs=error)


def test_other_rows_do_not_change_a_draw_and_prefixes_may_differ():
    begun = [np.array([0, 1] * 9), np.array([2]), np.zeros(0, dtype=np.int64)]
    rule, rng = Rule(), np.random.default_rng
    many = RECURRENT.continue_codes(begun, rng(3), rule=rule, max_length=25)
    one = RECURRENT.continue_codes(begun[:1], rng(3), rule=rule, max_length=25)
    np.testing.assert_array_equal(many.steps[: many.offsets[1]], one.steps)
    for codes, low in zip(begun, many.offsets[:-1], strict=True):
        np.testing.assert_array_equal(many.steps[low : low + len(codes)], codes)


def test_the_most_probable_and_the_fewest_symbols_alone_are_drawn():
    told = RECURRENT.next_probabilities([1])
    order = np.argsort(-np.delete(told, SYMBOLS))
    share = np.sort(told)[::-1]
    for options, kept in (
        ({"top_k": 2}, 2),
        ({"top_p": float(share[0]) * 0.99}, 1),
        ({"top_p": float(share[:2].sum()) * 0.999}, 2),
        ({"top_p": 0.0}, 1),
    ):
        x = RECURRENT.sample_codes(
            400, np.random.default_rng(0), prefix=[1], max_length=2, **options
        )
        seen = {int(x.steps[high - 1]) if high - low > 1 else SYMBOLS
                for low, high in itertools.pairwise(x.offsets)}  # fmt: skip
        assert seen == set(order[:kept].tolist())


def test_what_is_not_allowed_is_not_drawn():
    masks = np.ones((3, SYMBOLS + 1), dtype=bool)
    masks[0] = [True, False, True, False]
    masks[1] = [False, True, False, False]
    masks[2] = [False, False, False, True]

    def asked(codes):
        return masks[min(len(codes), 2)]

    for allowed in (masks, asked):
        x = RECURRENT.sample_codes(16, np.random.default_rng(0), allowed=allowed)
        assert set(map(tuple, x.steps.reshape(16, 2).tolist())) == {(0, 1), (2, 1)}
    by_place, by_question = (
        RECURRENT.sample_codes(16, np.random.default_rng(1), allowed=allowed, max_length=6).steps
        for allowed in (np.ones((1, 4), bool), lambda codes: np.ones(4, bool))
    )
    np.testing.assert_array_equal(by_place, by_question)
    masks[1] = False
    for allowed in (masks, asked):
        with pytest.raises(DataError, match="symbol 2 of sequence 1"):
            RECURRENT.sample_codes(16, np.random.default_rng(0), allowed=allowed)


def test_errors_name_the_sequence_that_was_asked_for():
    """Of 300 only the last begins with a symbol after which nothing is allowed."""

    def allowed(so_far):
        return np.full(SYMBOLS + 1, not (len(so_far) and so_far[0] == 2))

    draws = Draws(RECURRENT.network.build(), SYMBOLS, True, CONTEXT, Rule(allowed=allowed))
    begun = [np.array([0])] * 299 + [np.array([2])]
    with pytest.raises(DataError, match="symbol 2 of sequence 300 "):
        draws.go_on(begun, np.full(300, 3), None, 0)


def test_a_text_has_no_ends_and_one_symbol_alone_is_certain():
    text = story_of(GatedRecurrent(SYMBOLS + 2, 8, 1), ends=False)
    x = all_of_length(2)
    assert np.exp(text.log_prob(x)).sum() == pytest.approx(1.0, abs=1e-4)
    drawn, _ = text.sample(np.array([5, 0, 11]), np.random.default_rng(0))
    assert drawn.lengths.tolist() == [5, 0, 11]
    only_ends = np.array([[False] * SYMBOLS + [True]])
    with pytest.raises(DataError, match="Nothing can be drawn"):
        text.sample_codes(1, np.random.default_rng(0), allowed=only_ends)
    architecture = GatedRecurrent(3, 8, 1)
    network = Network.of(architecture, architecture.build(jax.random.key(0)))
    alone = Autoregressive(network, 1, ends=False, context=4)
    assert alone.log_prob(sequences([0] * 9, []))[1] == 0.0
    assert alone.log_prob(sequences([0] * 9))[0] == pytest.approx(9 * np.log1p(-1e-6), abs=1e-5)


def test_symbols_never_seen_have_a_small_probability_and_are_read_over():
    scores, _ = RECURRENT.symbol_scores(sequences([0, SYMBOLS, 1]))
    assert scores[1] == pytest.approx(np.log(RECURRENT.new_symbol))
    assert np.isfinite(scores).all()


def test_classes_are_mixed_and_told_apart_by_bayes_rule():
    prior = np.array([0.7, 0.3])
    story = story_of(GatedRecurrent(SYMBOLS + 2, 16, 1, n_condition=2), class_prior=prior)
    x = sequences([0, 1, 2, 2], [1], [])
    joint = np.stack(
        [story.log_prob(x, np.tile(row, (3, 1))) for row in np.eye(2)], axis=1
    ) + np.log(prior)
    np.testing.assert_allclose(story.log_joint(x), joint, atol=1e-6)
    np.testing.assert_allclose(story.log_prob(x), np.logaddexp(*joint.T), atol=1e-5)
    scores, ends = story.symbol_scores(x)
    assert scores[:4].sum() + ends[0] == pytest.approx(np.logaddexp(*joint[0]), abs=1e-5)
    told = story.next_probabilities([0, 1])
    assert told[2] == pytest.approx(np.exp(scores[2]), rel=1e-4)
    drawn = story.sample_codes(3, np.random.default_rng(0), max_length=3)
    assert len(drawn) == 3
    numbers = story_of(GatedRecurrent(SYMBOLS + 2, 8, 1, n_condition=2))
    with pytest.raises(CannotAnswerError, match="numbers"):
        numbers.log_prob(x)


def test_files_hold_the_story():
    story = with_chain(0.4, n_condition=2, class_prior=np.array([0.5, 0.5]))
    again = unpack(*pack(story))
    x = sequences([0, 1, 2, 2], [1])
    np.testing.assert_array_equal(again.log_prob(x), story.log_prob(x))
    with pytest.raises(DataError, match="number of symbols"):
        Autoregressive(story.network, SYMBOLS + 1)
    with pytest.raises(DataError, match="even"):
        Autoregressive(story.network, SYMBOLS, context=7)


# A chain beside the network -------------------------------------------------------------------


def test_the_share_of_a_chain_is_the_most_probable_one():
    rng = np.random.default_rng(0)
    network, chain = np.log(rng.random((2, 500)))
    weights = rng.random(500)

    def mean(share):
        mixed = np.logaddexp(np.log1p(-share) + network, np.log(share) + chain)
        return np.average(mixed, weights=weights)

    share = share_of_chain(network, chain, weights)
    assert 0.01 < share < 0.99
    assert mean(share) > max(mean(share - 1e-3), mean(share + 1e-3))
    assert share_of_chain(network, network - 1.0) == pytest.approx(0.0, abs=1e-6)
    assert share_of_chain(network, network + 1.0) == pytest.approx(1.0, abs=1e-6)
    assert share_of_chain(np.zeros(0), np.zeros(0)) == 0.5
    assert share_of_chain(network, chain, np.zeros(500)) == 0.5


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_at_the_ends_one_of_both_speaks_alone(share):
    story = with_chain(share)
    x = sequences([0, 1, 2, 2, SYMBOLS, 0, 1, 1, 2, 0, 1], [1], [])
    alone = story.beside.chain if share else story_of(GatedRecurrent(SYMBOLS + 2, 16, 2))
    np.testing.assert_allclose(story.log_prob(x), alone.log_prob(x), atol=1e-6)
    drawn, expected = (
        told.sample_codes(1, np.random.default_rng(0), temperature=0.0, max_length=12).steps
        for told in (story, alone)
    )
    np.testing.assert_array_equal(drawn, expected)


def test_a_chain_of_other_symbols_or_ends_is_refused():
    other = learn_chain(sequences([0, 1, 0]), 2, 1, True, None)
    endless = learn_chain(sequences([0, 1, 2]), SYMBOLS, 1, False, None)
    for chain in (other, endless):
        with pytest.raises(DataError, match="chain"):
            story_of(GatedRecurrent(SYMBOLS + 2, 8, 1), beside=SpeakingChain(chain, 0.5))
    with pytest.raises(DataError, match="between 0 and 1"):
        SpeakingChain(endless, 1.5)


def test_a_chain_leaves_masks_and_classes_as_they_are():
    prior = np.array([0.7, 0.3])
    told = with_chain(0.3, class_prior=prior, n_condition=2)
    x = sequences([0, 1, 2, 2], [1], [])
    np.testing.assert_allclose(told.log_prob(x), np.logaddexp(*told.log_joint(x).T), atol=1e-5)
    masks = np.array([[False, True, False, False], [False, False, False, True]])
    drawn = told.sample_codes(5, np.random.default_rng(0), allowed=masks)
    assert drawn.steps.tolist() == [1] * 5
    endless = with_chain(0.5, ends=False)
    lengths = np.array([20, 0, 3])
    assert endless.sample(lengths, np.random.default_rng(0))[0].lengths.tolist() == [20, 0, 3]


# Learning -------------------------------------------------------------------------------------


def chain(n: int, seed: int) -> tuple[Sequences, np.ndarray]:
    """Sequences of a Markov chain that ends with probability 0.2, and its transitions."""
    move = np.array([[0.1, 0.6, 0.1, 0.2], [0.1, 0.1, 0.6, 0.2], [0.6, 0.1, 0.1, 0.2]])
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(n):
        part = [int(rng.integers(3))]
        while (code := int(rng.choice(4, p=move[part[-1]]))) < 3:
            part.append(code)
        parts.append(part)
    return sequences(*parts), move


def test_a_known_chain_is_learned_from_sequences_of_any_length():
    x, move = chain(1500, 0)
    story, report = learn(
        GatedRecurrent(SYMBOLS + 2, 16, 1),
        Lessons(x, SYMBOLS, True),
        Plan(batch_size=16, max_epochs=30, patience=None),
        context=16,
        learning_rate=2e-2,
        averaging=0.95,
    )
    for code in range(3):
        told = np.delete(story.next_probabilities([0, 1, code]), SYMBOLS)
        np.testing.assert_allclose(told, move[code], atol=0.06)
    fresh, _ = chain(500, 1)
    entropy = -(move * np.log(move)).sum(axis=1)[0]
    first = np.log(3.0)
    n_rest = fresh.n_steps  # each symbol, and then the end, but for the first
    expected = (len(fresh) * first + n_rest * entropy) / (n_rest + len(fresh))
    found = -story.log_prob(fresh).sum() / (n_rest + len(fresh))
    assert found == pytest.approx(expected, abs=0.02)
    assert report.validation[-1] == pytest.approx(expected, abs=0.05)


def test_a_chain_is_learned_beside_the_network():
    x, _ = chain(300, 0)
    weights = np.random.default_rng(0).integers(1, 3, 300).astype(float)
    shape, plan = GatedRecurrent(SYMBOLS + 2, 8, 1), Plan(batch_size=16, max_epochs=1)
    for scale, smoothing in ((1.0, "kneser-ney"), (0.5, "dirichlet")):
        story, _ = learn(
            shape, Lessons(x, SYMBOLS, True, weights=scale * weights), plan,
            context=16, learning_rate=1e-3, chain_order=1,
        )  # fmt: skip
        assert story.beside.chain.smoothing == smoothing
        assert story.beside.share > 0.9  # one pass teaches the network next to nothing
        expected = learn_chain(x, SYMBOLS, 1, True, scale * weights)
        np.testing.assert_allclose(
            story.beside.chain.next_probabilities([0]), expected.next_probabilities([0])
        )


def test_weights_count_sequences_and_none_may_be_held_out():
    x = sequences(*([[0, 0, 0]] * 6 + [[1, 1, 1]] * 6))
    weights = np.array([1.0] * 6 + [3.0] * 6)
    story, report = learn(
        GatedRecurrent(SYMBOLS + 2, 8, 1),
        Lessons(x, SYMBOLS, True, weights=weights),
        Plan(batch_size=4, max_epochs=150, patience=None),
        context=8,
        learning_rate=3e-2,
        averaging=0.9,
        validation_share=0.0,
    )
    assert report.validation == ()
    assert story.next_probabilities([])[:2] == pytest.approx([0.25, 0.75], abs=0.05)


def test_few_sequences_are_parted_each_at_its_end():
    x = sequences(np.arange(3).repeat(10), [0] * 20)
    kept, judged = Lessons(x, SYMBOLS, False).parted(0.1, np.random.default_rng(0))
    assert kept.x.lengths.tolist() == [27, 18] and judged.x.lengths.tolist() == [3, 2]
    np.testing.assert_array_equal(judged.x.steps, [2, 2, 2, 0, 0])
    many = Lessons(sequences(*[[0]] * 40), SYMBOLS, True)
    kept, judged = many.parted(0.1, np.random.default_rng(0))
    assert len(kept.x) == 36 and len(judged.x) == 4
    assert Lessons(sequences([0]), SYMBOLS, True).parted(0.1, np.random.default_rng(0))[1] is None

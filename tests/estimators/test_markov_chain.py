from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.base import clone

from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.estimators import GenerativeClassifier
from fabula.estimators.markov_chain import MarkovChain
from fabula.persistence import load, save

WORDS = ["anna", "hanna", "nana", "ann", "banana", "nathan", "hannah", "ana"] * 3


def test_a_text_runs_and_names_begin_and_end() -> None:
    text = MarkovChain(2).fit("".join(WORDS))
    names = MarkovChain(2).fit(WORDS)
    assert not text.story_.ends and names.story_.ends
    assert [symbol for symbol, _ in text.predict_next("an")].count(None) == 0
    assert [symbol for symbol, _ in names.predict_next("an")].count(None) == 1
    forced = MarkovChain(2, ends=True).fit("".join(WORDS))
    assert forced.story_.ends


def test_every_form_of_sequences_is_the_same_chain() -> None:
    symbols = sorted(set("".join(WORDS)))
    codes = [np.array([symbols.index(c) for c in word]) for word in WORDS]
    lengths = [len(word) for word in WORDS]
    frame = pd.DataFrame(
        {
            "who": np.repeat([f"w{i}" for i in range(len(WORDS))], lengths),
            "letter": list("".join(WORDS)),
        }
    )
    forms = {
        "texts": (WORDS, None, {}),
        "lists": ([list(word) for word in WORDS], None, {}),
        "arrays": (codes, None, {}),
        "array": (np.concatenate(codes), lengths, {}),
        "frame": (frame, None, {"sequence": "who"}),
    }
    expected = MarkovChain(2).fit(WORDS).score_samples(WORDS)
    for name, (X, given, parameters) in forms.items():
        model = MarkovChain(2, random_state=0, **parameters).fit(X, given)
        np.testing.assert_allclose(model.score_samples(X, given), expected, err_msg=name)
        assert len(model.symbols_) == len(symbols), name
        drawn = model.sample(4, max_length=30)
        if name == "texts":
            assert all(isinstance(word, str) for word in drawn)
        if name == "lists":
            assert all(isinstance(word, list) for word in drawn)
        if name in ("arrays", "array"):
            assert all(word.dtype.kind == "i" for word in drawn)
        if name == "frame":
            assert {"who", "letter"} <= set(drawn.columns)


def test_perplexity_is_two_to_the_bits_of_a_symbol() -> None:
    model = MarkovChain(2).fit(WORDS)
    log_prob = model.score_samples(["hanna", "ab"])
    n_symbols = 5 + 1 + 2 + 1  # an end is a symbol
    bits = -log_prob.sum() / n_symbols / np.log(2)
    assert model.bits_per_symbol(["hanna", "ab"]) == pytest.approx(bits)
    assert model.perplexity(["hanna", "ab"]) == pytest.approx(2**bits)
    assert model.score(["hanna", "ab"]) == pytest.approx(log_prob.sum())
    text = MarkovChain(2).fit("abracadabra" * 5)
    assert text.perplexity("abra") == pytest.approx(np.exp(-text.score_samples("abra")[0] / 4))


def test_surprise_adds_up_to_the_score() -> None:
    text = MarkovChain(3).fit("abracadabra" * 20)
    surprise = text.anomaly_scores("abracaxabra")
    assert surprise.shape == (11,)
    assert surprise.sum() == pytest.approx(-text.score_samples("abracaxabra")[0])
    assert surprise.argmax() == 6  # the letter that no one has seen
    names = MarkovChain(3).fit(WORDS)
    parts = names.anomaly_scores(["anna", "nan"])
    assert [len(part) for part in parts] == [4, 3]
    end = names.predict_next("anna")
    p_end = dict(end)[None]
    assert parts[0].sum() - np.log(p_end) == pytest.approx(-names.score_samples(["anna"])[0])


def test_new_symbols_have_a_finite_score_and_are_never_drawn() -> None:
    model = MarkovChain(2, random_state=0).fit(WORDS)
    scores = model.score_samples(["ann", "anx", "axn", "日本"])
    assert np.isfinite(scores).all()
    assert scores[1] < scores[0] and scores[3] < scores[0]
    total = sum(p for _, p in model.predict_next("an"))
    assert 0.98 < total < 1.0
    drawn = "".join(model.sample(500, temperature=5.0))
    assert set(drawn) == set("".join(WORDS))


def test_a_prefix_is_kept() -> None:
    model = MarkovChain(3, random_state=0).fit(WORDS)
    drawn = model.sample(20, prefix="ban")
    assert all(word.startswith("ban") for word in drawn)
    assert len(set(model.sample(20, prefix="ban", temperature=0))) == 1
    assert model.sample(2, prefix="hanna", max_length=5) == ["hanna", "hanna"]
    assert model.sample(3, random_state=5) == model.sample(3, random_state=5)
    text = MarkovChain(3, random_state=0).fit("abracadabra" * 20)
    assert len(text.sample(prefix="cad", max_length=50)[0]) == 50
    assert text.sample(prefix="cad", temperature=0, max_length=11) == ["cadabracada"]


def test_what_comes_next_is_sorted() -> None:
    model = MarkovChain(2).fit(WORDS)
    found = model.predict_next("an")
    probabilities = [p for _, p in found]
    assert probabilities == sorted(probabilities, reverse=True)
    assert model.predict_next("an", 2) == found[:2]
    codes = model.story_.next_probabilities([model.symbols_.index(c) for c in "an"])
    assert dict(found)["n"] == pytest.approx(codes[model.symbols_.index("n")])
    assert dict(found)[None] == pytest.approx(codes[-1])


def test_an_alphabet_lists_symbols_that_did_not_occur() -> None:
    model = MarkovChain(1, alphabet="abcdefghijklmnopqrstuvwxyz").fit(WORDS)
    assert len(model.symbols_) == 26
    found = dict(model.predict_next(""))
    assert found["z"] == found["q"] > 0
    with pytest.raises(DataError, match=r"Sequence 2, step 3 .* not in alphabet"):
        MarkovChain(1, alphabet="an").fit(["an", "anb"])
    with pytest.raises(UsageError, match="none twice"):
        MarkovChain(1, alphabet="aa").fit(["a"])
    with pytest.raises(UsageError, match="not with numbers"):
        MarkovChain(1, alphabet="ab").fit([[0, 1]])


def test_order_is_found_where_it_is_known() -> None:
    rng = np.random.default_rng(0)
    codes = [0, 0, 0]
    for _ in range(6000):  # the third symbol back decides
        codes.append(int(rng.choice(3, p=[0.1, 0.1, 0.8])) if codes[-3] else int(rng.integers(2)))
    text = "".join("abc"[c] for c in codes)
    model = MarkovChain("auto", max_order=5).fit(text)
    assert model.order_ == 3
    assert [order for order, _ in model.criteria_] == [0, 1, 2, 3, 4, 5]
    assert min(bits for _, bits in model.criteria_) == dict(model.criteria_)[3]
    pieces = [text[i : i + 50] for i in range(0, 6000, 50)]
    assert MarkovChain("auto", max_order=5, random_state=0).fit(pieces).order_ == 3
    fixed = MarkovChain(2).fit(text)
    assert fixed.order_ == 2 and not hasattr(fixed, "criteria_")


def test_a_file_gives_back_the_model(tmp_path) -> None:
    for smoothing in ("kneser-ney", "dirichlet"):
        model = MarkovChain("auto", smoothing, random_state=3).fit(WORDS)
        save(model, tmp_path / f"{smoothing}.fabula")
        again = load(tmp_path / f"{smoothing}.fabula")
        assert again.sample(5) == model.sample(5)
        assert np.array_equal(again.score_samples(WORDS), model.score_samples(WORDS))
        assert again.criteria_ == model.criteria_
        assert again.get_params() == model.get_params()
    save(MarkovChain(4), tmp_path / "unfitted.fabula")
    assert load(tmp_path / "unfitted.fabula").order == 4


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        ([], DataError, "empty"),
        (["", ""], DataError, "no symbols at all"),
        ("", DataError, "no symbols at all"),
        ([["a", None, "b"]], DataError, "Sequence 1, step 2 .* is missing"),
        ([[0.5, 1.0]], DataError, "must be 0, 1, 2"),
        ([[-1, 1]], DataError, "must be 0, 1, 2"),
        (np.zeros((4, 2)), DataError, "2 columns"),
        (5, UsageError, "must be an array"),
        ([1, 2, 3], UsageError, "list of numbers"),
    ],
)
def test_what_no_chain_can_be_learned_from(X, error, words) -> None:
    with pytest.raises(error, match=words):
        MarkovChain(1).fit(X)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"order": -1}, "order must be a whole number of at least 0"),
        ({"order": 1.5}, "order must be a whole number"),
        ({"order": "best"}, "order must be a whole number"),
        ({"max_order": -1}, "max_order"),
        ({"smoothing": "laplace"}, "smoothing must be one of kneser-ney, dirichlet"),
        ({"ends": "maybe"}, "ends must be"),
        ({"concentration": 1.0}, "goes with smoothing='dirichlet'"),
        ({"smoothing": "dirichlet", "concentration": 0.0}, "positive"),
        ({"alphabet": 3}, "alphabet must be"),
    ],
)
def test_parameters_that_make_no_sense(parameters, words) -> None:
    with pytest.raises(UsageError, match=words):
        MarkovChain(**parameters).fit(WORDS)


def test_questions_that_make_no_sense() -> None:
    model = MarkovChain(2).fit(WORDS)
    for options, words in (
        ({"n_samples": 0}, "n_samples"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": np.nan}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": 0}, "top_k"),
        ({"prefix": 3}, "prefix must be"),
        ({"prefix": "anna", "max_length": 2}, "longer than max_length"),
    ):
        with pytest.raises(UsageError, match=words):
            model.sample(**options)
    with pytest.raises(DataError, match=r"'q' \(symbol 3, counting from 1\)"):
        model.sample(prefix="anq")
    with pytest.raises(DataError, match="fitted to symbols"):
        model.score_samples([[0, 1]])
    with pytest.raises(CannotAnswerError, match="GenerativeClassifier"):
        _ = model.with_prior
    with pytest.raises(DataError, match="nothing to score"):
        MarkovChain(2).fit("abab").bits_per_symbol("")


def test_an_order_above_every_length_is_no_harm() -> None:
    long, short = MarkovChain(50).fit(["ab", "ba", "b"]), ["ab", "ba", "b", "bb"]
    assert np.isfinite(long.score_samples(short)).all()
    assert long.order_ == 50


def test_weights_are_copies() -> None:
    words, weights = ["anna", "bob", "eve"], [2, 0, 3]
    weighted = MarkovChain(2).fit(words, sample_weight=weights)
    copied = MarkovChain(2, alphabet=sorted(set("".join(words)))).fit(
        ["anna", "anna", "eve", "eve", "eve"]
    )
    np.testing.assert_allclose(weighted.score_samples(words), copied.score_samples(words))
    with pytest.raises(UsageError, match="whole numbers"):
        MarkovChain(2).fit(words, sample_weight=[0.5, 1, 1])
    assert MarkovChain(2, "dirichlet").fit(words, sample_weight=[0.5, 1, 1]).order_ == 2


def two_kinds(n: int, seed: int):
    """Sequences in which the last symbol is mostly repeated, and such in which it is not."""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for i in range(n):
        stays = 0.75 if i % 2 else 0.35
        codes = [int(rng.integers(3))]
        for _ in range(12):
            codes.append(codes[-1] if rng.random() < stays else int(rng.integers(3)))
        X.append("".join("xyz"[c] for c in codes))
        y.append("stays" if i % 2 else "jumps")
    return X, np.array(y)


@pytest.mark.parametrize("smoothing", ["kneser-ney", "dirichlet"])
def test_a_classifier_of_sequences(smoothing) -> None:
    X, y = two_kinds(400, 0)
    asked, truth = two_kinds(400, 1)
    chain = MarkovChain(1, smoothing, concentration=2.0 if smoothing == "dirichlet" else None)
    model = GenerativeClassifier(chain).fit(X, y)
    # The true chains, of which only the number of stays matters, are right this often.
    stays, jumps = (binom.pmf(np.arange(13), 12, p + (1 - p) / 3) for p in (0.75, 0.35))
    best = np.maximum(stays, jumps).sum() / 2
    right = np.mean(model.predict(asked) == truth)
    assert abs(right - best) < 3 * np.sqrt(best * (1 - best) / 400)
    np.testing.assert_allclose(model.predict_proba(asked).sum(axis=1), 1.0)
    # The same as two chains over the same symbols, compared by hand.
    chains = [clone(chain).set_params(alphabet="xyz") for _ in range(2)]
    scores = np.stack(
        [
            chain.fit([x for x, label in zip(X, y, strict=True) if label == name])
            .score_samples(asked)
            for chain, name in zip(chains, ("jumps", "stays"), strict=True)
        ]
    )  # fmt: skip
    expected = 1 / (1 + np.exp(scores[0] - scores[1]))
    np.testing.assert_allclose(model.predict_proba(asked)[:, 1], expected, atol=1e-9)


def test_sequences_without_a_label_teach_too() -> None:
    X, y = two_kinds(600, 2)
    asked, truth = two_kinds(600, 3)
    part = y.astype(object)
    part[8:] = None
    chain = MarkovChain(1, "dirichlet", concentration=1.0)
    few = GenerativeClassifier(clone(chain)).fit(X[:8], y[:8])
    semi = GenerativeClassifier(clone(chain), tol=1e-3).fit(X, part)
    log_loss = [
        -np.mean(np.log(model.predict_proba(asked)[np.arange(600), (truth == "stays").astype(int)]))
        for model in (few, semi)
    ]
    assert log_loss[1] < log_loss[0] - 0.05
    with pytest.raises(UsageError, match="take smoothing='dirichlet'"):
        GenerativeClassifier(MarkovChain(1)).fit(X, part)


@pytest.mark.parametrize(
    "chain",
    [
        MarkovChain(2, "dirichlet"),
        MarkovChain(0, "dirichlet"),
        MarkovChain(3, "dirichlet", ends=False, concentration=0.5),
        MarkovChain("auto", "dirichlet", max_order=2, random_state=0),
    ],
)
def test_em_over_sequences_without_a_label_only_climbs(chain) -> None:
    X, y = two_kinds(300, 5)
    part = y.astype(object)
    part[6:] = None
    weights = np.random.default_rng(0).uniform(0, 2, size=300)
    for options in ({}, {"sample_weight": weights}):
        model = GenerativeClassifier(clone(chain), tol=1e-9, max_iter=30)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit of iterations
            model.fit(X, part, **options)
        trace = np.array(model.report_.trace)
        assert model.report_.reason in ("converged", "iteration limit")
        assert len(trace) > 3 or model.converged_
        assert np.all(np.diff(trace) > -1e-12), np.diff(trace).min()


def test_classes_share_the_concentrations_of_all_sequences() -> None:
    """A class of two sequences says nothing of how far to trust what was counted."""
    X, y = two_kinds(300, 6)
    model = GenerativeClassifier(MarkovChain(2, "dirichlet")).fit(X, y)
    together = MarkovChain(2, "dirichlet").fit(X).story_.concentrations
    for chain in model.story_.stories:
        np.testing.assert_array_equal(chain.concentrations, together)
    assert not any(name.startswith("_shared") for name in vars(model.estimators_[0]))


def test_classes_draw_sequences_with_their_ends() -> None:
    words, codes = ["anna", "hanna", "nana"] * 4, ["12", "21", "1"] * 4
    model = GenerativeClassifier(MarkovChain(2)).fit(words + codes, ["w"] * 12 + ["c"] * 12)
    drawn, classes = model.sample(300, random_state=0)
    assert len({len(text) for text in drawn}) > 2
    for label, inner in zip(model.classes_, model.estimators_, strict=True):
        mine = [len(t) for t, c in zip(drawn, classes, strict=True) if c == label]
        alone = [len(text) for text in inner.sample(2000, random_state=1)]
        error = np.hypot(np.std(alone) / np.sqrt(len(mine)), np.std(alone) / np.sqrt(2000))
        assert abs(np.mean(mine) - np.mean(alone)) < 4 * error
    assert max(map(len, model.sample(50, 0, max_length=2)[0])) == 2
    assert [len(text) for text in model.sample(3, 0, n_steps=5)[0]] == [5, 5, 5]
    running = GenerativeClassifier(MarkovChain(1, ends=False)).fit(
        words + codes, [0] * 12 + [1] * 12
    )
    with pytest.raises(UsageError, match="how many steps"):
        running.sample(2)


def test_questions_that_a_chain_cannot_answer() -> None:
    model = MarkovChain(2).fit(WORDS)
    for name, instead in (
        ("predict", "predict_next"),
        ("predict_proba", "predict_next"),
        ("forecast", "goes on from a prefix"),
        ("impute", "look across a gap"),
        ("bic", "bits_per_symbol"),
        ("with_prior", "GenerativeClassifier"),
    ):
        assert not hasattr(model, name)
        with pytest.raises(CannotAnswerError, match=instead):
            getattr(model, name)


@pytest.mark.data
def test_names_look_like_names(data_folder) -> None:
    names = (data_folder / "names" / "names.txt").read_text().split()
    order = np.random.default_rng(0).permutation(len(names))
    train = [names[i] for i in order[:-3000]]
    test = [names[i] for i in order[-3000:]]
    model = MarkovChain(4, random_state=0).fit(train)
    # A bigram table has 2.45 nats (Karpathy's makemore); letters alone 2.82.
    assert model.bits_per_symbol(test) * np.log(2) < 2.03
    drawn = model.sample(1000)
    new = [name for name in drawn if name not in set(train)]
    assert 0.4 < len(new) / 1000 < 0.8
    # New names are as probable as those that were set aside, and far from shuffled letters.
    rng = np.random.default_rng(1)
    shuffled = ["".join(rng.permutation(list(name))) for name in test]
    bits = [model.bits_per_symbol(some) for some in (new, test, shuffled)]
    assert bits[2] > bits[1] + 1.0
    assert abs(np.mean([len(name) for name in drawn]) - np.mean([len(n) for n in train])) < 0.25


@pytest.mark.data
def test_shakespeare_takes_fewer_bits_than_compressors_need(data_folder) -> None:
    import lzma

    text = (data_folder / "shakespeare" / "input.txt").read_text()
    cut = int(0.9 * len(text))
    model = MarkovChain(5).fit(text[:cut])
    bits = model.bits_per_symbol(text[cut:])
    assert bits == pytest.approx(2.197, abs=0.005)
    whole, part = (len(lzma.compress(t.encode(), preset=6)) for t in (text, text[:cut]))
    assert bits < 0.9 * 8 * (whole - part) / (len(text) - cut)

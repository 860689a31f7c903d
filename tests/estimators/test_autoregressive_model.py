"""Networks over symbols as users meet them: forms of data, conditions, constraints, files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.estimators import GenerativeClassifier
from fabula.estimators.autoregressive_model import AutoregressiveModel
from fabula.persistence import load, save
from fabula.report.networks import describe_network

WORDS = ["anna", "hanna", "nana", "ann", "banana", "nathan", "hannah", "ana"] * 3
TURNED = [word[::-1].replace("a", "o") for word in WORDS]
CLASSES = ["f"] * len(WORDS) + ["m"] * len(TURNED)


def small(**options) -> AutoregressiveModel:
    # Few steps at a high rate: what is tested is not how well it learns, unless that is said.
    return AutoregressiveModel(
        **{
            "width": 16,
            "context": 16,
            "batch_size": 8,
            "max_epochs": 15,
            "learning_rate": 0.03,
            "patience": None,
            "random_state": 0,
            **options,
        }
    )


@pytest.fixture(scope="module")
def told() -> AutoregressiveModel:
    """A model of both kinds of words that is told which kind it is."""
    return small(max_epochs=40).fit(WORDS + TURNED, condition=CLASSES)


def test_classes_are_recovered_and_told(told):
    assert told.classes_.tolist() == ["f", "m"]
    assert np.mean(told.predict(WORDS + TURNED) == np.array(CLASSES)) > 0.95
    p = told.predict_proba(["anna", "onno"])
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    given = [told.score_samples(["anna", "onno"], condition=c) for c in ("f", "m")]
    joint = np.stack(given, axis=1) + np.log(0.5)
    np.testing.assert_allclose(p, np.exp(joint) / np.exp(joint).sum(axis=1)[:, None], atol=1e-5)
    whole = told.score_samples(["anna", "onno"])
    np.testing.assert_allclose(whole, np.logaddexp(*joint.T), atol=1e-4)
    drawn = told.sample(40, condition=["f", "m"] * 20)
    assert np.mean([("o" in word) == bool(i % 2) for i, word in enumerate(drawn) if word]) > 0.9
    assert told.sample(40, condition=["f", "m"] * 20) == drawn


def test_scores_of_steps_and_what_comes_next_agree(told):
    words = ["anna", "nan"]
    surprise = told.anomaly_scores(words, condition="f")
    assert [len(part) for part in surprise] == [4, 3]
    following = told.predict_next("anna", condition="f")
    assert [p for _, p in following] == sorted((p for _, p in following), reverse=True)
    total = -surprise[0].sum() + np.log(dict(following)[None])
    assert total == pytest.approx(told.score_samples(["anna"], condition="f")[0], abs=1e-4)
    bits = told.bits_per_symbol(words, condition="f")
    expected = -told.score(words, condition="f") / (7 + 2) / np.log(2)
    assert bits == pytest.approx(expected)
    assert told.perplexity(words, condition="f") == pytest.approx(2**bits)
    assert np.isfinite(told.score_samples(["", "日本", "axn"])).all()


def test_what_is_drawn_keeps_to_what_is_asked(told):
    assert all(word.startswith("nab") for word in told.sample(4, prefix="nab", max_length=8))
    assert {len(word) for word in told.sample(4, length=3)} == {3}
    assert set("".join(told.sample(4, allowed="ah", max_length=8))) <= set("ah")
    places = told.sample(4, allowed=["hn", None, {"t", "b"}, {None}])
    assert all(len(w) == 3 and w[0] in "hn" and w[2] in "tb" for w in places)
    asked = told.sample(4, allowed=lambda so_far: {None} if so_far.endswith("an") else "an")
    assert all(word.endswith("an") and set(word) <= set("an") for word in asked)
    further = told.sample_from(["ha", "onn"], 4)
    assert all(len(more) <= 4 for more in further)
    assert told.sample_from(["ha", ""], 0) == ["", ""]
    # The most probable path is the same whatever the seed.
    paths = told.sample(2, temperature=0, condition="f", max_length=8, random_state=1)
    assert paths == told.sample(2, temperature=0, condition="f", max_length=8, random_state=2)
    assert set(told.sample(3, top_k=1, condition="f", max_length=8)) == set(paths)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"temperature": -1}, UsageError, "temperature"),
        ({"top_p": 1.5}, UsageError, "top_p"),
        ({"top_k": 0}, UsageError, "top_k"),
        ({"prefix": "axa"}, DataError, r"'x' \(symbol 2"),
        ({"prefix": "anna", "max_length": 2}, UsageError, "longer than max_length=2"),
        ({"prefix": "anna", "length": 2}, UsageError, "longer than length=2"),
        ({"allowed": "xyz", "length": 3}, DataError, "Nothing can be drawn at symbol 1"),
        ({"allowed": [None, set()], "max_length": 8}, DataError, "Nothing can be drawn at symbol"),
        ({"allowed": 3}, UsageError, "allowed must be"),
        ({"condition": "x"}, UsageError, "There is no class 'x'"),
        ({"condition": ["m"]}, UsageError, "one class or a list of 2"),
    ],
)
def test_questions_that_make_no_sense_are_refused(told, wrong, error, message):
    with pytest.raises(error, match=message):
        told.sample(2, **wrong)


def test_files_give_the_same_answers(told, tmp_path):
    save(told, tmp_path / "words.fabula")
    again = load(tmp_path / "words.fabula")
    np.testing.assert_array_equal(again.score_samples(WORDS[:8]), told.score_samples(WORDS[:8]))
    assert again.classes_.tolist() == ["f", "m"] and again.symbols_ == told.symbols_
    assert again.report_ == told.report_
    assert again.sample(4, condition="m") == told.sample(4, condition="m")


@pytest.mark.slow
def test_a_chain_may_speak_beside_the_network(tmp_path):
    network = small(max_epochs=3).fit(WORDS)
    both = small(max_epochs=3, chain_order=3).fit(WORDS)
    assert both.score(WORDS) > network.score(WORDS)
    beside = both.story_.beside
    assert both.n_parameters == network.n_parameters + beside.chain.n_parameters + 1
    assert f"Markov chain of order 3 speaks beside it, with a share of {beside.share:.0%}" in (
        "\n".join(describe_network(both))
    )
    save(both, tmp_path / "both.fabula")
    again = load(tmp_path / "both.fabula")
    np.testing.assert_array_equal(again.score_samples(WORDS), both.score_samples(WORDS))
    assert again.sample(3, prefix="ha", random_state=1) == both.sample(
        3, prefix="ha", random_state=1
    )


def test_every_form_of_sequences_is_the_same_model():
    symbols = sorted(set("".join(WORDS)))
    codes = [np.array([symbols.index(c) for c in word]) for word in WORDS]
    lengths = [len(word) for word in WORDS]
    frame = pd.DataFrame(
        {
            "who": np.repeat([f"w{i:02d}" for i in range(len(WORDS))], lengths),
            "letter": list("".join(WORDS)),
        }
    )
    forms = {
        "texts": (WORDS, None, {}),
        "array": (np.concatenate(codes), lengths, {}),
        "frame": (frame, None, {"sequence": "who"}),
    }
    expected = None
    for name, (X, given, parameters) in forms.items():
        model = small(max_epochs=2, **parameters).fit(X, given)
        scores = model.score_samples(X, given)
        expected = scores if expected is None else expected
        np.testing.assert_allclose(scores, expected, atol=1e-4, err_msg=name)
        drawn = model.sample(2, max_length=8)
        if name == "array":
            assert all(word.dtype.kind == "i" for word in drawn)
        if name == "frame":
            assert {"who", "letter"} <= set(drawn.columns)


def test_draws_of_a_frame_without_a_column_of_sequences_stay_apart():
    frame = pd.DataFrame({"letter": list("abc" * 20)})
    model = small(width=4, context=4, max_epochs=1).fit(frame)
    drawn = model.sample(3, length=5)
    assert [list(part.columns) for part in drawn] == [["letter"]] * 3
    assert [len(part) for part in drawn] == [5] * 3
    (further,) = model.sample_from(frame, 4)
    assert list(further.columns) == ["letter"] and len(further) <= 4


def test_numbers_can_be_told():
    rng = np.random.default_rng(0)
    x = rng.normal(5.0, 3.0, size=60)
    parts = [np.full(4, int(v > 5.0)) for v in x]
    model = small(max_epochs=60).fit(parts, condition=x)
    low, high = model.sample(2, condition=[0.0, 10.0], length=4)
    assert low.tolist() == [0] * 4 and high.tolist() == [1] * 4
    assert not hasattr(model, "classes_") and not hasattr(model, "predict_proba")
    with pytest.raises(UsageError, match="fitted given numbers"):
        model.sample(2)
    with pytest.raises(DataError, match="sequence 2"):
        model.score_samples(parts[:2], condition=[1.0, np.nan])


@pytest.mark.parametrize("network", ["recurrent", "transformer"])
def test_a_text_that_repeats_is_learned(network):
    model = small(network=network, max_epochs=12, validation=0.0).fit("abracadabra" * 120)
    assert model.bits_per_symbol("abracadabra" * 20) < 0.1
    drawn = model.sample(prefix="abrac", temperature=0, max_length=44)
    assert drawn == ["abracadabra" * 4]
    assert not model.story_.ends
    with pytest.raises(CannotAnswerError, match="not fitted given classes"):
        model.predict_proba(["abra"])


@pytest.mark.slow
def test_odd_data():
    tiny = {"width": 4, "context": 4, "max_epochs": 1}
    for data in (["aaa"], ["a", "", "b"], "aaaaaaaaaa"):
        model = small(**tiny).fit(data)
        assert np.isfinite(model.score_samples(data)).all()
        assert len(model.sample(1, max_length=5)) == 1
    with pytest.raises(DataError, match="no symbols at all"):
        small(**tiny).fit(["", ""])
    with pytest.raises(DataError, match="Sequence 2, step 3"):
        small(**tiny, alphabet="ab").fit(["ab", "abc"])
    with pytest.raises(UsageError, match="each of the 2 sequences"):
        small(**tiny).fit(["ab", "a"], condition=["f"])
    with pytest.raises(DataError, match="condition of sequence 2"):
        small(**tiny).fit(["ab", "a"], condition=["f", None])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"network": "lstm"}, "network"),
        ({"width": 0}, "width"),
        ({"context": 7}, "even"),
        ({"dropout": 1.0}, "dropout"),
        ({"chain_order": -1}, "chain_order"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"max_time": 0}, "max_time"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"network": "transformer", "width": 48}, "multiple of 32"),
        ({"alphabet": "aa"}, "none twice"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        small(**wrong).fit(WORDS)


def test_interrupted_and_resumed_training_gives_the_same_weights(tmp_path):
    model = small(max_epochs=6, checkpoint=str(tmp_path / "part"))
    whole = clone(model).set_params(checkpoint=None).fit(WORDS)

    def stop(done: float, loss: float, left: float) -> None:
        if done > 0.4:
            raise KeyboardInterrupt

    model._on_progress = stop
    with pytest.raises(KeyboardInterrupt):
        model.fit(WORDS)
    model._on_progress = None
    model.fit(WORDS)
    for name, array in whole.story_.network.weights.items():
        np.testing.assert_array_equal(model.story_.network.weights[name], array, err_msg=name)


@pytest.mark.slow
def test_a_classifier_has_one_for_each_class(tmp_path):
    inner = small(max_epochs=20)
    model = GenerativeClassifier(inner).fit(WORDS + TURNED, CLASSES)
    assert np.mean(model.predict(WORDS + TURNED) == np.array(CLASSES)) > 0.95
    drawn, classes = model.sample(3, n_steps=5)
    assert {len(word) for word in drawn} == {5} and set(classes) <= {"f", "m"}
    save(model, tmp_path / "two.fabula")
    again = load(tmp_path / "two.fabula")
    np.testing.assert_array_equal(again.predict_proba(WORDS[:3]), model.predict_proba(WORDS[:3]))

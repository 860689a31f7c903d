"""Texts as bags of words."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from fabula import NaiveBayes


@pytest.fixture
def messages():
    return pl.DataFrame(
        {
            "text": [
                "win a free prize now",
                "free prize call now",
                "call me tonight",
                "see you tonight at home",
                "win win win free",
                "are you at home now",
                "dinner at home tonight",
                "prize waiting call free number",
            ],
            "length": [20, 19, 15, 23, 16, 19, 22, 30],
            "label": ["spam", "spam", "ham", "ham", "spam", "ham", "ham", "spam"],
        }
    )


def test_words_add_up_to_the_log_odds(messages):
    X = messages.drop("label")
    model = NaiveBayes(kinds={"text": "text", "length": "continuous"}).fit(X, messages["label"])
    assert model.predict(X).tolist() == messages["label"].to_list()
    p = model.predict_log_proba(X)
    by_column = model.contributions(X)
    assert by_column.additive and set(by_column.columns) == {"text", "length"}
    np.testing.assert_allclose(by_column.log_odds()[:, 1], p[:, 1] - p[:, 0], atol=1e-9)
    by_word = model.contributions(X, words=True)
    np.testing.assert_allclose(by_word.log_odds()[:, 1], p[:, 1] - p[:, 0], atol=1e-9)
    free = by_word.columns.index("text:free")
    assert by_word.values[0, 1, free] > 0 == by_word.values[3, 1, free]


@pytest.mark.data
@pytest.mark.slow
def test_spam_filter(data_folder):
    from sklearn.metrics import log_loss, roc_auc_score

    from benchmarks.spam import cross_validate

    y, p = cross_validate(data_folder / "sms-spam/sms.tsv")
    peer = np.clip(p["scikit-learn CountVectorizer + MultinomialNB"], 1e-15, 1 - 1e-15)
    ours = p["fabula Calibrated(NaiveBayes)"]
    assert np.mean((ours > 0.5) == y) >= 0.985
    assert roc_auc_score(y, ours) >= 0.99
    assert log_loss(y, ours) < log_loss(y, peer)

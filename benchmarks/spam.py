"""A spam filter from the SMS collection: ten folds over distinct texts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

import fabula
from benchmarks.timing import print_table


def run() -> None:
    """Accuracy, ROC-AUC and log loss beside scikit-learn's multinomial naive Bayes."""
    folder = os.environ.get("FABULA_DATA")
    if not folder:
        print("skipped: set FABULA_DATA to the folder that holds sms-spam/sms.tsv")
        return
    y, predictions = cross_validate(Path(folder) / "sms-spam/sms.tsv")
    from sklearn.metrics import log_loss, roc_auc_score

    rows: list[list[object]] = []
    for name, p in predictions.items():
        clipped = np.clip(p, 1e-15, 1 - 1e-15)
        rows.append(
            [name, f"{np.mean((p > 0.5) == y):.4f}", f"{roc_auc_score(y, p):.4f}",
             f"{log_loss(y, clipped):.4f}"]
        )  # fmt: skip
    print_table(["model", "accuracy", "ROC-AUC", "log loss, nats"], rows)


def cross_validate(path: Path, n_folds: int = 10) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Held-out probabilities of spam; equal texts are always in the same fold."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.naive_bayes import MultinomialNB

    table = fabula.read_table(path)
    label, text = table.columns
    y = table[label].to_numpy()
    texts = np.array(table[text].to_list(), dtype=object)
    _, groups = np.unique(texts.astype(str), return_inverse=True)
    out = {
        name: np.zeros(len(y))
        for name in (
            "fabula NaiveBayes",
            "fabula Calibrated(NaiveBayes)",
            "scikit-learn CountVectorizer + MultinomialNB",
        )
    }
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    for train, test in folds.split(texts, y, groups):
        X, X_test = table[train].select(text), table[test].select(text)
        model = fabula.NaiveBayes().fit(X, y[train])
        out["fabula NaiveBayes"][test] = model.predict_proba(X_test)[:, 1]
        calibrated = fabula.Calibrated(fabula.NaiveBayes()).fit(X, y[train])
        out["fabula Calibrated(NaiveBayes)"][test] = calibrated.predict_proba(X_test)[:, 1]
        words = CountVectorizer().fit(texts[train])
        peer = MultinomialNB().fit(words.transform(texts[train]), y[train])
        p = peer.predict_proba(words.transform(texts[test]))[:, 1]
        out["scikit-learn CountVectorizer + MultinomialNB"][test] = p
    return y == "spam", out

from __future__ import annotations

import numpy as np

from fabula.evaluation.metrics import score_predictions
from fabula.report.findings import (
    Filled,
    about_accuracy,
    about_calibration,
    about_decisions,
    about_evidence,
    about_filling,
    about_holes,
    count_decisions,
)

CASE = np.array([True, True, True, False, False, False, False])
STATED = np.array([0.95, 0.4, 0.03, 0.02, 0.08, 0.3, 0.5])


def test_decisions_are_counted() -> None:
    decided = count_decisions("rule", CASE, STATED > 0.05, cost_of_miss=20)
    assert (decided.treated, decided.missed, decided.needless, decided.cost) == (5, 1, 3, 23)


def test_decisions_in_words() -> None:
    by_costs = count_decisions("a", CASE, STATED > 1 / 21, 20)
    by_class = count_decisions("b", CASE, STATED > 0.5, 20)
    everybody = count_decisions("c", CASE, CASE | True, 20)
    said = " ".join(
        about_decisions(by_costs, by_class, everybody, 3, 20, "biopsy", "biopsies", "cancer")
    )
    assert "from a probability of 4.8 % on" in said
    assert "5 of 7 have a biopsy: 2 of 3 cancers are found, 1 missed, and 3 biopsies" in said
    assert "2 are spared one" in said
    assert "would miss 2 and cost 1.7 times as much" in said


def test_holes_in_words() -> None:
    said = " ".join(about_holes(10, 4, 8, 0, "patient"))
    assert "4 measurements for 10 patients" in said
    assert "20 % of the cells (8) are empty; everything was measured for none of them" in said
    assert about_holes(10, 4, 0, 10, "patient")[0].endswith("all measured.")


def test_calibration_in_words() -> None:
    said = about_calibration(CASE, STATED, "cancer", "patient")
    assert len(said) == 3
    assert said[0] == (
        "3 patients got a probability of cancer below 10 %, 4.3 % on average; 1 of them (33.3 %) "
        "had it."
    )
    assert "1 patient got a probability of cancer of 90 % or more" in said[2]


def test_accuracy_in_words() -> None:
    scores = score_predictions(CASE.astype(int), STATED, n_bootstrap=0)
    said = " ".join(about_accuracy(scores, "diagnosis", "patient"))
    assert "right for 71.4 % of 7 patients" in said


def test_filling_in_words() -> None:
    said = " ".join(about_filling(Filled(100, 0.4, 1.0, 0.92, 0.9)))
    assert "error of 0.40" in said
    assert "60 % of the error is gone" in said
    assert "in 90 % of the cells, it gives one that does in 92.0 %" in said


def test_evidence_in_words() -> None:
    said = about_evidence(
        "Patient 7", 0.8, "cancer", ["a", "b", "c"], np.array([2.0, -3.0, 9.0]), [1.5, 2, None]
    )
    assert said == (
        "Patient 7 has cancer with a probability of 80.0 %.",
        "What spoke most for it: a (1.5).",
        "What spoke most against it: b (2).",
        "1 empty cell said nothing.",
    )

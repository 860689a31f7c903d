"""Verdicts on tables whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fabula import compare
from fabula.evaluation.comparing import ModelResult
from fabula.evaluation.metrics import score_predictions
from fabula.evaluation.traits import Traits
from fabula.evaluation.verdict import REASONS, judge

BOUNDARY = ["lda", "qda", "logistic", "quadratic"]
QUICK = {"n_bootstrap": 0, "calibrate": False}


def two_normals(seed, equal, n=400):
    """Correlations of opposite sign, or the same; the log-odds are quadratic, or linear."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    first = np.array([[1.0, 0.6], [0.6, 1.0]])
    second = first if equal else np.array([[1.0, -0.6], [-0.6, 1.0]])
    x = np.where(
        (y == 0)[:, None],
        rng.multivariate_normal([0, 0], first, n),
        rng.multivariate_normal([1, 1], second, n),
    )
    return x, y


def judged(seeds, equal, **options):
    """How often a quadratic model was chosen, and how often the reason was given."""
    chosen = said = 0
    for seed in seeds:
        verdict = compare(*two_normals(seed, equal), BOUNDARY, random_state=seed, **options).verdict
        chosen += verdict.chosen.startswith(("QDA", "quadratic"))
        said += "quadratic_boundary" in verdict.codes
    return chosen, said


def test_a_wrong_story_is_recognised():
    assert judged(range(5), equal=False, **QUICK) == (5, 5)
    assert judged(range(5), equal=True, **QUICK) == (0, 0)


@pytest.mark.slow
def test_a_wrong_story_is_recognised_in_95_of_100_seeds():
    chosen, said = judged(range(100), equal=False, n_bootstrap=0)
    assert chosen >= 95 and said >= 95


@pytest.mark.slow
def test_a_right_story_is_doubted_in_5_of_100_seeds():
    chosen, said = judged(range(100), equal=True, n_bootstrap=0)
    assert chosen <= 5 and said <= 5


def test_what_a_quadratic_boundary_rests_on():
    verdict = compare(*two_normals(1, equal=False), BOUNDARY, **QUICK).verdict
    reason = verdict["quadratic_boundary"]
    assert "the shared-covariance story is wrong" in reason.text
    evidence = reason.evidence["QDA - LDA"]
    assert evidence["difference"] < -0.05 and evidence["high"] < 0
    assert verdict["unequal_covariances"].evidence["nats_per_row"] > 0.1
    linear = compare(*two_normals(1, equal=True), BOUNDARY, **QUICK).verdict
    assert "linear_boundary" in linear.codes
    assert "unequal_covariances" not in linear.codes
    with pytest.raises(KeyError):
        linear["quadratic_boundary"]


def test_the_choice_among_all_models_is_quadratic_too():
    models = ["naive_bayes", *BOUNDARY, "gaussian_mixture"]
    result = compare(*two_normals(1, equal=False), models, cv=5, n_bootstrap=0)
    assert result.verdict.chosen.startswith(("QDA", "quadratic"))


def test_columns_that_are_not_independent_are_named():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    table = pd.DataFrame(
        {
            "age": rng.standard_normal(500),
            "left": rng.standard_normal(500),
            "noise": rng.standard_normal(500),
        }
    )
    table["right"] = 0.95 * table["left"] + np.sqrt(1 - 0.95**2) * rng.standard_normal(500)
    table["left"] += 0.7 * y
    table["age"] += y
    verdict = compare(table, y, ["naive_bayes", "lda"], cv=5, n_bootstrap=0).verdict
    reason = verdict["independence_wrong"]
    assert reason.evidence["columns"] == ["left", "right"]
    assert reason.evidence["correlation"] == pytest.approx(0.95, abs=0.02)
    assert "columns left and right are correlated within the classes" in reason.text
    independent = compare(table[["age", "noise"]], y, ["naive_bayes", "lda"], cv=5, n_bootstrap=0)
    assert "independence_wrong" not in independent.verdict.codes


def test_a_story_that_is_too_sure_is_told_to_cool_down():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    x = np.repeat(rng.standard_normal((500, 1)) + y[:, None], 5, axis=1)
    verdict = compare(x, y, ["naive_bayes"], cv=5, calibrate=["temperature"], n_bootstrap=0).verdict
    reason = verdict["miscalibrated"]
    assert "miscalibrated: temperature" in reason.text and "too sure of itself" in reason.text
    assert reason.evidence["inverse_temperature"] == pytest.approx(0.2, abs=0.03)
    assert verdict.chosen == "naive Bayes + temperature"
    once = compare(x[:, :1], y, ["naive_bayes"], cv=5, calibrate=["temperature"], n_bootstrap=0)
    assert "miscalibrated" not in once.verdict.codes
    assert once.verdict.chosen == "naive Bayes"


def test_few_rows_for_many_columns():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 2
    x = rng.standard_normal((30, 40)) + 0.5 * y[:, None]
    reason = compare(x, y, ["lda", "naive_bayes"], cv=5, **QUICK).verdict["few_rows"]
    assert reason.text.startswith("n ≪ d: 30 labelled rows for 40 columns")
    assert "use factors or a divider" in reason.text
    many = compare(x[:, :3], y, ["lda", "naive_bayes"], cv=5, **QUICK).verdict
    assert "few_rows" not in many.codes


def test_a_divider_wins_on_a_ring():
    rng = np.random.default_rng(0)
    radius = np.concatenate([rng.uniform(0, 1, 300), rng.uniform(1.2, 2, 300)])
    angle = rng.uniform(0, 2 * np.pi, 600)
    x = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    y = np.repeat([0, 1], 300)
    verdict = compare(x, y, ["lda", "svm"], cv=5, **QUICK).verdict
    reason = verdict["divider_wins"]
    assert verdict.chosen == "SVM"
    assert "prefer it for prediction; keep the story for" in reason.text
    assert reason.evidence["difference"] > 0.5


def test_no_difference_between_two_that_say_the_same():
    x, y = two_normals(3, equal=True)
    verdict = compare(x, y, ["lda", "logistic"], cv=5, **QUICK).verdict
    assert "no_difference" in verdict.codes
    assert verdict.chosen == "LDA"  # the simpler one


def test_rows_without_a_label_that_help():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1000)
    x = rng.standard_normal((1000, 12)) + 0.9 * y[:, None]
    labels = y.astype(object)
    labels[60:] = None
    verdict = compare(x, labels, ["qda", "naive_bayes"], **QUICK).verdict
    assert verdict.codes[-1] in ("unlabelled_help", "unlabelled_may_help")
    reason = verdict.reasons[-1]
    assert "With the 940 rows without a label, " in reason.text
    assert reason.evidence["n_unlabelled"] == 940
    for name in ("QDA", "naive Bayes"):
        assert reason.evidence[f"{name} - {name} (labelled rows only)"]["difference"] < 0


def test_rows_without_a_label_that_mislead():
    # They come from somewhere else.
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 600)
    x = rng.standard_normal((600, 2)) + 2.0 * y[:, None]
    x[60:] += [2.5, -2.5]
    labels = y.astype(object)
    labels[60:] = None
    verdict = compare(x, labels, ["naive_bayes"], **QUICK).verdict
    reason = verdict["unlabelled_do_not_help"]
    assert "The 540 rows without a label do not help: with them, naive Bayes is" in reason.text
    assert verdict.chosen == "naive Bayes (labelled rows only)"


# Branches, on losses that are made up ------------------------------------------------------------


def made_up(name, code, losses, kind="storyteller", **changes):
    losses = np.asarray(losses, dtype=float)
    nothing = np.full(losses.shape, np.nan)
    scores = score_predictions([0, 1, 0, 1], [0.2, 0.7, 0.6, 0.9], n_bootstrap=0)
    values = {
        "name": name,
        "code": code,
        "kind": kind,
        "calibration": None,
        "labelled_only": False,
        "complexity": 1.0,
        "scores": scores,
        "fold_losses": losses,
        "fold_briers": losses,
        "difference": None,
        "log_density": np.nan,
        "fold_log_densities": nothing,
        "inverse_temperature": np.nan,
        "fit_seconds": 0.1,
    }
    return ModelResult(**{**values, **changes})


NOISE = 0.01 * np.array([1, -1, 2, -2, 1, -1, 0, 0, 1, -1])
TRAITS = Traits(1000, 500, 3, 3, (250, 250), 0.0, None, np.nan)


def weigh(*models):
    ordered = sorted(models, key=lambda m: m.fold_losses.mean())
    return judge(ordered, [], TRAITS, (450, 50), alpha=0.05)


def test_storytellers_against_dividers():
    story = made_up("story", "lda", 0.3 + NOISE)
    for gap, code in [(0.1, "storyteller_wins"), (-0.1, "divider_wins"), (0.0, "no_difference")]:
        divider = made_up("divider", "svm", 0.3 + gap - NOISE, "divider", complexity=5.0)
        verdict = weigh(story, divider)
        assert code in verdict.codes
        assert verdict.chosen == ("divider" if gap < 0 else "story")


def test_labels_or_no_labels():
    name = "story (labelled rows only)"
    alone = made_up(name, "lda", 0.3 + NOISE, labelled_only=True, complexity=1.1)
    for losses, code in [
        (0.2 + NOISE, "unlabelled_help"),
        (0.29 + NOISE[::-1] * 20, "unlabelled_may_help"),
        (0.4 + NOISE[::-1], "unlabelled_do_not_help"),
    ]:
        verdict = weigh(alone, made_up("story", "lda", losses))
        assert verdict.codes[-1] == code
        assert verdict.chosen.endswith("only)") == (code == "unlabelled_do_not_help")
    hurt = weigh(alone, made_up("story", "lda", 0.5 + NOISE))
    assert "wrong where it matters" in hurt.reasons[-1].text


def test_the_simplest_of_equals():
    simple = made_up("simple", "naive_bayes", 0.302 + NOISE)
    rich = made_up("rich", "qda", 0.3 - NOISE, complexity=3.0)
    assert weigh(simple, rich).chosen == "simple"
    assert weigh(simple, rich).best == "rich"
    clearly = made_up("rich", "qda", 0.25 + NOISE, complexity=3.0)
    assert weigh(simple, clearly).chosen == "rich"


def test_a_few_enormous_losses_do_not_let_a_poor_model_pass():
    # Its differences are not significant, for one fold outweighs all; it is not chosen for that.
    reckless = made_up("reckless", "naive_bayes", np.r_[9.0, 8.0, np.full(8, 0.4)])
    sober = made_up("sober", "qda", 0.3 + NOISE, complexity=3.0)
    verdict = weigh(reckless, sober)
    assert verdict.chosen == "sober"
    assert verdict["chosen"].text.endswith("and every simpler model is clearly worse.")


def test_every_code_is_documented():
    assert all(code.islower() and text for code, text in REASONS.items())
    verdict = compare(*two_normals(0, equal=False), ["lda", "qda"], cv=3, **QUICK).verdict
    assert set(verdict.codes) <= set(REASONS)
    assert str(verdict).count("\n") == len(verdict.reasons) - 1

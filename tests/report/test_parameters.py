from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from fabula import GaussianMixture, GenerativeClassifier, MixtureModel, NaiveBayes
from fabula.report.parameters import describe_model, parameter_table, story_to_dict

FAMILIES = ("normal", "student_t", "log_normal", "gamma", "exponential", "poisson")


def _counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(9.0, (400, 1)) + 1.0


@pytest.mark.parametrize("family", FAMILIES)
def test_moments_are_those_of_draws(family: str) -> None:
    rows = _counts()
    model = NaiveBayes(family).fit(rows, np.arange(400) % 2)
    table = parameter_table(model, ["0", "1"])
    drawn, classes = model.sample(200_000, random_state=0)
    for k, cell in enumerate(table.splitlines()[-1].split("  ")[-2:]):
        mean, spread = (float(part.replace(",", "")) for part in cell.split(" ± "))
        mine = drawn[classes == k, 0]
        assert mean == pytest.approx(mine.mean(), rel=0.02)
        assert spread == pytest.approx(mine.std(), rel=0.05)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "factor"])
def test_moments_of_each_covariance(covariance_type: str) -> None:
    rows = np.random.default_rng(0).normal([0.0, 50.0, -3.0], [1.0, 4.0, 0.5], (300, 3))
    model = GaussianMixture(1, covariance_type=covariance_type, n_factors=1).fit(rows)
    drawn = model.sample(100_000, random_state=0)[0]
    for j, line in enumerate(parameter_table(model, ["0"]).splitlines()[2:]):
        _, _, spread = line.rpartition(" ± ")
        assert float(spread) == pytest.approx(drawn[:, j].std(), rel=0.03)


def test_a_mixture_in_each_class_is_summed_up() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(-5, 1, (100, 1)), rng.normal(5, 1, (100, 1))])
    labels = np.arange(200) % 2
    model = GenerativeClassifier(GaussianMixture(2, random_state=0)).fit(rows, labels)
    cell = parameter_table(model, ["0", "1"]).splitlines()[-1].split("  ")[-1]
    mine = rows[labels == 1, 0]
    mean, spread = (float(part) for part in cell.split(" ± "))
    assert mean == pytest.approx(mine.mean(), abs=0.01)
    assert spread == pytest.approx(mine.std(), rel=0.01)


def test_levels_words_and_many_classes() -> None:
    texts = ["buy cheap pills now", "see you at lunch today", "buy pills cheap and now"] * 10
    frame = pl.DataFrame({"text": texts, "colour": ["red", "blue", "red"] * 10})
    model = NaiveBayes(kinds={"text": "text"}).fit(frame, ["spam", "ham", "spam"] * 10)
    table = parameter_table(model, ["ham", "spam"])
    assert "blue" in table
    spam = next(line for line in table.splitlines() if line.startswith("  spam:"))
    assert "pills" in spam
    assert "lunch" not in spam
    many = MixtureModel(8, random_state=0).fit(_counts())
    assert "… and 2 more" in parameter_table(many, [str(k) for k in range(8)])


def test_a_truncated_story_has_moments_too() -> None:
    rng = np.random.default_rng(0)
    rows = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 500)
    model = GaussianMixture(1).fit(rows).condition({0: (1.0, None)})
    cell = parameter_table(model, ["0"]).splitlines()[-1].split("  ")[-1]
    # E[y | x > 1] = 0.8 φ(1) / (1 − Φ(1)) for unit variances
    assert float(cell.split(" ± ")[0]) == pytest.approx(0.8 * 1.5251, abs=0.12)


def test_stories_as_plain_values() -> None:
    model = GaussianMixture(1).fit(np.array([[0.0], [1.0], [2.0]]))
    plain = story_to_dict(model.story_)
    assert plain["is"] == "Mixture"
    assert plain["family"]["means"] == [[1.0]]
    assert story_to_dict(np.zeros(10), [5]) == "float64 (10,)"


def test_a_single_component_is_not_named_but_classes_are() -> None:
    found = {"metadata": {}, "bytes": 1, "created": "", "versions": {}, "seed": None}
    x = _counts()
    alone = describe_model("m", found, GaussianMixture(1).fit(x), ["0"], "component")
    two = GaussianMixture(2, random_state=0).fit(x)
    several = describe_model("m", found, two, ["0", "1"], "component")
    classes = NaiveBayes().fit(x, np.repeat(["a", "b"], 200))
    named = describe_model("m", found, classes, ["a", "b"], "class")
    assert "component: 0" not in alone and "component: 0" in several and "class: a 50.0 %" in named

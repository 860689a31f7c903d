"""What is said about a fit: networks without classes have no components."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fabula.cli import _fitting
from fabula.estimators.networks.fitting import NeuralEstimator


class Network(NeuralEstimator):
    """Fitted, as far as is asked."""

    n_parameters = 7

    def __init__(self, n_classes: int = 1):
        self.n_classes = n_classes
        self.story_ = SimpleNamespace(n_classes=n_classes)
        self.report_ = SimpleNamespace(converged=True, n_iterations=3)

    def _learn(self, x: Any, codes: Any, rng: Any) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(("n_classes", "said"), [(1, None), (4, 4)])
def test_a_network_has_components_only_where_its_prior_is_a_mixture(
    n_classes: int, said: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fitting, "LoadedModel", lambda *_: SimpleNamespace(columns=["a"]))
    assert _fitting._of_the_fit(Network(n_classes), 1.0)["components"] == said

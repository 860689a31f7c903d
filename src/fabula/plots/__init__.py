"""Pictures: each function takes results and returns a figure; none of them fits anything."""

from __future__ import annotations

from fabula.plots.alignment import alignment_posterior
from fabula.plots.calibration import reliability
from fabula.plots.columns import pairs
from fabula.plots.costs import cost_curve
from fabula.plots.curves import learning_curves, missing_curves
from fabula.plots.evidence import contributions
from fabula.plots.files import save
from fabula.plots.mixtures import components
from fabula.plots.neural import (
    image_grid,
    latent_map,
    loss_traces,
    reconstructions,
    traversal,
)
from fabula.plots.regions import class_densities, decision_regions
from fabula.plots.synthetic import judgement, pair_errors, synthetic_columns
from fabula.plots.trees import conditional, dependence_tree

__all__ = [
    "alignment_posterior",
    "class_densities",
    "components",
    "conditional",
    "contributions",
    "cost_curve",
    "decision_regions",
    "dependence_tree",
    "image_grid",
    "judgement",
    "latent_map",
    "learning_curves",
    "loss_traces",
    "missing_curves",
    "pair_errors",
    "pairs",
    "reconstructions",
    "reliability",
    "save",
    "synthetic_columns",
    "traversal",
]

"""Pictures: each function takes results and returns a figure; none of them fits anything."""

from __future__ import annotations

from fabula.plots.calibration import reliability
from fabula.plots.columns import pairs
from fabula.plots.costs import cost_curve
from fabula.plots.curves import learning_curves, missing_curves
from fabula.plots.evidence import contributions
from fabula.plots.files import save
from fabula.plots.mixtures import components
from fabula.plots.regions import class_densities, decision_regions

__all__ = [
    "class_densities",
    "components",
    "contributions",
    "cost_curve",
    "decision_regions",
    "learning_curves",
    "missing_curves",
    "pairs",
    "reliability",
    "save",
]

"""Structures: what explains each observation."""

from fabula.structures.class_conditional import ClassConditional, ClassConditionalPrior
from fabula.structures.hidden_markov import HiddenMarkov, HiddenMarkovPrior
from fabula.structures.latent_tree import LatentTree, LatentTreePrior
from fabula.structures.mixture import Mixture, MixturePrior
from fabula.structures.tree_average import TreeAverage
from fabula.structures.truncated import Truncated

__all__ = [
    "ClassConditional",
    "ClassConditionalPrior",
    "HiddenMarkov",
    "HiddenMarkovPrior",
    "LatentTree",
    "LatentTreePrior",
    "Mixture",
    "MixturePrior",
    "TreeAverage",
    "Truncated",
]

"""Structures: what explains each observation."""

from fabula.structures.chains.hidden_markov import HiddenMarkov, HiddenMarkovPrior
from fabula.structures.class_conditional import ClassConditional, ClassConditionalPrior
from fabula.structures.mixture import Mixture, MixturePrior
from fabula.structures.trees.average import TreeAverage
from fabula.structures.trees.latent_tree import LatentTree, LatentTreePrior
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

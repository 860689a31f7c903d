"""The shapes of networks."""

from fabula.neural.networks.base import (
    Architecture,
    Network,
    join,
    n_weights,
    scaled,
    skeleton,
    split,
)
from fabula.neural.networks.dense import Dense
from fabula.neural.networks.perceptron import Perceptron
from fabula.neural.networks.sequences import CausalTransformer, GatedRecurrent
from fabula.neural.networks.u_net import UNet

__all__ = [
    "Architecture",
    "CausalTransformer",
    "Dense",
    "GatedRecurrent",
    "Network",
    "Perceptron",
    "UNet",
    "join",
    "n_weights",
    "scaled",
    "skeleton",
    "split",
]

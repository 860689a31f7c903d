"""Estimators: the public, scikit-learn-shaped names."""

from fabula.estimators.autoregressive_model import AutoregressiveModel
from fabula.estimators.calibrated import Calibrated
from fabula.estimators.diffusion_model import DiffusionModel
from fabula.estimators.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from fabula.estimators.gaussian_mixture import GaussianMixture
from fabula.estimators.generative_adversarial_network import GenerativeAdversarialNetwork
from fabula.estimators.generative_classifier import GenerativeClassifier
from fabula.estimators.hidden_markov_model import HiddenMarkovModel
from fabula.estimators.latent_tree_model import LatentTreeModel
from fabula.estimators.markov_chain import MarkovChain
from fabula.estimators.mixture_model import MixtureModel
from fabula.estimators.naive_bayes import NaiveBayes
from fabula.estimators.pair_hidden_markov_model import PairHiddenMarkovModel
from fabula.estimators.twins import twin
from fabula.estimators.variational_autoencoder import VariationalAutoencoder

__all__ = [
    "AutoregressiveModel",
    "Calibrated",
    "DiffusionModel",
    "GaussianMixture",
    "GenerativeAdversarialNetwork",
    "GenerativeClassifier",
    "HiddenMarkovModel",
    "LatentTreeModel",
    "LinearDiscriminantAnalysis",
    "MarkovChain",
    "MixtureModel",
    "NaiveBayes",
    "PairHiddenMarkovModel",
    "QuadraticDiscriminantAnalysis",
    "VariationalAutoencoder",
    "twin",
]

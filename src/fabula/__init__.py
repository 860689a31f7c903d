"""Generative models of tables with holes in them.

A model is a *story*: a joint distribution over what was seen and what was not. It is built as a
*structure* over *families*; *learning* fits it; *questions* are asked of every story in the same
words: sample, score, predict, decide, condition, impute.

What this package offers is loaded when it is first asked for, so that ``import fabula`` costs
next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fabula import testing as testing
    from fabula.core.errors import CannotAnswerError as CannotAnswerError
    from fabula.core.errors import ConvergenceWarning as ConvergenceWarning
    from fabula.core.errors import DataError as DataError
    from fabula.core.errors import FabulaError as FabulaError
    from fabula.core.errors import FabulaWarning as FabulaWarning
    from fabula.core.errors import FileFormatError as FileFormatError
    from fabula.core.errors import UsageError as UsageError
    from fabula.core.threads import use_threads as use_threads
    from fabula.estimators import AutoregressiveModel as AutoregressiveModel
    from fabula.estimators import Calibrated as Calibrated
    from fabula.estimators import DiffusionModel as DiffusionModel
    from fabula.estimators import GaussianMixture as GaussianMixture
    from fabula.estimators import (
        GenerativeAdversarialNetwork as GenerativeAdversarialNetwork,
    )
    from fabula.estimators import GenerativeClassifier as GenerativeClassifier
    from fabula.estimators import HiddenMarkovModel as HiddenMarkovModel
    from fabula.estimators import LatentTreeModel as LatentTreeModel
    from fabula.estimators import LinearDiscriminantAnalysis as LinearDiscriminantAnalysis
    from fabula.estimators import MarkovChain as MarkovChain
    from fabula.estimators import MixtureModel as MixtureModel
    from fabula.estimators import NaiveBayes as NaiveBayes
    from fabula.estimators import PairHiddenMarkovModel as PairHiddenMarkovModel
    from fabula.estimators import QuadraticDiscriminantAnalysis as QuadraticDiscriminantAnalysis
    from fabula.estimators import VariationalAutoencoder as VariationalAutoencoder
    from fabula.estimators import twin as twin
    from fabula.evaluation import choose_model as choose_model
    from fabula.evaluation import compare as compare
    from fabula.evaluation import judge as judge
    from fabula.evaluation import learning_curve as learning_curve
    from fabula.evaluation import missing_curve as missing_curve
    from fabula.persistence import describe as describe
    from fabula.persistence import load as load
    from fabula.persistence import save as save
    from fabula.structures.pairs.read_haplotype import read_haplotype_log10 as read_haplotype_log10
    from fabula.tables import Schema as Schema
    from fabula.tables import infer_schema as infer_schema
    from fabula.tables import read_table as read_table
    from fabula.tables import write_table as write_table

__version__ = "0.3.0"

_HOME = {
    "CannotAnswerError": "fabula.core.errors",
    "ConvergenceWarning": "fabula.core.errors",
    "DataError": "fabula.core.errors",
    "FabulaError": "fabula.core.errors",
    "FabulaWarning": "fabula.core.errors",
    "FileFormatError": "fabula.core.errors",
    "UsageError": "fabula.core.errors",
    "AutoregressiveModel": "fabula.estimators",
    "Calibrated": "fabula.estimators",
    "DiffusionModel": "fabula.estimators",
    "GaussianMixture": "fabula.estimators",
    "GenerativeAdversarialNetwork": "fabula.estimators",
    "GenerativeClassifier": "fabula.estimators",
    "HiddenMarkovModel": "fabula.estimators",
    "LatentTreeModel": "fabula.estimators",
    "LinearDiscriminantAnalysis": "fabula.estimators",
    "MarkovChain": "fabula.estimators",
    "MixtureModel": "fabula.estimators",
    "NaiveBayes": "fabula.estimators",
    "PairHiddenMarkovModel": "fabula.estimators",
    "QuadraticDiscriminantAnalysis": "fabula.estimators",
    "VariationalAutoencoder": "fabula.estimators",
    "twin": "fabula.estimators",
    "choose_model": "fabula.evaluation",
    "compare": "fabula.evaluation",
    "judge": "fabula.evaluation",
    "learning_curve": "fabula.evaluation",
    "missing_curve": "fabula.evaluation",
    "describe": "fabula.persistence",
    "load": "fabula.persistence",
    "save": "fabula.persistence",
    "read_haplotype_log10": "fabula.structures.pairs.read_haplotype",
    "Schema": "fabula.tables",
    "infer_schema": "fabula.tables",
    "read_table": "fabula.tables",
    "write_table": "fabula.tables",
    "use_threads": "fabula.core.threads",
    "testing": "fabula.testing",
}
"""Every public name and the module that defines it: the one list of what fabula offers."""

__all__ = ["__version__", *_HOME]

if not TYPE_CHECKING:  # a type checker shall complain about names that do not exist

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'fabula' has no attribute {name!r}")
        home = import_module(_HOME[name])
        # A name that is itself a module stands for that module.
        value = home if home.__name__ == f"fabula.{name}" else getattr(home, name)
        globals()[name] = value  # the next look-up does not come here
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

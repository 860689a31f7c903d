"""Models by the names that the command line has for them: made, written and read."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from fabula.cli._interrupts import keeps_going_in
from fabula.core.errors import CannotAnswerError, FileFormatError, UsageError
from fabula.report.sentences import as_text

__all__ = [
    "CLASSIFIERS",
    "MODELS",
    "LoadedModel",
    "ModelName",
    "load_model",
    "make_estimator",
    "save_model",
]

ModelName = Literal[
    "auto",
    "naive-bayes",
    "lda",
    "qda",
    "mixture-discriminant",
    "mixture",
    "gaussian-mixture",
    "latent-tree",
    "vae",
    "gan",
    "diffusion",
    "hmm",
    "markov-chain",
    "autoregressive",
]

MODELS = {
    "naive-bayes": "NaiveBayes",
    "lda": "LinearDiscriminantAnalysis",
    "qda": "QuadraticDiscriminantAnalysis",
    "mixture-discriminant": "GenerativeClassifier",
    "mixture": "MixtureModel",
    "gaussian-mixture": "GaussianMixture",
    "latent-tree": "LatentTreeModel",
    "vae": "VariationalAutoencoder",
    "gan": "GenerativeAdversarialNetwork",
    "diffusion": "DiffusionModel",
    "hmm": "HiddenMarkovModel",
    "markov-chain": "MarkovChain",
    "autoregressive": "AutoregressiveModel",
}
"""Name on the command line → name in Python."""

CLASSIFIERS = ("naive-bayes", "lda", "qda", "mixture-discriminant")
"""Those that need a target."""


@dataclass(frozen=True)
class LoadedModel:
    """A model from a file, and the notes that were kept with it.

    Parameters
    ----------
    estimator
        The fitted model.
    notes
        What `fit` wrote beside it: the name of the target, where the rows came from.
    column
        A column of categories that is asked about as if it were the target.
    """

    estimator: Any
    notes: Mapping[str, Any]
    column: str | None = None

    def about(self, column: str) -> LoadedModel:
        """The same model, asked about a column of categories.

        Raises
        ------
        CannotAnswerError, UsageError
            The model has one target for good; or there is no such column, or it has no levels.
        """
        if not hasattr(self.estimator, "classes_of"):
            raise CannotAnswerError(
                "predict --column",
                type(self.estimator).__name__,
                "it was fitted to one target, or to none",
                ("latent-tree",),
            )
        self.estimator.classes_of(column)
        return replace(self, column=column)

    @property
    def question(self) -> dict[str, str]:
        """What methods that take a ``target`` are given."""
        return {} if self.column is None else {"target": self.column}

    @property
    def labels(self) -> list[Any]:
        """The classes as they stand in the table."""
        if self.column is not None:
            return list(self.estimator.classes_of(self.column).tolist())
        return list(self.estimator.classes_.tolist()) if self.classifies else self.class_names

    @property
    def columns(self) -> list[Any]:
        """Names of the columns of the table that the model tells of."""
        # A latent tree has further ones, for the class and for whether a cell is missing.
        extra = [*getattr(self.estimator, "indicators_", ())]
        extra += [getattr(self.estimator, "target_", None)]
        return [name for name in self.estimator.columns_.names if name not in extra]

    @property
    def target(self) -> str:
        """What the class, or component, is called in tables."""
        if self.column is not None:
            return self.column
        named = self.notes.get("target")
        if isinstance(named, str):
            return named
        return "class" if self.classifies else "component"

    @property
    def classifies(self) -> bool:
        """Whether the model knows classes, rather than hidden components."""
        return self.column is not None or hasattr(self.estimator, "classes_")

    @property
    def storyteller(self) -> Any:
        """The model itself, under a calibration map where there is one."""
        return getattr(self.estimator, "estimator_", self.estimator)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, or numbers of the components, in the order of the model."""
        if self.classifies:
            return [as_text(label) for label in self.labels]
        names = getattr(self.estimator, "state_names_", None)
        if names is not None:
            return [as_text(name) for name in names]
        story = self.estimator.story_
        return [str(k) for k in range(getattr(story, "n_states", getattr(story, "n_classes", 0)))]


def load_model(path: str, *, pairs: bool = False) -> LoadedModel:
    """Read a model that `fit`, or `fabula.save`, wrote.

    Parameters
    ----------
    pairs
        Whether a model of pairs of sequences, which only `align` can ask, will do.

    Raises
    ------
    UsageError, FileFormatError
        There is no such file, or it is none that this version can read.
    """
    import fabula.estimators  # noqa: F401 - it registers the classes that a file may name
    from fabula.persistence import describe, load

    model = load(path)
    if not hasattr(model, "story_"):
        raise FileFormatError(
            f"{path} holds a {type(model).__name__}, which is a part of a model: expected a fitted "
            "model, as `fabula fit` writes it."
        )
    if hasattr(model, "score_pairs") and not pairs:
        raise UsageError(
            f"{path} is a model of pairs of sequences, which takes two files: fabula align A B "
            f"--model {path}."
        )
    return LoadedModel(model, describe(path)["metadata"])


def save_model(model: Any, path: str, notes: Mapping[str, Any], *, force: bool) -> None:
    """Write a model and its notes."""
    from fabula.persistence import save

    save(model, path, force=force, metadata={k: v for k, v in notes.items() if v is not None})


def make_estimator(
    name: str,
    *,
    numeric: bool,
    components: int | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    further: Mapping[str, Any] | None = None,
) -> Any:
    """An estimator that is not fitted yet.

    Parameters
    ----------
    name
        One of `MODELS`.
    numeric
        Whether every column is a number, so that normal components are possible.
    components
        Number of components of a mixture, or of each class.
    seed
        For whatever the model leaves to chance.
    settings
        ``name=value`` for any further parameter of the estimator, as in Python.
    further
        Parameters that options of their own gave.
    """
    import fabula

    instead = {
        "latent-tree": "states: --states",
        "hmm": "states: --states",
        "markov-chain": "an order: --order",
        "autoregressive": "a width and a depth: --set width=256",
        "gan": "a width and a depth: --set width=256",
        "diffusion": "a width and a depth: --set width=256",
    }
    if name in instead and components is not None:
        raise UsageError(f"--components is for mixtures. {name} has {instead[name]}.")
    if name in ("naive-bayes", "lda", "qda") and components is not None:
        raise UsageError(
            f"--components is for mixtures; {name} has one component in each class. "
            "--model mixture-discriminant takes several."
        )
    if name == "mixture-discriminant":
        inner = make_estimator(
            "gaussian-mixture" if numeric else "mixture",
            numeric=numeric,
            components=components or 2,
            seed=seed,
            settings=settings,
        )
        return fabula.GenerativeClassifier(inner)
    estimator = getattr(fabula, MODELS[name])()
    parameters: dict[str, Any] = dict(_setting(text, estimator) for text in settings)
    parameters |= further or {}
    if components is not None:
        parameters["n_components"] = components
        if name == "vae":
            parameters.setdefault("prior", "mixture")
    if seed is not None and "random_state" in estimator.get_params():
        parameters["random_state"] = seed
    if parameters.get("checkpoint") is not None:
        keeps_going_in(str(parameters["checkpoint"]))
    return estimator.set_params(**parameters)


_WORDS = {"none": None, "true": True, "false": False}


def _setting(text: str, estimator: Any) -> tuple[str, Any]:
    from fabula.tables.messages import did_you_mean

    name, sign, value = text.partition("=")
    known = sorted(estimator.get_params(deep=False))
    if not sign:
        raise UsageError(f"--set {text!r} is not of the form name=value.")
    if name not in known:
        raise UsageError(
            f"{type(estimator).__name__} has no parameter {name!r}. {did_you_mean(name, known)}"
        )
    if value.lower() in _WORDS:
        return name, _WORDS[value.lower()]
    # ".5" is a number to people, though not to JSON; and so is (256, 256) a pair of them.
    for read in (json.loads, float, ast.literal_eval):
        try:
            return name, read(value)
        except (ValueError, SyntaxError):
            continue
    return name, value

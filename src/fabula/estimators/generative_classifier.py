"""A classifier from any density: one model of each class, and Bayes' rule."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import clone

from fabula.core.blocks import ArrayBlocks, SequenceBlocks, Sequences
from fabula.core.errors import ConvergenceWarning, DataError, UsageError, warn
from fabula.estimators.base.families import choose_families, made_of_rows
from fabula.estimators.base.frames import is_frame, take_rows
from fabula.estimators.base.target import read_target
from fabula.estimators.sequences.classes import (
    SequenceClassQuestions,
    common_emission,
    settled_chains,
)
from fabula.learning.em import Report, expectation_maximisation
from fabula.learning.fitting import block_rows
from fabula.persistence.registry import storable
from fabula.structures.class_conditional import ClassConditional, ClassConditionalPrior

__all__ = ["GenerativeClassifier"]


@storable("estimator/generative_classifier")
class GenerativeClassifier(SequenceClassQuestions):
    """One whole density for each class, compared by Bayes' rule.

    A mixture in each class makes a mixture discriminant analysis. Rows without a label weight the
    models of all classes by how well each explains them, in one EM over everything.

    Parameters
    ----------
    estimator : density estimator
        A `GaussianMixture`, a `MixtureModel`, or any fabula estimator with a density; a clone is
        fitted to each class. By default a `GaussianMixture` with one component. With a
        `HiddenMarkovModel`, whole sequences are classified.
    priors : (K,) array, optional
        Prior probabilities of the classes; learned from the labels by default.
    max_iter, tol : int, float
        For EM over unlabelled rows: at most so many iterations, until the penalised log likelihood
        per row (per sequence) gains less than ``tol`` nats.

    Attributes
    ----------
    classes_, class_prior_ : (K,) arrays
    estimators_ : list
        The fitted model of each class. After EM over unlabelled rows they hold its result.
    story_ : ClassConditional
        The joint distribution itself.
    report_ : Report
        How the fit went.

    References
    ----------
    Hastie and Tibshirani (1996), Discriminant analysis by Gaussian mixtures, J. R. Stat. Soc. B
    58:155.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from fabula import GaussianMixture, GenerativeClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> model = GenerativeClassifier(GaussianMixture(2, covariance_type="diag", random_state=0))
    >>> bool(model.fit(X, y).score(X, y) > 0.95)
    True
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        priors: Any = None,
        max_iter: int = 100,
        tol: float = 1e-4,
    ):
        self.estimator = estimator
        self.priors = priors
        self.max_iter = max_iter
        self.tol = tol

    @property
    def _accepts_sparse(self) -> bool:  # type: ignore[override]
        return bool(getattr(self._inner(), "_accepts_sparse", False))

    @property
    def _numeric_only(self) -> bool:  # type: ignore[override]
        return bool(getattr(self._inner(), "_numeric_only", False))

    def _inner(self) -> Any:
        if self.estimator is not None:
            return self.estimator
        from fabula.estimators.gaussian_mixture import GaussianMixture

        return GaussianMixture(1)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit a model to the rows of each class, then let unlabelled rows teach all of them.

        Parameters
        ----------
        X : (n, d) array, data frame or, for a model of sequences, n sequences
        y : (n,) array
            Labels; -1, None or NaN where the class is not known.
        sample_weight : (n,) array, optional
        """
        inner = self._inner()
        known_kind = self.reads_sequences or hasattr(inner, "_template")
        if not known_kind and not hasattr(inner, "story_"):
            raise UsageError(
                f"estimator must be a fabula density estimator, such as GaussianMixture, "
                f"MixtureModel or HiddenMarkovModel, not {type(inner).__name__}."
            )
        x = self._read(X, reset=True, kinds=getattr(inner, "kinds", None))
        self.classes_, known = read_target(y, len(x) if self.reads_sequences else int(x.shape[0]))
        weights = self._read_weights(sample_weight, x)
        inner = self._with_common_families(inner, x, known, weights)
        shared = inner._shared_by_classes(self.form_, x, weights) if self.reads_sequences else {}
        self.estimators_ = [
            self._fit_class(inner, X, x, np.flatnonzero(known == c), weights, label, shared)
            for c, label in enumerate(self.classes_.tolist())
        ]
        counts = np.array(
            [
                float((known == c).sum() if weights is None else weights[known == c].sum())
                for c in range(len(self.classes_))
            ]
        )
        log_weights = self._log_weights(counts)
        story = ClassConditional(log_weights, tuple(m.story_ for m in self.estimators_))
        report = Report(
            (), True, "closed form", 1, sum(m.report_.seconds for m in self.estimators_)
        )
        if (known < 0).any():
            story, report = self._learn_unlabelled(story, x, known, weights)
        self.report_ = report
        self.n_iter_ = max(report.n_iterations, 1)
        self.converged_ = report.converged
        self.story_ = story
        self._refresh()
        return self

    def _with_common_families(self, inner: Any, x: Any, known: np.ndarray, weights: Any) -> Any:
        """The model with the family of each column chosen from all classes together.

        Chosen class by class, a column might be gamma in one, where it is never 0, and normal in
        another: a row with a 0 would then be impossible in the first. Bins that were cut class by
        class would give a value a probability in one class and a density in another.
        """
        if self.reads_sequences:
            return common_emission(inner, self.form_, x, known, len(self.classes_))
        wanted = getattr(inner, "families", None)
        if wanted is None:
            return inner

        def shares(rows: Any) -> np.ndarray:
            labelled = (known[rows][:, None] == np.arange(len(self.classes_))).astype(np.float64)
            return np.asarray(labelled if weights is None else labelled * weights[rows][:, None])

        fields = self.columns_.fields
        hidden = hasattr(inner, "n_components")
        names = choose_families(fields, x, wanted, shares, hidden)
        cut = [
            made_of_rows(name, field, x, j, weights)
            for j, (name, field) in enumerate(zip(names, fields, strict=True))
        ]
        chosen = {field.column: name for field, name in zip(fields, cut, strict=True)}
        return clone(inner).set_params(families=chosen)

    def _fit_class(
        self,
        inner: Any,
        X: Any,
        x: Any,
        rows: np.ndarray,
        weights: Any,
        label: Any,
        shared: dict[str, Any],
    ) -> Any:
        model = clone(inner)
        needed = int(getattr(model, "n_components", 1))
        if len(rows) < needed:
            raise DataError(
                f"Class {label!r} has {len(rows)} labelled rows, but a model with "
                f"n_components={needed} needs at least that many (n_samples = {len(rows)}). Ask "
                "for fewer components."
            )
        mine = take_rows(X, rows) if is_frame(X) and not self.reads_sequences else x[rows]
        if self.reads_sequences:
            vars(model).update(shared)
        elif is_frame(X):
            # The classes must share levels and words, or their densities could not be compared.
            model._shared_encoding = self.encoding_
        else:
            model._shared_columns = self.columns_
        mine_weights = None if weights is None else weights[rows]
        if mine_weights is not None and not mine_weights.any():
            mine_weights = None  # the class counts nothing: its prior is 0, whatever it looks like
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(mine, sample_weight=mine_weights)
        for name in shared:  # a model does not keep what it learned from
            del vars(model)[name]
        for one in caught:
            warn(f"Class {label!r}: {one.message}", one.category)
        return model

    def _log_weights(self, counts: np.ndarray) -> np.ndarray:
        if self.priors is None:
            return np.asarray(np.log(np.maximum(counts / counts.sum(), 1e-300)))
        return self._read_priors()

    def _learn_unlabelled(
        self, story: ClassConditional, x: Any, known: np.ndarray, weights: Any
    ) -> tuple[ClassConditional, Report]:
        prior = ClassConditionalPrior(
            stories=tuple(getattr(model, "_prior", None) for model in self.estimators_),
            fixed_log_weights=None if self.priors is None else story.log_weights,
        )
        blocks: Any
        if isinstance(x, Sequences):
            blocks = SequenceBlocks(x, known, weights)
            story, prior = settled_chains(story, blocks, prior)
        else:
            blocks = ArrayBlocks(x, known, weights, block_rows(story.stories[0].family))
        story, report = expectation_maximisation(
            story,
            blocks,
            prior=prior,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        if not report.converged:
            warn(
                f"GenerativeClassifier stopped before it converged ({report.reason} after "
                f"{report.n_iterations} iterations): raise max_iter={self.max_iter} or tol.",
                ConvergenceWarning,
            )
        for model, learned in zip(self.estimators_, story.stories, strict=True):
            model.story_ = learned
            model._refresh()
        return story, report

    def _refresh(self) -> None:
        self.class_prior_ = np.exp(self.story_.log_weights)

"""Discriminant analysis: normal classes, with one covariance for all or one for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from fabula import families
from fabula.core.arrays import Codes, FloatArray
from fabula.core.blocks import Block
from fabula.core.errors import UsageError
from fabula.estimators.base.classes import ClassModel
from fabula.estimators.base.limits import refuse_hopeless_covariances
from fabula.families.base import Family
from fabula.families.normal_diagonal import NormalDiagonal, widening
from fabula.families.priors import (
    CovariancePrior,
    ledoit_wolf_strength,
    moderated_variances,
    oas_strength,
)
from fabula.learning.fitting import has_missing
from fabula.persistence.registry import storable
from fabula.questions import classify
from fabula.questions.walk import walk
from fabula.structures.mixture import normalise

__all__ = ["LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"]


# The strength of shrinkage does not depend on the number of rows it is estimated from.
_ROWS_TO_SHRINK = 20_000


class _DiscriminantAnalysis(ClassModel):
    """What both share: numbers only, and shrinkage of covariances towards their diagonal."""

    _numeric_only = True
    shrinkage: Any

    def _check_parameters(self) -> None:
        super()._check_parameters()
        _read_shrinkage(self.shrinkage)

    def _needs_em(self, x: Any) -> bool:
        return has_missing(x)

    def _strength(
        self, rows: FloatArray, weights: FloatArray, spread: FloatArray, n_rows: float
    ) -> float:
        """Pseudo-observations that the shrinkage asks for.

        ``rows`` are about their class mean, NaN where cells are missing, and may be a sample of
        the ``n_rows`` that are learned from.
        """
        shrinkage = _read_shrinkage(self.shrinkage)
        if n_rows <= 0 or not len(rows) or rows.shape[1] == 1 or shrinkage is None:
            return 0.0
        if isinstance(shrinkage, float):
            intensity = min(shrinkage, 1.0 - 1e-9)
            return intensity * n_rows / (1.0 - intensity)
        # Columns that never change are no dimensions in which anything could be correlated.
        changing = spread > 0
        if not changing.any():
            return 0.0
        standardised = rows[:, changing] / spread[changing]
        seen = ~np.isnan(standardised)
        if shrinkage == "ledoit_wolf" and seen.all():
            return ledoit_wolf_strength(standardised, weights)
        # A correlation is known from the rows that show both cells.
        standardised = np.where(seen, standardised, 0.0)
        counts = np.maximum((seen * weights[:, None]).T @ seen, 1e-300)
        correlation = (standardised * weights[:, None]).T @ standardised / counts
        return oas_strength(correlation, float(counts.mean()))


@storable("estimator/linear_discriminant_analysis")
class LinearDiscriminantAnalysis(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, _DiscriminantAnalysis
):
    """Normal classes that share one covariance: the boundary between them is linear.

    Parameters
    ----------
    shrinkage : "auto", "ledoit_wolf", "oas", float in [0, 1] or None
        How far correlations are drawn towards zero, and variances towards what columns have in
        common where their units are alike. "auto" is OAS on standardised columns, the better of
        the two rules for normal classes, so that n < d has an answer; None is the empirical
        covariance, kept from being singular and nothing more.
    priors : (K,) array, optional
        Prior probabilities of the classes; learned from the labels by default.
    n_components : int, optional
        Number of discriminant directions that `transform` returns; K - 1 by default.
    max_iter, tol : int, float
        For EM, which only runs when labels or cells are missing: at most so many iterations, until
        the penalised log likelihood per row gains less than ``tol`` nats.

    Attributes
    ----------
    classes_, class_prior_, priors_ : (K,) arrays
    means_ : (K, d) array
        In the units of the columns.
    covariance_ : (d, d) array
        Shared covariance within the classes, in products of the units of the columns.
    coef_, intercept_ : (K, d), (K,) arrays
        Log-odds are linear, in nats; for two classes (1, d) and (1,), as in scikit-learn.
    story_, report_
        The joint distribution, and how its fit went.

    References
    ----------
    Fisher (1936), Ann. Eugenics 7:179. Chen et al. (2010), IEEE Trans. Signal Process. 58:5016.
    Ledoit and Wolf (2004), J. Multivariate Anal. 88:365. Smyth (2004), Stat. Appl. Genet. Mol.
    Biol. 3:3.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fabula import LinearDiscriminantAnalysis
    >>> X, y = load_iris(return_X_y=True)
    >>> round(LinearDiscriminantAnalysis().fit(X, y).score(X, y), 2)
    0.98
    """

    def __init__(
        self,
        shrinkage: Any = "auto",
        *,
        priors: Any = None,
        n_components: int | None = None,
        max_iter: int = 200,
        tol: float = 1e-6,
    ):
        self.shrinkage = shrinkage
        self.priors = priors
        self.n_components = n_components
        self.max_iter = max_iter
        self.tol = tol

    @classmethod
    def from_parameters(
        cls, priors: Any, means: Any, covariance: Any, classes: Any = None, **parameters: Any
    ) -> LinearDiscriminantAnalysis:
        """A fitted model from class priors (K,), means (K, d) and the shared covariance (d, d).

        ``classes`` (K,) names the classes, which are 0 … K - 1 by default; further parameters are
        those of the estimator. UsageError where shapes contradict each other or the priors do not
        sum to 1.
        """
        means = np.atleast_2d(np.asarray(means, dtype=np.float64))
        family = families.NormalTied(means, np.asarray(covariance, dtype=np.float64))
        return cls(**parameters)._adopt(family, priors, classes)

    def _template(self, x: Any, known: Codes, weights: FloatArray | None) -> Family:
        d = x.shape[1]
        return families.NormalTied(np.zeros((1, d)), np.eye(d))

    def _family_prior(self, x: Any, known: Codes, weights: FloatArray | None, bank: Family) -> Any:
        rows, row_weights, spread, _ = _within_classes(x, known, weights, len(self.classes_))
        n = float((known >= 0).sum() if weights is None else weights[known >= 0].sum())
        strength = self._strength(rows, row_weights, spread, n)
        freedom = n - len(self.classes_)
        target = moderated_variances(spread**2, freedom)
        return CovariancePrior(strength, strength * target + _trace(bank), _floor(bank, spread))

    def _refresh(self) -> None:
        super()._refresh()
        family = getattr(self.story_, "family", None)
        self._forget("means_", "covariance_", "xbar_", "coef_", "intercept_")
        if not isinstance(family, families.NormalTied):
            return  # a truncated story has no linear form
        self.means_ = family.means
        self.covariance_ = family.covariance
        self.xbar_ = self.class_prior_ @ self.means_
        weights = np.linalg.solve(self.covariance_, self.means_.T).T
        with np.errstate(divide="ignore"):
            constants = np.log(self.class_prior_) - 0.5 * (weights * self.means_).sum(axis=1)
        if len(self.class_prior_) == 2:
            self.coef_ = weights[1:] - weights[:1]
            self.intercept_ = constants[1:] - constants[:1]
        else:
            self.coef_, self.intercept_ = weights, constants

    def decision_function(self, X: Any) -> FloatArray:
        """Log-odds (n,) of the second class over the first, or one score a class (n, K).

        With more than two classes the scores are log p(class, row) up to what the row shares.
        """
        x = self._read(X)
        if not hasattr(self, "coef_") or np.isnan(x).any():
            joint = self.predict_joint_log_proba(X)
            return joint[:, 1] - joint[:, 0] if len(self.classes_) == 2 else joint
        scores = x @ self.coef_.T + self.intercept_
        return np.asarray(scores.ravel() if len(self.classes_) == 2 else scores)

    def predict_proba(self, X: Any) -> FloatArray:
        """Posterior probability (n, K) of every class by Bayes' rule."""
        x = self._read(X, check=False)
        if hasattr(self, "coef_"):
            # Complete rows need no densities: what the classes share cancels, the rest is linear.
            probabilities = walk(x, self._linear_posterior(), width=x.shape[1])
            if np.isfinite(probabilities.sum()):
                return probabilities
        return classify.class_probabilities(self.story_, self._read(X))

    def _linear_posterior(self) -> Callable[[Block], FloatArray]:
        """The posterior of a block of complete rows; NaN where a cell is missing."""
        centred = self.means_ - self.xbar_
        directions = np.linalg.solve(self.covariance_, centred.T).T
        constants = self.story_.log_weights - 0.5 * (directions * centred).sum(axis=1)
        at_origin = directions @ self.xbar_
        near = float(np.abs(directions * self.xbar_).max()) < 1e5

        def ask(block: Block) -> FloatArray:
            # Far from zero the terms of the product are taken about the mean, or they cancel.
            if near:
                scores = (directions @ block.x.T).T + (constants - at_origin)
            else:
                scores = (directions @ (block.x - self.xbar_).T).T + constants
            return normalise(scores, self.story_.log_weights)[1]

        return ask

    def transform(self, X: Any) -> FloatArray:
        """Rows in the discriminant directions, in which the classes' spread is 1: (n, ≤ K - 1).

        Missing cells are at their conditional expectation given the row.
        """
        x = self._read(X)
        if np.isnan(x).any():
            x = self.story_.complete(x)
        scalings, ratio = self._directions()
        wanted = len(ratio) if self.n_components is None else min(self.n_components, len(ratio))
        return np.asarray((x - self.xbar_) @ scalings[:, :wanted])

    def _directions(self) -> tuple[FloatArray, FloatArray]:
        """Directions that maximise between-class over within-class spread, and their shares."""
        between = (self.means_ - self.xbar_) * np.sqrt(self.class_prior_)[:, None]
        cholesky = np.linalg.cholesky(self.covariance_)
        white = np.linalg.solve(cholesky, between.T)
        left, singular, _ = np.linalg.svd(white, full_matrices=False)
        rank = min(len(self.classes_) - 1, len(self.covariance_))
        scalings = np.linalg.solve(cholesky.T, left[:, :rank])
        share = singular[:rank] ** 2
        return scalings, share / max(float(share.sum()), 1e-300)

    @property
    def _n_features_out(self) -> int:
        rank = min(len(self.classes_) - 1, len(self.covariance_))
        return rank if self.n_components is None else min(self.n_components, rank)

    @property
    def explained_variance_ratio_(self) -> FloatArray:
        """Share of the between-class spread along each direction of `transform`."""
        return self._directions()[1]

    def to_logistic_regression(self) -> Any:
        """A fitted scikit-learn ``LogisticRegression`` with the same posterior.

        The divider that tells the classes apart exactly as this storyteller does: many stories
        have the same moral. It takes complete rows only.

        Returns
        -------
        sklearn.linear_model.LogisticRegression

        Raises
        ------
        UsageError
            The model is not fitted, or has one class.
        """
        from sklearn.linear_model import LogisticRegression

        if not hasattr(self, "coef_"):
            raise UsageError("Only a fitted linear discriminant analysis has a linear form.")
        if len(self.classes_) < 2:
            raise UsageError("Logistic regression needs at least two classes.")
        divider = LogisticRegression()
        divider.classes_ = self.classes_
        divider.coef_ = self.coef_.copy()
        divider.intercept_ = self.intercept_.copy()
        divider.n_features_in_ = self.coef_.shape[1]
        divider.n_iter_ = np.array([0], dtype=np.int32)
        if hasattr(self, "feature_names_in_"):
            divider.feature_names_in_ = self.feature_names_in_
        return divider


@storable("estimator/quadratic_discriminant_analysis")
class QuadraticDiscriminantAnalysis(_DiscriminantAnalysis):
    """Normal classes with a covariance each: the boundary between them is quadratic.

    Parameters
    ----------
    shrinkage : "auto", "ledoit_wolf", "oas", float in [0, 1] or None
        How far the correlations of each class are drawn towards zero; "auto" is OAS for each
        class by itself, on standardised columns.
    priors : (K,) array, optional
        Prior probabilities of the classes; learned from the labels by default.
    max_iter, tol : int, float
        For EM, which only runs when labels or cells are missing: at most so many iterations, until
        the penalised log likelihood per row gains less than ``tol`` nats.

    Attributes
    ----------
    classes_, class_prior_, priors_ : (K,) arrays
    means_ : (K, d) array
        In the units of the columns.
    covariances_ : (K, d, d) array
        In products of the units of the columns.
    story_, report_
        The joint distribution, and how its fit went.

    References
    ----------
    Hastie, Tibshirani and Friedman (2009), The Elements of Statistical Learning, section 4.3.
    Chen et al. (2010), IEEE Trans. Signal Process. 58:5016.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fabula import QuadraticDiscriminantAnalysis
    >>> X, y = load_iris(return_X_y=True)
    >>> round(QuadraticDiscriminantAnalysis().fit(X, y).score(X, y), 2)
    0.98
    """

    def __init__(
        self,
        shrinkage: Any = "auto",
        *,
        priors: Any = None,
        max_iter: int = 200,
        tol: float = 1e-6,
    ):
        self.shrinkage = shrinkage
        self.priors = priors
        self.max_iter = max_iter
        self.tol = tol

    @classmethod
    def from_parameters(
        cls, priors: Any, means: Any, covariances: Any, classes: Any = None, **parameters: Any
    ) -> QuadraticDiscriminantAnalysis:
        """A fitted model from class priors (K,), means (K, d) and covariances (K, d, d).

        ``classes`` (K,) names the classes, which are 0 … K - 1 by default; further parameters are
        those of the estimator. UsageError where shapes contradict each other or the priors do not
        sum to 1.
        """
        means = np.atleast_2d(np.asarray(means, dtype=np.float64))
        family = families.NormalFull(means, np.asarray(covariances, dtype=np.float64))
        return cls(**parameters)._adopt(family, priors, classes)

    def _template(self, x: Any, known: Codes, weights: FloatArray | None) -> Family:
        d = x.shape[1]
        refuse_hopeless_covariances(x.shape[0], d, len(self.classes_), "class")
        return families.NormalFull(np.zeros((1, d)), np.eye(d)[None])

    def _family_prior(self, x: Any, known: Codes, weights: FloatArray | None, bank: Family) -> Any:
        n_classes = len(self.classes_)
        rows, row_weights, pooled, codes = _within_classes(x, known, weights, n_classes)
        strengths, scatters = np.zeros(n_classes), np.zeros((n_classes, *bank_shape(bank)))
        for c in range(n_classes):
            mine = codes == c
            n = float((known == c).sum() if weights is None else weights[known == c].sum())
            # A class with few rows borrows its spread from all classes.
            counts = row_weights[mine] @ ~np.isnan(rows[mine])
            squares = row_weights[mine] @ np.nan_to_num(rows[mine]) ** 2
            spread = np.sqrt((squares + pooled**2) / (counts + 1.0))
            strengths[c] = self._strength(rows[mine], row_weights[mine], spread, n)
            target = moderated_variances(spread**2, n)
            scatters[c] = np.diag(strengths[c] * target + _trace(bank))
            if n < 2 and self.shrinkage is not None:
                strengths[c] += 1.0
                scatters[c] += np.diag(pooled**2)
        return CovariancePrior(strengths, scatters, _floor(bank, pooled))

    def _refresh(self) -> None:
        super()._refresh()
        family = getattr(self.story_, "family", None)
        self._forget("means_", "covariances_")
        if isinstance(family, families.NormalFull):
            self.means_ = family.means
            self.covariances_ = family.covariances

    def decision_function(self, X: Any) -> FloatArray:
        """Log-odds (n,) for two classes, else log p(row, class) in nats (n, K)."""
        joint = self.predict_joint_log_proba(X)
        return joint[:, 1] - joint[:, 0] if len(self.classes_) == 2 else joint


def bank_shape(bank: Family) -> tuple[int, int]:
    """Shape of one covariance of the bank."""
    return bank.n_columns, bank.n_columns


def _read_shrinkage(shrinkage: Any) -> str | float | None:
    if shrinkage is None or shrinkage in ("auto", "ledoit_wolf", "oas"):
        return "oas" if shrinkage == "auto" else shrinkage
    if isinstance(shrinkage, int | float | np.number) and 0.0 <= float(shrinkage) <= 1.0:
        return float(shrinkage)
    raise UsageError(
        "shrinkage must be 'auto', 'ledoit_wolf', 'oas', a number from 0 to 1 or None, not "
        f"{shrinkage!r}."
    )


def _trace(bank: Any) -> FloatArray:
    """A trace of scatter (d,) that keeps covariances from being singular."""
    return np.asarray(1e-9 * np.diagonal(bank._covariances[0]))


def _floor(bank: Any, spread: FloatArray) -> FloatArray:
    """Smallest variance (d,) of columns that never change within the classes; 0 for others."""
    within = NormalDiagonal(bank.means[:1], np.maximum(spread**2, 1e-300)[None])
    return np.asarray(widening(within)[0])


def _within_classes(
    x: FloatArray, known: Codes, weights: FloatArray | None, n_classes: int
) -> tuple[FloatArray, FloatArray, FloatArray, Codes]:
    """Labelled rows about their class means, their weights, spread within classes, and classes.

    Of many rows a sample is enough: the strength of shrinkage does not grow with their number.
    """
    labelled = np.flatnonzero(known >= 0)
    if len(labelled) > _ROWS_TO_SHRINK:
        labelled = labelled[np.linspace(0, len(labelled) - 1, _ROWS_TO_SHRINK).astype(np.intp)]
    codes = known[labelled]
    rows = np.asarray(x[labelled], dtype=np.float64)
    row_weights = np.ones(len(rows)) if weights is None else weights[labelled]
    seen = ~np.isnan(rows)
    rows = np.where(seen, rows, 0.0)
    counts = np.zeros((n_classes, rows.shape[1]))
    sums = np.zeros_like(counts)
    for c in range(n_classes):
        mine = codes == c
        counts[c] = row_weights[mine] @ seen[mine]
        sums[c] = row_weights[mine] @ rows[mine]
    means = sums / np.maximum(counts, 1e-300)
    centred = np.where(seen, rows - means[codes], 0.0)
    total = np.maximum(row_weights @ seen, 1e-300)
    spread = np.sqrt(row_weights @ centred**2 / total)
    # What rounding leaves of a column that never changes is no spread.
    spread[spread <= 1e-13 * np.abs(means).max(axis=0)] = 0.0
    return np.where(seen, centred, np.nan), row_weights, spread, codes

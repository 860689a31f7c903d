"""Mixtures of normal distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from fabula import families
from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError, UsageError
from fabula.estimators.base.columns import adopt_columns
from fabula.estimators.base.components import ComponentModel
from fabula.estimators.base.limits import refuse_hopeless_covariances
from fabula.families.base import Family
from fabula.families.priors import CovariancePrior
from fabula.learning.em import Report
from fabula.learning.starts import Start
from fabula.persistence.registry import storable
from fabula.structures.mixture import Mixture

__all__ = ["GaussianMixture"]

CovarianceType = Literal["full", "tied", "diag", "spherical", "factor"]


@storable("estimator/gaussian_mixture")
class GaussianMixture(ComponentModel):
    """A mixture of normal distributions, with missing cells integrated out.

    Parameters
    ----------
    n_components : int
        K, the number of normal distributions.
    covariance_type : {"full", "tied", "diag", "spherical", "factor"}
        One covariance a component; one for all; variances only; one variance; or ``n_factors``
        common factors and a variance for each column, for many columns.
    tol : float
        Stop when the (penalised) log likelihood per row gains less than this, in nats.
    reg_covar : float
        Keeps covariances from being singular: about what is added to each variance of a component
        that holds its share of the rows, in squared units of the columns.
    max_iter, n_init : int
        At most so many iterations from each of so many starts, the best of which is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}
        How a start is found. Distances are taken in units of each column's standard deviation.
        With ``n_init`` > 1, starts after the first k-means are k-means++ seeds, which differ.
    weights_init, means_init, precisions_init : arrays, optional
        Where to begin instead.
    n_factors : int
        q, for ``covariance_type="factor"``: covariances are Λ Λᵀ + diag ψ with Λ of shape (d, q).
    random_state : int, Generator or None
        For the starts, and for `sample` and `impute` where they are given none.
    warm_start : bool
        Begin where the last fit ended.

    Attributes
    ----------
    weights_ : (K,) array
    means_ : (K, d) array
        In the units of the columns.
    covariances_ : array
        In the shapes of scikit-learn: (K, d, d), (d, d), (K, d) or (K,); (K, d, d) for factors.
        Units are products of those of the columns.
    converged_, n_iter_, lower_bound_, lower_bounds_
        How the best start went; ``lower_bound_`` is the penalised log likelihood per row, nats.
    story_, report_
        The joint distribution, and how its fit went.

    References
    ----------
    Dempster, Laird and Rubin (1977), J. R. Stat. Soc. B 39:1. McLachlan and Peel (2000), Finite
    Mixture Models, chapter 3. Ghahramani and Hinton (1996), The EM algorithm for mixtures of
    factor analyzers, CRG-TR-96-1.

    Examples
    --------
    >>> import numpy as np
    >>> from fabula import GaussianMixture
    >>> X = np.array([[0.0, 0.1], [0.2, np.nan], [9.0, 9.1], [9.2, 8.8], [np.nan, 9.0]])
    >>> model = GaussianMixture(2, covariance_type="diag", random_state=0).fit(X)
    >>> labels = model.predict(X)
    >>> bool(labels[0] == labels[1] != labels[2] == labels[3] == labels[4])
    True
    """

    _numeric_only = True

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Start = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        n_factors: int = 5,
        random_state: Any = None,
        warm_start: bool = False,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.n_factors = n_factors
        self.random_state = random_state
        self.warm_start = warm_start

    @classmethod
    def from_parameters(
        cls,
        weights: Any,
        means: Any,
        covariances: Any,
        covariance_type: CovarianceType = "full",
        **parameters: Any,
    ) -> GaussianMixture:
        """A fitted mixture from weights (K,), means (K, d) and covariances.

        Covariances have the shape that ``covariances_`` has for the covariance type; for
        ``"factor"`` they are a pair of loadings (K, d, q) and noise variances (K, d).
        """
        means = np.atleast_2d(np.asarray(means, dtype=np.float64))
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != (len(means),) or np.any(weights < 0):
            raise UsageError(f"weights must be {len(means)} numbers that are not negative.")
        if not np.isclose(weights.sum(), 1.0):
            raise UsageError(f"weights must sum to 1, not {weights.sum():.6g}.")
        model = cls(len(means), covariance_type=covariance_type, **parameters)
        model._check_parameters()
        family = _family(covariance_type, means, covariances)
        adopt_columns(model, means.shape[1])
        with np.errstate(divide="ignore"):
            story = Mixture(np.log(weights / weights.sum()), family)
        model._accept(story, Report((), True, "closed form", 0, 0.0))
        return model

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.covariance_type not in ("full", "tied", "diag", "spherical", "factor"):
            raise UsageError(
                "covariance_type must be 'full', 'tied', 'diag', 'spherical' or 'factor', not "
                f"{self.covariance_type!r}."
            )
        if not self.reg_covar >= 0:
            raise UsageError(f"reg_covar must not be negative, but is {self.reg_covar}.")

    def _template(self, x: Any, weights: FloatArray | None) -> Family:
        d = x.shape[1]
        means = np.zeros((1, d))
        match self.covariance_type:
            case "full":
                refuse_hopeless_covariances(x.shape[0], d, self.n_components, "component")
                return families.NormalFull(means, np.eye(d)[None])
            case "tied":
                return families.NormalTied(means, np.eye(d))
            case "diag":
                return families.NormalDiagonal(means, np.ones((1, d)))
            case "spherical":
                return families.NormalSpherical(means, np.ones(1))
            case _:
                return self._factor_template(x, weights)

    def _factor_template(self, x: Any, weights: FloatArray | None) -> Family:
        n_factors = min(self.n_factors, x.shape[1], max(int(x.shape[0]) - 1, 1))
        column = np.ones((int(x.shape[0]), 1)) if weights is None else weights[:, None]
        return families.principal_start(x, column, n_factors, np.random.default_rng(0))

    def _family_prior(self, n_rows: float, bank: Family) -> Any:
        share = n_rows if self.covariance_type == "tied" else n_rows / self.n_components
        return CovariancePrior(0.0, np.full(bank.n_columns, self.reg_covar * share))

    def _start_from(self, story: Mixture, rows: Any, shares: FloatArray) -> Mixture:
        if self.covariance_type != "factor":
            return story
        n_factors = story.family.loadings.shape[2]  # type: ignore[attr-defined]
        family = families.principal_start(rows, shares, n_factors, np.random.default_rng(0))
        return Mixture(story.log_weights, family)

    def _starts(self, *arguments: Any) -> Any:
        given = (self.weights_init, self.means_init, self.precisions_init)
        if all(value is None for value in given):
            yield from super()._starts(*arguments)
            return
        for story in super()._starts(*arguments):
            yield self._replace_start(story)

    def _replace_start(self, story: Mixture) -> Mixture:
        """Put the parameters that the caller gave in place of those that were found."""
        family = story.family
        means, covariances = family.means, _covariances(family)  # type: ignore[attr-defined]
        if self.means_init is not None:
            means = _numbers("means_init", self.means_init)
            if means.shape != family.means.shape:  # type: ignore[attr-defined]
                raise UsageError(
                    f"means_init must have the shape {family.means.shape}, not {means.shape}."  # type: ignore[attr-defined]
                )
        if self.precisions_init is not None:
            precisions = _numbers("precisions_init", self.precisions_init)
            dense = self.covariance_type in ("full", "tied")
            if self.covariance_type == "factor" or precisions.shape != np.shape(covariances):
                raise UsageError(
                    f"precisions_init must have the shape {np.shape(covariances)} for "
                    f"covariance_type={self.covariance_type!r} (and has no meaning for 'factor'), "
                    f"not {precisions.shape}."
                )
            covariances = np.linalg.inv(precisions) if dense else 1.0 / precisions
        log_weights = story.log_weights
        if self.weights_init is not None:
            weights = _numbers("weights_init", self.weights_init)
            if weights.shape != log_weights.shape or not np.isclose(weights.sum(), 1.0):
                raise UsageError(f"weights_init must be {len(log_weights)} numbers with sum 1.")
            log_weights = np.log(weights)
        return Mixture(log_weights, _family(self.covariance_type, means, covariances))

    def _refresh(self) -> None:
        super()._refresh()
        family = getattr(self.story_, "family", None)
        self._forget("means_")
        if family is None:
            return  # a truncated story has no normal components
        self.means_ = family.means

    @property
    def covariances_(self) -> FloatArray:
        """Covariances of the components; made when asked for, since factors need them never."""
        if not hasattr(self.story_, "family"):
            raise CannotAnswerError(
                "covariances_", "a truncated GaussianMixture", "its components are no longer normal"
            )
        return _covariances(self.story_.family)

    @property
    def precisions_(self) -> FloatArray:
        """Inverse covariances, in the shape of ``covariances_``."""
        if self.covariance_type in ("diag", "spherical"):
            return 1.0 / self.covariances_
        return np.linalg.inv(self.covariances_)

    @property
    def precisions_cholesky_(self) -> FloatArray:
        """Upper triangular U with U Uᵀ the precision, in the convention of scikit-learn."""
        if self.covariance_type in ("diag", "spherical"):
            return np.sqrt(self.precisions_)
        cholesky = np.linalg.cholesky(self.covariances_)
        identity = np.broadcast_to(np.eye(cholesky.shape[-1]), cholesky.shape)
        return np.swapaxes(np.linalg.solve(cholesky, identity), -1, -2)


def _numbers(name: str, value: Any) -> FloatArray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be an array of numbers, not {value!r}.") from None


def _family(covariance_type: str, means: FloatArray, covariances: Any) -> Family:
    if covariance_type == "factor":
        loadings, noise = covariances
        return families.NormalFactor(means, np.asarray(loadings, float), np.asarray(noise, float))
    kinds: dict[str, Callable[..., Family]] = {
        "full": families.NormalFull,
        "tied": families.NormalTied,
        "diag": families.NormalDiagonal,
        "spherical": families.NormalSpherical,
    }
    return kinds[covariance_type](means, np.asarray(covariances, dtype=np.float64))


def _covariances(family: Any) -> FloatArray:
    """Covariances in the shapes of scikit-learn."""
    match family:
        case families.NormalFull():
            return family.covariances
        case families.NormalTied():
            return family.covariance
        case families.NormalFactor():
            products = family.loadings @ np.swapaxes(family.loadings, -1, -2)
            return products + family.noise[:, :, None] * np.eye(family.n_columns)
        case _:
            return np.asarray(family.variances)

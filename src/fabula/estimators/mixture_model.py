"""Mixtures over tables with columns of any kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.estimators.base.components import ComponentModel
from fabula.estimators.base.families import choose_families, family_names, product_template
from fabula.estimators.base.limits import refuse_impossible_cells
from fabula.families.base import Family
from fabula.learning.starts import Start
from fabula.persistence.registry import storable

__all__ = ["MixtureModel"]


@storable("estimator/mixture_model")
class MixtureModel(ComponentModel):
    """Hidden components in each of which the columns, of any kind, are independent.

    With enough components this describes how columns of a table hang together, whatever their
    kinds, and every question has an exact answer: densities, missing cells, conditions on values,
    intervals and sets.

    Parameters
    ----------
    n_components : int
        K, the number of components.
    families : "auto", name, or mapping of column to name
        As in `NaiveBayes`; "auto" chooses the family of a column of numbers by its likelihood
        over all rows, and takes bins where a tenth of the rows is at spikes, such as zeros.
    kinds : mapping of column to kind, optional
        What a column is, where the schema would guess otherwise.
    prior_strength : float
        Every component starts with this many pseudo-observations that look like the whole table;
        of normal and Student-t columns they draw the variance only.
    tol, max_iter, n_init, init_params, random_state, warm_start
        As in `GaussianMixture`.

    Attributes
    ----------
    weights_ : (K,) array
        Probabilities of the components.
    families_ : dict
        Column → name of its family.
    converged_, n_iter_, lower_bound_, lower_bounds_, story_, report_
        As in `GaussianMixture`.

    References
    ----------
    Lazarsfeld and Henry (1968), Latent Structure Analysis. McLachlan and Peel (2000), Finite
    Mixture Models, chapter 5.

    Examples
    --------
    >>> import polars as pl
    >>> from fabula import MixtureModel
    >>> table = pl.DataFrame(
    ...     {"size": [1.6, 1.7, None, 1.8, 1.9, 1.6] * 5, "sex": ["f", "f", "f", "m", "m", "f"] * 5}
    ... )
    >>> model = MixtureModel(2, random_state=0).fit(table)
    >>> model.impute(table)["size"].null_count()
    0
    """

    def __init__(
        self,
        n_components: int = 8,
        *,
        families: str | Mapping[Any, str] = "auto",
        kinds: Mapping[Any, str] | None = None,
        prior_strength: float = 1.0,
        tol: float = 1e-3,
        max_iter: int = 200,
        n_init: int = 1,
        init_params: Start = "kmeans",
        random_state: Any = None,
        warm_start: bool = False,
    ):
        self.n_components = n_components
        self.families = families
        self.kinds = kinds
        self.prior_strength = prior_strength
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.random_state = random_state
        self.warm_start = warm_start

    _accepts_sparse = True

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not self.prior_strength >= 0:
            raise UsageError(f"prior_strength must not be negative, not {self.prior_strength}.")

    def _template(self, x: Any, weights: FloatArray | None) -> Family:
        def shares(rows: Any) -> FloatArray:
            return np.ones((len(rows), 1)) if weights is None else weights[rows][:, None]

        fields = self.columns_.fields
        names = choose_families(fields, x, self.families, shares, hidden=True)
        self.families_ = family_names(fields, names)
        template = product_template(fields, names, x, weights)
        refuse_impossible_cells(template, x, [field.column for field in fields])
        return template

    def _family_prior(self, n_rows: float, bank: Family) -> Any:
        return bank.pseudo_observations(self.prior_strength) if self.prior_strength else None

"""Naive Bayes: columns of any kind, independent given the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fabula.core.arrays import Codes, FloatArray
from fabula.core.errors import UsageError
from fabula.estimators.base.classes import ClassModel
from fabula.estimators.base.families import choose_families, family_names, product_template
from fabula.estimators.base.limits import refuse_impossible_cells
from fabula.families.base import Family
from fabula.persistence.registry import storable

__all__ = ["NaiveBayes"]


@storable("estimator/naive_bayes")
class NaiveBayes(ClassModel):
    """Classes whose columns are independent, each with the family that suits it.

    Parameters
    ----------
    families : "auto", name, or mapping of column to name
        "auto" gives categories, yes/no columns and texts their own families and chooses among
        normal, log-normal, gamma and Poisson for numbers by their likelihood within the labelled
        classes, or takes bins where these give rows that were left out clearly more (500 rows and
        over). A name (``"normal"``, ``"student_t"``, ``"poisson"``, ``"bins"``, …) is for every
        column of numbers; a mapping is for single columns, over the defaults. ``"grouped"`` is for
        categories with very many levels, of which the rare ones then share a group.
    kinds : mapping of column to kind, optional
        What a column is, where the schema would guess otherwise: "continuous", "count",
        "category", "boolean", "date", "text", "identifier".
    prior_strength : float
        Every class starts with this many pseudo-observations that look like all classes together.
        It keeps variances from collapsing and unseen levels possible. Of normal and Student-t
        columns it draws the variance only, and leaves the mean to the rows.
    priors : (K,) array, optional
        Prior probabilities of the classes; learned from the labels by default.
    max_iter, tol : int, float
        For EM, which only runs when some rows have no label or a column is Student-t: at most so
        many iterations, until the penalised log likelihood per row gains less than ``tol`` nats.

    Attributes
    ----------
    classes_ : (K,) array
        In sorted order.
    class_prior_ : (K,) array
        Probabilities of the classes, in the order of ``classes_``.
    families_ : dict
        Column → name of its family.
    story_ : Mixture
        The joint distribution itself.
    report_ : Report
        How the fit went.

    References
    ----------
    Hand and Yu (2001), Idiot's Bayes — not so stupid after all?, Int. Stat. Rev. 69:385.

    Examples
    --------
    >>> import numpy as np
    >>> from fabula import NaiveBayes
    >>> X = np.array([[1.0, np.nan], [1.2, 3.0], [4.0, 7.0], [np.nan, 8.0]])
    >>> model = NaiveBayes().fit(X, ["a", "a", "b", "b"])
    >>> model.predict([[np.nan, 2.5], [4.2, np.nan]]).tolist()
    ['a', 'b']
    """

    def __init__(
        self,
        families: str | Mapping[Any, str] = "auto",
        *,
        kinds: Mapping[Any, str] | None = None,
        prior_strength: float = 1.0,
        priors: Any = None,
        max_iter: int = 100,
        tol: float = 1e-4,
    ):
        self.families = families
        self.kinds = kinds
        self.prior_strength = prior_strength
        self.priors = priors
        self.max_iter = max_iter
        self.tol = tol

    _accepts_sparse = True

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not self.prior_strength >= 0:
            raise UsageError(f"prior_strength must not be negative, not {self.prior_strength}.")

    def _template(self, x: Any, known: Codes, weights: FloatArray | None) -> Family:
        n_classes = len(self.classes_)

        def shares(rows: Any) -> FloatArray:
            codes = known[rows]
            labelled = (codes[:, None] == np.arange(n_classes)).astype(np.float64)
            if weights is not None:
                labelled *= weights[rows][:, None]
            return np.asarray(labelled)

        fields = self.columns_.fields
        names = choose_families(fields, x, self.families, shares)
        self.families_ = family_names(fields, names)
        template = product_template(fields, names, x, weights)
        refuse_impossible_cells(template, x, [field.column for field in fields])
        return template

    def _family_prior(self, x: Any, known: Codes, weights: FloatArray | None, bank: Family) -> Any:
        return bank.pseudo_observations(self.prior_strength) if self.prior_strength else None

    def _needs_em(self, x: Any) -> bool:
        # A Student-t cell has a latent scale even where its class is known.
        return "student_t" in self.families_.values()

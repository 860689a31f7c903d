"""Fitting one member of a family to each class: the common half of the classifiers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import Codes, FloatArray
from fabula.core.errors import ConvergenceWarning, DataError, UsageError, warn
from fabula.estimators.base.class_questions import ClassQuestions
from fabula.estimators.base.columns import adopt_columns, adopt_encoding
from fabula.estimators.base.files import ROWS_TO_SAMPLE, FileBlocks, open_table, sample_rows
from fabula.estimators.base.target import read_target
from fabula.families import Bins, GroupedLevels, Product
from fabula.families.base import Family
from fabula.learning import fitting
from fabula.learning.em import Report
from fabula.structures.mixture import Mixture, MixturePrior, MixtureStatistics

__all__ = ["ClassModel"]


class ClassModel(ClassQuestions):
    """A classifier with one member of a bank for each class."""

    max_iter: int
    tol: float
    priors: Any
    report_: Report
    # What one pass over the data left, for further pieces; files do not keep it.
    _statistics: MixtureStatistics | None = None
    _bank: Any = None
    _prior: Any = None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows and labels; unlabelled rows (None, NaN, -1) teach as well.

        Parameters
        ----------
        X : (n, d) array or data frame
            Missing cells are NaN or null.
        y : (n,) array
            Labels; None or NaN where the class is not known, or -1 beside two or more other
            numbers.
        sample_weight : (n,) array, optional
            How many rows each row counts for.

        Returns
        -------
        self

        Raises
        ------
        UsageError
            A parameter makes no sense.
        DataError
            A cell cannot be used or is impossible for its family, or no row has a label.

        Warns
        -----
        ConvergenceWarning
            EM met ``max_iter`` before ``tol``.
        """
        self._check_parameters()
        x = self._read(X, reset=True, kinds=getattr(self, "kinds", None))
        self.classes_, known = read_target(y, int(x.shape[0]))
        weights = self._read_weights(sample_weight, x)
        template = self._template(x, known, weights)
        pooled = fitting.pool(template, x, weights)
        bank = pooled.select(np.zeros(len(self.classes_), dtype=np.intp))
        self._prior = self._choose_prior(x, known, weights, bank)
        fitted = fitting.fit_known(
            bank,
            fitting.blocks_of(bank, x, known, weights),
            self._prior,
            needs_em=bool((known < 0).any()) or self._needs_em(x),
            max_iter=self.max_iter,
            tol=self.tol,
        )
        self._bank = bank
        self._statistics = fitted.statistics
        self._accept(fitted.story, fitted.report)
        return self

    def fit_file(self, path: Any, target: str, *, block_rows: int = 65_536) -> Self:
        """Learn from a CSV or Parquet file that may be larger than memory, block by block.

        Parameters
        ----------
        path : path
        target : str
            The column that holds the class; rows where it is missing have no label.
        block_rows : int
            Rows that are read at a time.

        Returns
        -------
        self

        Raises
        ------
        UsageError
            There is no such file or column.
        DataError
            A line or a cell cannot be used, no row has a label, or there are over 1,000 classes.
        """
        self._check_parameters()
        scan, encoding, target_codes = open_table(
            path, target, getattr(self, "kinds", None), block_rows
        )
        assert target_codes is not None
        adopt_encoding(self, encoding)
        self.classes_, codes = target_codes
        blocks = FileBlocks(scan, encoding, block_rows, target, codes)
        x, known = sample_rows(blocks, ROWS_TO_SAMPLE, np.random.default_rng(0))
        assert known is not None
        pooled = fitting.pool(self._template(x, known, None), x)
        bank = pooled.select(np.zeros(len(self.classes_), dtype=np.intp))
        self._prior = self._choose_prior(x, known, None, bank)
        blocks = replace(blocks, rows=fitting.block_rows(bank))
        fitted = fitting.fit_known(
            bank,
            blocks,
            self._prior,
            # What a sample does not show may still stand in the file: let EM look at every row.
            needs_em=bool((known < 0).any()) or self._needs_em(x) or blocks.has_holes(self),
            max_iter=self.max_iter,
            tol=self.tol,
        )
        self._bank = bank
        self._statistics = fitted.statistics
        self._accept(fitted.story, fitted.report)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Learn from one more piece of the data; what was learned before is kept.

        The statistics of all pieces are added up, so the result is that of one fit to all of
        them, up to the prior, whose scale comes from the first piece. The encoding of a data
        frame (levels, words) is that of the first piece, too. Every row must have its label and,
        for discriminant analysis, all of its cells.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : (K,) array
            All classes that will ever come; needed at the first call unless all are in ``y``.

        Returns
        -------
        self

        Raises
        ------
        DataError
            A row has no label, or, for discriminant analysis and Student-t columns, no value in
            some cell; or a label is not among the classes.
        """
        first = not hasattr(self, "story_")
        self._check_parameters()
        if not first and self._statistics is None:
            raise UsageError(
                "This model cannot take one more piece of data: it was loaded from a file, built "
                "from parameters, or fitted by EM, and so has no sums to add to. Fit it anew, or "
                "keep the one that partial_fit made."
            )
        x = self._read(X, reset=first, kinds=getattr(self, "kinds", None))
        if first:
            labels, known = read_target(y, int(x.shape[0]), classes=classes)
            self.classes_ = np.unique(labels)
            _, known = read_target(y, int(x.shape[0]), classes=self.classes_)
        else:
            self._check_same_classes(classes)
            _, known = read_target(y, int(x.shape[0]), classes=self.classes_)
        weights = self._read_weights(sample_weight, x)
        template = self._template(x, known, weights) if first else None
        if (known < 0).any() or self._needs_em(x):
            raise DataError(
                "partial_fit needs a label on every row"
                + (" and no missing cells" if self._needs_em(x) else "")
                + ", because what these rows say depends on the final parameters. Use fit, which "
                "also takes a data frame that is larger than memory through fit_file."
            )
        if template is not None:
            pooled = fitting.pool(template, x, weights)
            self._bank = pooled.select(np.zeros(len(self.classes_), dtype=np.intp))
            self._prior = self._choose_prior(x, known, weights, self._bank)
            self._statistics = None
        start = Mixture(np.full(len(self.classes_), -np.log(len(self.classes_))), self._bank)
        piece = fitting.known_statistics(start, fitting.blocks_of(self._bank, x, known, weights))
        self._accumulate(start, piece)
        return self

    def merge(self, other: Self) -> Self:
        """A copy fitted to the data of both: of this model and of ``other``.

        Both must have been fitted in one pass (`fit` with every label known and no need of EM, or
        `partial_fit`), with the same columns, classes and parameters. The prior is that of this
        model.

        Raises
        ------
        UsageError
            A model was not fitted in one pass, or their classes or columns differ.
        """
        import copy

        check_is_fitted(self, "story_")
        check_is_fitted(other, "story_")
        if self._statistics is None or other._statistics is None:
            raise UsageError(
                "Only models fitted in one pass can be merged: every row labelled, and no missing "
                "cells in discriminant analysis."
            )
        if self.classes_.tolist() != other.classes_.tolist():
            raise UsageError(
                f"The models know different classes: {self.classes_.tolist()} and "
                f"{other.classes_.tolist()}."
            )
        if self.columns_ != other.columns_:
            raise UsageError("The models were fitted to different columns or levels.")
        if _kinds_of(self._bank) != _kinds_of(other._bank):
            raise UsageError(
                "The models chose different families for the same column, or cut it into other "
                "bins, so their sums do not add up. Name the families in both (families={column: "
                "name}); bins are the same where both are given them (families={column: "
                "Bins.learned(values)})."
            )
        merged = copy.copy(self)
        merged._accumulate(
            Mixture(np.full(len(self.classes_), -np.log(len(self.classes_))), self._bank),
            other._statistics,
        )
        return merged

    def _accumulate(self, start: Mixture, piece: MixtureStatistics) -> None:
        total = piece if self._statistics is None else self._statistics + piece
        self._statistics = total
        self._accept(start.maximise(total, self._prior), Report((), True, "closed form", 1, 0.0))

    def _adopt(self, family: Family, priors: Any, classes: Any) -> Self:
        """Become a fitted model with the given parameters, over plain columns 0 … d-1."""
        self._check_parameters()
        n = family.n_members
        self.classes_ = np.arange(n) if classes is None else np.asarray(classes)
        if self.classes_.shape != (n,):
            raise UsageError(f"classes must name each of the {n} classes once.")
        weights = np.asarray(priors, dtype=np.float64)
        if weights.shape != (n,) or np.any(weights < 0) or not np.isclose(weights.sum(), 1.0):
            raise UsageError(f"The {n} prior probabilities must not be negative and sum to 1.")
        adopt_columns(self, family.n_columns)
        self._statistics, self._bank, self._prior = None, family, MixturePrior()
        with np.errstate(divide="ignore"):
            story = Mixture(np.log(weights / weights.sum()), family)
        self._accept(story, Report((), True, "closed form", 0, 0.0))
        return self

    # What a concrete classifier says ----------------------------------------------------------

    def _template(self, x: Any, known: Codes, weights: FloatArray | None) -> Family:
        raise NotImplementedError

    def _family_prior(self, x: Any, known: Codes, weights: FloatArray | None, bank: Family) -> Any:
        raise NotImplementedError

    def _needs_em(self, x: Any) -> bool:
        return False

    def _check_parameters(self) -> None:
        if not isinstance(self.max_iter, int | np.integer) or self.max_iter < 1:
            raise UsageError(f"max_iter must be a whole number of at least 1, not {self.max_iter}.")
        if not self.tol >= 0:
            raise UsageError(f"tol must not be negative, but is {self.tol}.")

    # Shared steps -----------------------------------------------------------------------------

    def _accept(self, story: Mixture, report: Report) -> None:
        self.story_ = story
        self.report_ = report
        self.n_iter_ = max(report.n_iterations, 1)
        self.converged_ = report.converged
        self._refresh()
        if not report.converged:
            warn(
                f"{type(self).__name__} stopped before it converged ({report.reason} after "
                f"{report.n_iterations} iterations). Raise max_iter, or tol={self.tol} if the "
                "trace in report_ has gone flat.",
                ConvergenceWarning,
            )

    def _refresh(self) -> None:
        self.class_prior_ = np.exp(self.story_.log_weights)
        self.priors_ = self.class_prior_

    def _check_same_classes(self, classes: Any) -> None:
        if classes is not None and np.unique(classes).tolist() != self.classes_.tolist():
            raise UsageError(
                f"classes={list(classes)} is not the same as on the first call to partial_fit, "
                f"which had {self.classes_.tolist()}."
            )

    def _choose_prior(
        self, x: Any, known: Codes, weights: FloatArray | None, bank: Family
    ) -> MixturePrior:
        fixed = None
        if self.priors is not None:
            fixed = self._read_priors()
        return MixturePrior(
            pseudo_count=0.0,
            family=self._family_prior(x, known, weights, bank),
            fixed_log_weights=fixed,
        )


def _kinds_of(bank: Any) -> Any:
    """The families of a bank and the columns they have."""
    if not isinstance(bank, Product):
        return _kind_of(bank)
    return [_kind_of(part) for part in bank.parts], bank.columns


def _kind_of(part: Any) -> Any:
    """What sums have to have in common to add up: the family, and for some how it was cut."""
    if isinstance(part, Bins):
        return "Bins", [
            (c.edges.tolist(), c.atoms.tolist(), c.slopes.tolist(), c.precision, c.origin)
            for c in part.columns
        ]
    if isinstance(part, GroupedLevels):
        return "GroupedLevels", [groups.tolist() for groups in part.group_of]
    return type(part).__name__

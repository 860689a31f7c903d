"""Fitting hidden components: the common half of the mixtures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import DensityMixin

from fabula.core.arrays import FloatArray
from fabula.core.errors import ConvergenceWarning, DataError, UsageError, warn
from fabula.estimators.base.arguments import generator_of
from fabula.estimators.base.columns import adopt_encoding
from fabula.estimators.base.files import ROWS_TO_SAMPLE, FileBlocks, open_table, sample_rows
from fabula.estimators.base.questions import TableQuestions
from fabula.families.base import Family
from fabula.learning import fitting
from fabula.learning.em import Report, expectation_maximisation
from fabula.learning.starts import START_NAMES, Start, start_features, start_responsibilities
from fabula.structures.mixture import Mixture, MixturePrior

__all__ = ["ComponentModel"]

# Rows that are enough to find where components begin.
_ROWS_TO_START = 20_000


class ComponentModel(DensityMixin, TableQuestions):
    """A mixture whose components are hidden."""

    n_components: int
    max_iter: int
    tol: float
    n_init: int
    init_params: Start
    warm_start: bool
    random_state: Any

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Climb to the most probable parameters from ``n_init`` starts, and keep the best.

        Parameters
        ----------
        X : (n, d) array or data frame
            Missing cells are NaN or null.
        y : ignored
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
            A cell cannot be used or is impossible for its family, or there are fewer rows than
            components.

        Warns
        -----
        ConvergenceWarning
            EM met ``max_iter`` before ``tol``.
        """
        self._check_parameters()
        again = self.warm_start and hasattr(self, "story_")
        if again and self.story_.n_classes != self.n_components:
            raise UsageError(
                f"warm_start goes on with {self.story_.n_classes} components, but n_components is "
                f"now {self.n_components}: set warm_start=False to begin anew."
            )
        x = self._read(X, reset=not again, kinds=getattr(self, "kinds", None))
        n = int(x.shape[0])
        if n < self.n_components:
            raise DataError(
                f"{type(self).__name__} with n_components={self.n_components} needs at least as "
                f"many rows, but got n_samples = {n}."
            )
        weights = self._read_weights(sample_weight, x)
        rng = generator_of(self.random_state)
        bank = self._learn_bank(x, weights, n if weights is None else float(weights.sum()))
        blocks = fitting.blocks_of(bank, x, None, weights)
        starts = [self.story_] if again else self._starts(x, weights, bank, self._prior, rng)
        self._climb(starts, blocks)
        return self

    def fit_file(self, path: Any, *, block_rows: int = 65_536) -> Self:
        """Learn from a CSV or Parquet file that may be larger than memory, block by block.

        Parameters
        ----------
        path : path
        block_rows : int
            Rows that are read at a time; the file is read once for each iteration.

        Returns
        -------
        self

        Raises
        ------
        UsageError
            There is no such file.
        DataError
            A line or a cell cannot be used.
        """
        self._check_parameters()
        scan, encoding, _ = open_table(path, None, getattr(self, "kinds", None), block_rows)
        adopt_encoding(self, encoding)
        rng = generator_of(self.random_state)
        blocks = FileBlocks(scan, encoding, block_rows)
        x, _ = sample_rows(blocks, ROWS_TO_SAMPLE, rng)
        bank = self._learn_bank(x, None, float(scan.n_rows))
        starts = self._starts(x, None, bank, self._prior, rng)
        self._climb(starts, replace(blocks, rows=fitting.block_rows(bank)))
        return self

    def _learn_bank(self, x: Any, weights: FloatArray | None, n_rows: float) -> Family:
        """Members at the scale of the data; the prior is set on the way."""
        pooled = fitting.pool(self._template(x, weights), x, weights)
        bank = pooled.select(np.zeros(self.n_components, dtype=np.intp))
        self._prior = MixturePrior(0.0, self._family_prior(n_rows, bank))
        return bank

    def _climb(self, starts: Any, blocks: Any) -> None:
        """EM from every start; the best result is kept."""
        best: tuple[Mixture, Report] | None = None
        for start in starts:
            story, report = expectation_maximisation(
                start, blocks, prior=self._prior, max_iter=self.max_iter, tol=self.tol
            )
            if best is None or report.objective > best[1].objective:
                best = story, report
        assert best is not None
        self._accept(*best)

    def _starts(
        self,
        x: Any,
        weights: FloatArray | None,
        bank: Family,
        prior: MixturePrior,
        rng: np.random.Generator,
    ) -> Any:
        """One story for each of ``n_init`` starts."""
        n = int(x.shape[0])
        chosen = np.arange(n)
        if n > _ROWS_TO_START:
            chosen = np.sort(rng.choice(n, size=_ROWS_TO_START, replace=False))
        rows = x if len(chosen) == n else x[chosen]
        row_weights = None if weights is None else weights[chosen]
        features = start_features(_dense_start(rows), self.columns_.levels)
        flat = np.full(self.n_components, -np.log(self.n_components))
        for i in range(self.n_init):
            # k-means mostly ends where it ended before; later starts have to differ to be worth it.
            how = "k-means++" if i and self.init_params == "kmeans" else self.init_params
            shares = start_responsibilities(
                features,
                self.n_components,
                how,
                row_weights,
                rng,
            )
            if row_weights is not None:
                shares *= row_weights[:, None]
            yield fitting.from_responsibilities(
                self._start_from(Mixture(flat, bank), rows, shares), rows, shares, prior
            )

    def _start_from(self, story: Mixture, rows: Any, shares: FloatArray) -> Mixture:
        """The story whose M-step follows; families with latent parts of their own begin here."""
        return story

    def _template(self, x: Any, weights: FloatArray | None) -> Family:
        raise NotImplementedError

    def _family_prior(self, n_rows: float, bank: Family) -> Any:
        raise NotImplementedError

    def _check_parameters(self) -> None:
        for name in ("n_components", "max_iter", "n_init"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise UsageError(f"{name} must be a whole number of at least 1, not {value!r}.")
        if not isinstance(self.tol, int | float | np.number) or not self.tol >= 0:
            raise UsageError(f"tol must be a number that is not negative, not {self.tol!r}.")
        if self.init_params not in START_NAMES:
            raise UsageError(
                f"init_params must be one of {', '.join(START_NAMES)}, not {self.init_params!r}."
            )

    def _accept(self, story: Mixture, report: Report) -> None:
        self.story_ = story
        self.report_ = report
        self.converged_ = report.converged
        self.n_iter_ = report.n_iterations
        self.lower_bound_ = report.objective
        self.lower_bounds_ = list(report.trace)
        self._refresh()
        if not report.converged:
            warn(
                f"{type(self).__name__} stopped before it converged ({report.reason} after "
                f"{report.n_iterations} iterations): raise max_iter={self.max_iter} or "
                f"tol={self.tol}, or try other starts (n_init, init_params).",
                ConvergenceWarning,
            )

    def _refresh(self) -> None:
        self.weights_ = np.exp(self.story_.log_weights)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable component of each row, (n,)."""
        return np.asarray(self.predict_proba(X).argmax(axis=1))

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, then the most probable component of each row."""
        return self.fit(X).predict(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log density of the rows, in nats; ``y`` is ignored."""
        return float(np.average(self.score_samples(X), weights=sample_weight))


def _dense_start(x: Any) -> FloatArray:
    """Rows for k-means; of word counts the most frequent words are enough."""
    if not hasattr(x, "toarray"):
        return np.asarray(x, dtype=np.float64)
    totals = np.asarray(x.sum(axis=0)).ravel()
    frequent = np.sort(np.argsort(-np.nan_to_num(totals), kind="stable")[:200])
    return np.asarray(x[:, frequent].toarray(), dtype=np.float64)

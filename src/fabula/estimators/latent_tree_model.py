"""Latent trees over tables with columns of any kind."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.estimators.base.arguments import generator_of
from fabula.estimators.base.columns import adopt_encoding
from fabula.estimators.base.families import choose_families, family_names
from fabula.estimators.base.files import ROWS_TO_SAMPLE, FileBlocks, open_table, sample_rows
from fabula.estimators.base.limits import refuse_impossible_cells
from fabula.estimators.base.target import read_target
from fabula.estimators.base.target_questions import TargetQuestions
from fabula.estimators.trees.aims import aim_named, settings_of
from fabula.estimators.trees.averages import averaged, held_out_of, one_report
from fabula.estimators.trees.columns import ExtendedBlocks, TreeColumns
from fabula.estimators.trees.fitting import default_family, fit_trees, pooled_banks, prior_of
from fabula.estimators.trees.privacy import fit_privately
from fabula.estimators.trees.public import forget_the_rows, stated_bounds, steps_of
from fabula.estimators.trees.shapes import TreeShapeFound, learn_shapes
from fabula.families.base import Family
from fabula.families.product import Product
from fabula.learning.em import Report, expectation_maximisation
from fabula.persistence.registry import storable
from fabula.structures.trees.average import trees_of
from fabula.structures.trees.latent_tree import LatentTree

__all__ = ["LatentTreeModel"]

_MISSING = ("auto", "ignore", "value")
# Passes of EM over a file, after its sample has been learned from.
_PASSES_OVER_FILE = 4


@storable("estimator/latent_tree_model")
class LatentTreeModel(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, TreeColumns, TargetQuestions
):
    """A hidden state behind every column, joined in the tree that holds most of the dependence.

    It describes how the columns of a table hang together, whatever their kinds, and answers every
    question exactly: densities, missing cells, conditions on values, intervals and sets, and the
    class probabilities of any column of categories. Draws make synthetic tables.

    Parameters
    ----------
    n_states : int or "auto"
        H, the states of every hidden variable. "auto" splits states for as long as rows that were
        held out become more probable, within ``max_time``; see ``aim`` for the other way.
    aim : {"density", "likeness"}
        What rows are to be learned for. "density": that new rows are probable, hence few states
        and much smoothing, with everything chosen on rows that are held out. "likeness": that
        draws are hard to tell from the rows, hence a state for every 160 rows (up to 128) and
        little smoothing, which costs some likelihood of new rows. Settings that are None are set
        accordingly.
    n_bins : int, optional
        About how many bins a column of numbers is cut into; by default 100 for likeness, and by
        the number of rows for density.
    families : "auto", name, or mapping of column to name
        As in `NaiveBayes`; "auto" cuts numbers into bins.
    kinds : mapping of column to kind, optional
        What a column is, where the schema would guess otherwise.
    missing : {"auto", "ignore", "value"}
        "ignore" integrates missing cells out, which is right where they are missing at random.
        "value" makes whether a cell is missing a column of its own beside it, so that this may
        depend on all else, and draws have cells missing as the rows had. "auto" takes "value" for
        the columns in which the other columns tell which cells are missing.
    smoothing : float, optional
        Pseudo-observations of every state: transitions spread evenly, categories as in the whole
        table. By default .3 for density and .05 for likeness.
    nearness : float, optional
        Pseudo-observations that spread the bins of a state over their neighbours, at every scale.
        By default 1 for density and .3 for likeness.
    joining : float or "auto", optional
        Columns that share at least so many nats with the one they hang on share its hidden
        variable, too; 0 makes a mixture, infinity gives every column a variable of its own.
        "auto" tries 0.15, 0.3 and infinity with few states, and takes what does best on rows that
        were held out. By default "auto" for density and infinity for likeness.
    max_passes : int, optional
        Passes over the rows with the final number of states, at most; by default 30 for density
        and 60 for likeness.
    max_time : float
        Seconds after which "auto" adds no further states and passes end; every number of states
        on the way to one that was asked for gets one pass at least.
    batch : int, optional
        Rows of one step of stepwise EM; by default a twentieth, from 256 to 4,096.
    validation : float, optional
        Share of the rows that is held out to judge progress; they take part in the last step. By
        default a tenth for density and none for likeness.
    n_init : int
        Number of climbs, of which the best on held-out rows is kept.
    n_trees : int
        Trees whose densities are averaged, each grown from other starts and, but for the first,
        on a shape that chance has a part in. New rows become more probable, every answer stays
        exact, and a question costs as many times more. ``max_time`` is for all of them together.
    privacy : (float, float), optional
        ε and δ of differential privacy: the tree is then made of noisy counts of values and pairs,
        with one state for each group of values, and everything about how states are learned is of
        no account but ``n_states``, then the most groups of a column. Names, kinds, decimals and
        levels of columns, and values of constant ones, are taken as public. See
        `docs <synthetic_tables.html>`_.
    bounds : mapping of column to (low, high), optional
        With ``privacy``: between which ends the numbers of a column lie, where that is known from
        elsewhere; values beyond are cut off. Other ends are found with noise.
    random_state : int, Generator, RandomState or None

    Attributes
    ----------
    n_states_ : int
        H; where there are several trees, the most of any.
    tree_ : list of (column, column or None, float)
        Each column, the one it hangs on, and their mutual information in nats; of the first tree,
        where there are several.
    families_ : dict
        Column → name of its family.
    classes_ : (C,) array
        The classes, where there was a ``y``.
    held_out_score_ : float
        Mean log density of the held-out rows, in nats; NaN where none were held out.
    story_, report_
        The fitted `LatentTree`, or `TreeAverage` of several, and how the climb went; that of the
        trees one after another.
    privacy_ : dict or None
        What was promised and spent: ``epsilon``, ``delta``, ``rho``, the ``unit`` that is
        protected, and sensitivity and noise of every release.

    References
    ----------
    Chow and Liu (1968), IEEE Trans. Inf. Theory 14:462. Liu and Van den Broeck (2021), NeurIPS
    34:3912 (hidden Chow–Liu trees). Liang and Klein (2009), NAACL (stepwise EM).

    Examples
    --------
    >>> import polars as pl
    >>> from fabula.estimators.latent_tree_model import LatentTreeModel
    >>> table = pl.DataFrame(
    ...     {"size": [1.6, 1.7, None, 1.8, 1.9, 1.6] * 5, "sex": ["f", "f", "f", "m", "m", "f"] * 5}
    ... )
    >>> model = LatentTreeModel(2, random_state=0).fit(table)
    >>> model.predict(table[:1], target="sex").tolist()
    ['f']
    >>> model.impute(table)["size"].null_count()
    0
    """

    def __init__(
        self,
        n_states: int | str = "auto",
        *,
        aim: str = "density",
        n_bins: int | None = None,
        families: str | Mapping[Any, str] = "auto",
        kinds: Mapping[Any, str] | None = None,
        missing: str = "auto",
        smoothing: float | None = None,
        nearness: float | None = None,
        joining: float | str | None = None,
        max_passes: int | None = None,
        max_time: float = 60.0,
        batch: int | None = None,
        validation: float | None = None,
        n_init: int = 1,
        n_trees: int = 1,
        privacy: tuple[float, float] | None = None,
        bounds: Mapping[Any, tuple[Any, Any]] | None = None,
        random_state: Any = None,
    ):
        self.n_states = n_states
        self.aim = aim
        self.n_bins = n_bins
        self.families = families
        self.kinds = kinds
        self.missing = missing
        self.smoothing = smoothing
        self.nearness = nearness
        self.joining = joining
        self.max_passes = max_passes
        self.max_time = max_time
        self.batch = batch
        self.validation = validation
        self.n_init = n_init
        self.n_trees = n_trees
        self.privacy = privacy
        self.bounds = bounds
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn the tree and its states.

        Parameters
        ----------
        X : (n, d) array or data frame
            Missing cells are NaN or null.
        y : (n,) array, optional
            Classes, which become one more column; -1, None or NaN where a row has none.
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
            A cell cannot be used or is impossible for its family.
        """
        self._check_parameters()
        self._extras_reset()
        x = self._read(X, reset=True, kinds=self.kinds)
        weights = self._read_weights(sample_weight, x)
        rng = generator_of(self.random_state)
        if y is not None:
            self.classes_, codes = read_target(y, int(x.shape[0]))
            x = self._add_target(x, getattr(y, "name", None), codes)
        self.privacy_: dict[str, Any] | None = None
        if self.privacy is not None:
            return self._fit_privately(x, sample_weight)
        self._learn(self._add_indicators(x, weights), weights, rng)
        return self

    def fit_file(self, path: Any, target: str | None = None, *, block_rows: int = 65_536) -> Self:
        """Learn from a CSV or Parquet file that may be larger than memory, block by block.

        The tree, its bins and its states are learned from a sample of 50,000 rows; then all rows
        have their say in a few passes of EM over the file.

        Parameters
        ----------
        path : path
        target : str, optional
            Column with the classes, which may be empty.
        block_rows : int
            Rows that are read at a time.

        Returns
        -------
        self

        Raises
        ------
        UsageError
            There is no such file or column, or ``privacy`` is asked for.
        DataError
            A line or a cell cannot be used.
        """
        self._check_parameters()
        if self.privacy is not None:
            raise UsageError("privacy does not go with fit_file: read the table, and fit to that.")
        self._extras_reset()
        self.privacy_ = None
        scan, encoding, classes = open_table(path, target, self.kinds, block_rows)
        adopt_encoding(self, encoding)
        rng = generator_of(self.random_state)
        codes = None
        if classes is not None:
            self.classes_, codes = classes
        blocks = FileBlocks(scan, encoding, block_rows, target, codes)
        x, known = sample_rows(blocks, ROWS_TO_SAMPLE, rng)
        self._refuse_text(x)
        if known is not None:
            x = self._add_target(x, target, known)
        banks = self._learn(self._add_indicators(x, None), None, rng)
        if scan.n_rows > len(x):
            self._learn_on(ExtendedBlocks(blocks, self._extended), banks, len(x))
        return self

    def _learn_on(self, every: ExtendedBlocks, banks: tuple[Family, ...], n_learned: int) -> None:
        """Let all rows of a file have their say, in each tree on its own."""
        settings = settings_of(self, n_learned)
        stories: list[LatentTree] = []
        reports = []
        for tree in trees_of(self.story_):
            story, report = expectation_maximisation(
                tree,
                every,
                prior=prior_of(banks, tree.n_states, settings),
                max_iter=min(_PASSES_OVER_FILE, settings.max_passes),
                tol=1e-4,
            )
            stories.append(story)
            # To the number of passes that was set beforehand, EM has done what it was to do.
            reports.append(replace(report, converged=True))
        self.story_, self.report_ = averaged(stories), one_report(reports)
        self._refresh()

    def _learn(
        self, x: Any, weights: FloatArray | None, rng: np.random.Generator
    ) -> tuple[Family, ...]:
        """The trees, their bins and states, from rows with all columns; returns the banks."""
        fields = self.columns_.fields
        names = choose_families(fields, x, None, _no_shares)
        auto = [default_family(field) for field in fields]
        if self.families != "auto":
            wanted = choose_families(fields, x, self.families, _no_shares)
            auto = [a if w == n else w for a, w, n in zip(auto, wanted, names, strict=True)]  # type: ignore[misc]
        self.families_ = family_names(fields, auto)
        n_bins = aim_named(self.aim).n_bins if self.n_bins is None else int(self.n_bins)
        # All trees share the bins: a spike of one must not meet a density of another.
        banks = pooled_banks(x, fields, auto, weights, n_bins)
        everything = Product(banks, tuple((j,) for j in range(len(banks))))
        refuse_impossible_cells(everything, x, [field.column for field in fields])
        shapes = learn_shapes(x, fields, weights, rng, int(self.n_trees))
        settings = settings_of(self, len(x))
        fitted, held_weights = fit_trees(x, shapes, banks, settings, weights, rng)
        self.story_ = averaged([one.story for one in fitted])
        self.report_ = one_report([one.report for one in fitted])
        self.held_out_score_ = held_out_of(fitted, held_weights)
        self.n_iter_ = self.report_.n_iterations
        self._name_tree(shapes[0])
        self._refresh()
        return banks

    def _fit_privately(self, x: FloatArray, sample_weight: Any) -> Self:
        """The same from noisy counts; nothing else of the rows is kept."""
        if sample_weight is not None:
            raise UsageError(
                "sample_weight does not go with privacy: one row must count for one row."
            )
        assert self.privacy is not None
        if self.missing == "value":  # which cells are missing tells of rows, so "auto" may not look
            x = self._add_indicators(x, None)
        fields = self.columns_.fields
        stated, steps = stated_bounds(self, self.bounds), steps_of(self)
        most = None if isinstance(self.n_states, str) else int(self.n_states)
        smoothing = settings_of(self, len(x)).smoothing
        began = time.perf_counter()
        found = fit_privately(
            x, fields, self.privacy, stated, steps, most_codes=most, smoothing=smoothing
        )
        self.families_ = family_names(
            fields, ["categorical" if f.n_levels else "bins" for f in fields]
        )
        self.story_ = found.story
        self.privacy_ = found.spending
        self.report_ = Report((), True, "converged", 0, time.perf_counter() - began)
        self.held_out_score_ = math.nan
        self.n_iter_ = 0
        self._name_tree(TreeShapeFound(found.columns, found.parents, found.strengths))
        forget_the_rows(self, found.bounds)
        self._refresh()
        return self

    def transform(self, X: Any) -> FloatArray:
        """Posterior probabilities of all hidden states, (n, m H): a representation of rows.

        Node by node in the order of ``tree_``, each with the H probabilities of its states; where
        there are several trees, one after another, each as if it were the only one.
        """
        x = self._read(X)
        states = [
            tree.state_posteriors(x, range(tree.n_nodes))[1].reshape(len(x), -1)
            for tree in trees_of(self.story_)
        ]
        return np.concatenate(states, axis=1)

    @property
    def _n_features_out(self) -> int:
        return sum(tree.n_nodes * tree.n_states for tree in trees_of(self.story_))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log density of the rows, in nats; ``y`` is ignored."""
        return float(np.average(self.score_samples(X), weights=sample_weight))

    def _refresh(self) -> None:
        self.n_states_ = self.story_.n_states

    def _check_parameters(self) -> None:
        for name in ("n_states", "max_passes", "n_init", "n_trees", "batch", "n_bins"):
            value = getattr(self, name)
            if (name == "n_states" and value == "auto") or (
                value is None and name in ("max_passes", "batch", "n_bins")
            ):
                continue
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise UsageError(f"{name} must be a whole number of at least 1, not {value!r}.")
        for name in ("smoothing", "nearness", "joining", "max_time"):
            value = getattr(self, name)
            if (name == "joining" and value == "auto") or (value is None and name != "max_time"):
                continue
            if not isinstance(value, int | float | np.number) or not value >= 0:
                raise UsageError(f"{name} must be a number that is not negative, not {value!r}.")
        if self.bounds is not None and self.privacy is None:
            raise UsageError("bounds are for a fit with privacy; without it, rows tell them.")
        if self.privacy is not None and self.n_trees > 1:
            raise UsageError(
                "n_trees does not go with privacy: what is promised is spent on one tree."
            )
        if self.privacy is not None and (
            not isinstance(self.privacy, tuple | list) or len(self.privacy) != 2
        ):
            raise UsageError(f"privacy must be (epsilon, delta), not {self.privacy!r}.")
        aim_named(self.aim)
        share = 0.0 if self.validation is None else self.validation
        if not isinstance(share, int | float) or not 0 <= share < 1:
            raise UsageError(
                f"validation must be a share from 0 to below 1, not {self.validation!r}."
            )
        if self.missing not in _MISSING:
            raise UsageError(f"missing must be one of {', '.join(_MISSING)}, not {self.missing!r}.")


def _no_shares(rows: Any) -> FloatArray:
    """Every row counts once for the one class there is."""
    n = len(range(*rows.indices(1))) if isinstance(rows, slice) else len(rows)
    return np.ones((n, 1))

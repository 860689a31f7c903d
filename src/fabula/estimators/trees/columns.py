"""Columns of a tree that are no columns of the table: the target, and whether a cell is missing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import Codes, FloatArray
from fabula.core.blocks import Block
from fabula.core.errors import CannotAnswerError, UsageError
from fabula.core.regions import Region
from fabula.estimators.base.arguments import check_n_samples, generator_of
from fabula.estimators.base.columns import Columns
from fabula.estimators.base.questions import TableQuestions
from fabula.estimators.base.table import TableEstimator
from fabula.estimators.trees.shapes import TreeShapeFound
from fabula.learning.dependence import group_values, mutual_information
from fabula.tables.encoding import Field

__all__ = ["ExtendedBlocks", "TreeColumns"]

# Missing cells are a matter of their own where other columns tell so many nats of them, ...
_TELLING = 0.01
# ... which chance would hardly give: in units of 1 / n.
_CHANCE = 12.0


@dataclass(frozen=True)
class ExtendedBlocks:
    """Blocks of a file whose rows have the further columns of a tree."""

    blocks: Iterable[Block]
    extend: Callable[[FloatArray, Codes | None], FloatArray]

    def __iter__(self) -> Iterator[Block]:
        for block in self.blocks:
            yield Block(self.extend(block.x, block.known))


Edge = tuple[str, str | None, float]


class TreeColumns(TableQuestions):
    """Rows of the table with further columns behind them.

    The columns of the story are those of the table, then the target (if there was a ``y``), then
    one for each column of which it matters whether a cell is missing.
    """

    target_: Any
    indicators_: list[Any]
    tree_: list[Edge]
    missing: str

    def _extras_reset(self) -> None:
        self.target_ = None
        self.indicators_ = []
        self._forget("classes_", "log_condition_")

    @property
    def _n_table(self) -> int:
        """Encoded columns that are columns of the table."""
        return len(self.columns_.fields) - (self.target_ is not None) - len(self.indicators_)

    # Reading ----------------------------------------------------------------------------------

    def _read(
        self,
        X: Any,
        *,
        reset: bool = False,
        kinds: Mapping[Any, Any] | None = None,
        check: bool = True,
    ) -> Any:
        x = super()._read(X, reset=reset, kinds=kinds, check=check)
        self._refuse_text(x)
        return x if reset else self._extended(x)

    def _refuse_text(self, x: Any) -> None:
        if hasattr(x, "toarray"):
            raise CannotAnswerError(
                "text",
                type(self).__name__,
                "words are no columns of a tree; leave columns of text out (kind identifier)",
                ("NaiveBayes", "MixtureModel"),
            )

    def _extended(self, x: FloatArray, known: Codes | None = None) -> FloatArray:
        """Rows of the table with the further columns of the story; the class where it is known."""
        parts = [np.asarray(x, dtype=np.float64)]
        if self.target_ is not None:
            codes = np.full(len(x), np.nan) if known is None else np.where(known < 0, np.nan, known)
            parts.append(codes[:, None])
        parts += [np.isnan(x[:, self._place_told_of(name)]).astype(float)[:, None]
                  for name in self.indicators_]  # fmt: skip
        return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    def _place_told_of(self, indicator: Any) -> int:
        """The column of the table of which an indicator says whether its cell is missing."""
        table = self.columns_.fields[: self._n_table]
        return next(j for j, field in enumerate(table) if _indicator_name(field) == indicator)

    def _add_target(self, x: FloatArray, name: Any, codes: Codes) -> FloatArray:
        name = "target" if name is None or name in self.columns_.places else name
        while name in self.columns_.places:
            name = f"{name}_"
        self.target_ = name
        field = Field(name, "category", len(self.classes_))
        self.columns_ = Columns((*self.columns_.fields, field))
        return np.concatenate([x, np.where(codes < 0, np.nan, codes)[:, None]], axis=1)

    def _add_indicators(self, x: FloatArray, weights: FloatArray | None) -> FloatArray:
        """Rows with a column behind them for each that is missing in a telling way."""
        n_table = self._n_table
        if self.missing == "ignore":
            return x
        holes = np.isnan(x[:, :n_table])
        some = [int(j) for j in np.flatnonzero(holes.any(axis=0)) if not holes[:, j].all()]
        if self.missing == "auto" and some:
            some = self._telling(x, holes, some, weights)
        fields = [self.columns_.fields[j] for j in some]
        self.indicators_ = [_indicator_name(field) for field in fields]
        added = tuple(Field(name, "boolean", 2) for name in self.indicators_)
        self.columns_ = Columns((*self.columns_.fields, *added))
        return np.concatenate([x, holes[:, some].astype(np.float64)], axis=1)

    def _telling(
        self, x: FloatArray, holes: np.ndarray, some: list[Any], weights: FloatArray | None
    ) -> list[int]:
        """Columns whose missing cells other columns tell of, or that are missing together."""
        rows = np.linspace(0, len(x) - 1, min(len(x), 20_000)).astype(np.intp)
        codes, sizes = [], []
        for j, field in enumerate(self.columns_.fields):
            ordered = field.kind not in ("category", "boolean")
            code, size = group_values(x[rows, j], 8, ordered=ordered)
            codes.append(code)
            sizes.append(size)
        for j in some:
            codes.append(holes[rows, j].astype(np.intp))
            sizes.append(2)
        told = mutual_information(
            np.stack(codes, axis=1), sizes, None if weights is None else weights[rows]
        )
        np.fill_diagonal(told, 0.0)
        first = len(self.columns_.fields)
        least = max(_TELLING, _CHANCE / len(rows))
        return [
            int(j)
            for k, j in enumerate(some)
            if np.delete(told[first + k], j).max(initial=0.0) > least
        ]

    def _name_tree(self, shape: TreeShapeFound) -> None:
        names = [self.columns_.fields[j].name for j in shape.columns]
        self.tree_ = [
            (name, names[parent] if parent >= 0 else None, float(strength))
            for name, parent, strength in zip(names, shape.parents, shape.strengths, strict=True)
        ]

    # Giving back ------------------------------------------------------------------------------

    def _table_view(self) -> TableEstimator:
        """The model as if it had the columns of the table alone."""
        view = copy.copy(self)
        view.columns_ = self.columns_.keep(range(self._n_table))
        return view

    def _give(self, x: FloatArray, condition: Mapping[int, float | Region] | None = None) -> Any:
        n = self._n_table
        table = np.array(x[:, :n])
        for k, name in enumerate(self.indicators_):
            missing = x[:, len(self.columns_.fields) - len(self.indicators_) + k] == 1.0
            table[missing, self._place_told_of(name)] = np.nan
        given = {j: region for j, region in (condition or {}).items() if j < n}
        return TableEstimator._give(self._table_view(), table, given)

    def _give_completed(self, X: Any, x: FloatArray, filled: FloatArray) -> Any:
        n = self._n_table
        return TableQuestions._give_completed(
            self._table_view(),
            X,
            x[:, :n],
            filled[:, :n],
        )

    def sample(
        self,
        n_samples: int = 1,
        random_state: Any = None,
        *,
        given: Mapping[Any, Any] | None = None,
    ) -> tuple[Any, np.ndarray]:
        """Draw rows, and the class of each.

        Parameters
        ----------
        n_samples : int
        random_state : int, Generator, RandomState or None
            None takes the ``random_state`` of the estimator.
        given : mapping, optional
            Condition that the rows must meet: a value, an interval ``(low, high)`` or a set of
            values for some of the columns. Draws under it are exact and independent.

        Returns
        -------
        X : in the form of the data of the fit
        y : (n_samples,) array
            The class of each row; where the fit had no ``y``, the state of the root, or the number
            of the tree where there are several.
        """
        check_is_fitted(self, "story_")
        check_n_samples(n_samples)
        rng = generator_of(
            getattr(self, "random_state", None) if random_state is None else random_state
        )
        condition = self._given(given) if given else {}
        rows, members, _ = self.story_.sample_given(int(n_samples), condition, rng)
        self.effective_sample_size_ = float(n_samples)
        if self.target_ is not None:
            place = self.columns_.find(self.target_)[0]
            members = np.asarray(self.classes_)[rows[:, place].astype(np.intp)]
        return self._give(rows, condition), members

    # Columns ----------------------------------------------------------------------------------

    def _code(self, field: Field, value: Any) -> float:
        if self.target_ is not None and field.column == self.target_:
            found = [k for k, name in enumerate(self.classes_.tolist()) if str(name) == str(value)]
            if not found:
                raise UsageError(f"{value!r} is none of the classes {self.classes_.tolist()}.")
            return float(found[0])
        if field.column in self.indicators_:
            return float(bool(value))
        return super()._code(field, value)

    def _check_modelled(self, name: Any) -> None:
        if name not in self.columns_.places:
            super()._check_modelled(name)

    def _rounding(self, field: Field) -> float:
        if field.column == self.target_ or field.column in self.indicators_:
            return 0.0
        return super()._rounding(field)

    def _given(self, given: Mapping[Any, Any]) -> dict[int, float | Region]:
        condition = super()._given(given)
        # Of a cell that something is known of, it is known that it is not missing.
        for name in self.indicators_:
            place = self.columns_.find(name)[0]
            if self._place_told_of(name) in condition and place not in condition:
                condition[place] = 0.0
        return condition

    def marginal(self, columns: Sequence[Any]) -> Self:
        """A fitted tree of some of the columns, in that order; the others are integrated out.

        The column that holds the classes is kept, as classifiers keep theirs.

        Parameters
        ----------
        columns : list
            Names of columns, or their indices in a plain array.

        Returns
        -------
        LatentTreeModel

        Raises
        ------
        UsageError
            The list is empty, or a column is unknown or stands twice.
        """
        check_is_fitted(self, "story_")
        if isinstance(columns, str | int | np.integer) or not len(columns):
            raise UsageError("columns must be a list with at least one column.")
        for name in columns:
            self._check_modelled(name)
        encoded = [j for name in columns for j in self.columns_.find(name)]
        if len(set(encoded)) < len(encoded):
            raise UsageError(f"A column stands twice in {list(columns)}.")
        if self.target_ is not None and self.columns_.find(self.target_)[0] not in encoded:
            encoded += self.columns_.find(self.target_)  # as classifiers keep their classes
        # What is kept of a column keeps the word on whether it is missing.
        for name in self.indicators_:
            place = self.columns_.find(name)[0]
            if self._place_told_of(name) in encoded and place not in encoded:
                encoded.append(place)
        first = len(self.columns_.fields) - len(self.indicators_)
        encoded = [j for j in encoded if j < self._n_table] + sorted(
            j for j in encoded if j >= self._n_table and (j < first or self._tells_of(j, encoded))
        )
        return self._with_story(self.story_.marginal(encoded), encoded)

    def _tells_of(self, indicator: int, encoded: Sequence[int]) -> bool:
        """Whether the column that an indicator belongs to is among those that are kept."""
        return self._place_told_of(self.columns_.fields[indicator].column) in encoded

    def _with_story(self, story: Any, encoded: list[int]) -> Self:
        """A copy that tells another story, over the given encoded columns."""
        n = self._n_table
        table = [j for j in encoded if j < n]
        if not table:
            raise CannotAnswerError(
                "no column of the table",
                type(self).__name__,
                "only the target would be left; use predict_proba for its probabilities",
            )
        kept = [self.columns_.fields[j].column for j in encoded if j >= n]
        gone = [name for name in self.indicators_ if name not in kept]
        lone = [j for j in encoded if self.columns_.fields[j].column in self.indicators_
                and self._place_told_of(self.columns_.fields[j].column) not in table]  # fmt: skip
        if lone:
            left = [j for j in encoded if j not in lone]
            return self._with_story(story.marginal([encoded.index(j) for j in left]), left)
        model = copy.copy(self)
        model.target_ = self.target_ if self.target_ in kept else None
        model.indicators_ = [name for name in self.indicators_ if name not in gone]
        model.columns_ = self.columns_.keep(encoded)
        model.story_ = story
        names = self.columns_.keep(table).names
        if self.encoding_ is not None:
            model.encoding_ = self.encoding_.select(names)
            model.feature_names_in_ = np.array([str(n) for n in names], dtype=object)
        else:
            fields = model.columns_.fields
            numbered = [replace(field, column=j) for j, field in enumerate(fields[: len(table)])]
            model.columns_ = Columns((*numbered, *fields[len(table) :]))
            model._rename_indicators(fields[: len(table)], numbered)
        model.n_features_in_ = len(names)
        before = [self.columns_.fields[j].name for j in encoded]
        after = [field.name for field in model.columns_.fields]
        model.tree_ = _contracted(self.tree_, dict(zip(before, after, strict=True)))
        never_seen = getattr(self, "empty_columns_", [])
        model.empty_columns_ = [i for i, j in enumerate(table) if j in never_seen]
        model._refresh()
        return model

    def _rename_indicators(self, before: Sequence[Field], after: Sequence[Field]) -> None:
        """Indicators are called after the columns of an array, which were numbered anew."""
        names: dict[Any, Any] = {
            _indicator_name(b): _indicator_name(a) for b, a in zip(before, after, strict=True)
        }
        self.indicators_ = [names[name] for name in self.indicators_]
        self.columns_ = Columns(
            tuple(
                replace(field, column=names.get(field.column, field.column))
                for field in self.columns_.fields
            )
        )


def _contracted(tree: Sequence[Edge], kept: Mapping[str, str]) -> list[Edge]:
    """The tree over some of its columns, by their new names.

    What hung on a column that is gone hangs on what that one hung on. Along a path of a tree no
    two columns share more than neighbours on it do, which bounds the strength.
    """
    parents = {name: parent for name, parent, _ in tree}
    strengths = {name: strength for name, _, strength in tree}
    for gone in [name for name, _, _ in tree if name not in kept]:
        above = parents.pop(gone)
        below = [name for name, parent in parents.items() if parent == gone]
        if above is None and below:
            above = max(below, key=strengths.__getitem__)
            parents[above], bound = None, strengths[above]
            below.remove(above)
            strengths[above] = 0.0
        else:
            bound = strengths[gone]
        for name in below:
            parents[name], strengths[name] = above, min(strengths[name], bound)
    found: list[Edge] = []
    stack = [name for name, parent in parents.items() if parent is None]
    while stack:  # what hangs on a column stands behind it
        name = stack.pop()
        parent = parents[name]
        found.append((kept[name], None if parent is None else kept[parent], strengths[name]))
        stack += [child for child, its in parents.items() if its == name]
    return found


def _indicator_name(field: Field) -> str:
    return f"{field.column} is missing"

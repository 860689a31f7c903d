"""From what users hand in to rows of numbers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fabula.core.arrays import FloatArray
from fabula.core.blocks import ArrayBlocks
from fabula.core.errors import CannotAnswerError, DataError, warn
from fabula.core.regions import Interval, Region
from fabula.core.threads import ordered_map
from fabula.core.words import count
from fabula.estimators.base.columns import ALL_WORDS, Columns, adopt_encoding, array_fields
from fabula.estimators.base.conditions import ReadsConditions
from fabula.estimators.base.frames import is_frame
from fabula.tables.encoding import Field, TableEncoding

__all__ = ["TableEstimator"]

# Beyond this, somebody who hands in a sparse matrix does not want it dense.
_MOST_BYTES_MADE_DENSE = 2 * 2**30

_CLASSIFIERS = (
    "NaiveBayes",
    "LinearDiscriminantAnalysis",
    "QuadraticDiscriminantAnalysis",
    "GenerativeClassifier",
)
# Questions that some estimators do not have, why, and which do.
_ELSEWHERE: dict[str, tuple[str, tuple[str, ...]]] = {
    name: ("it knows no classes, only hidden components", _CLASSIFIERS)
    for name in ("decide", "decisions", "with_prior", "contributions", "predict_log_proba")
}
_ELSEWHERE["partial_fit"] = (
    "what a row says depends on the final parameters",
    ("NaiveBayes", "LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"),
)
_ELSEWHERE["merge"] = _ELSEWHERE["partial_fit"]


class TableEstimator(ReadsConditions, BaseEstimator):
    """What every estimator over tables shares: reading rows, naming columns, giving them back."""

    _numeric_only = False
    _accepts_sparse = False

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = self._accepts_sparse
        return tags

    def __getattr__(self, name: str) -> Any:
        # Only reached where the estimator has no such attribute.
        if name in _ELSEWHERE:
            why, instead = _ELSEWHERE[name]
            raise CannotAnswerError(name, type(self).__name__, why, instead)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # Files ------------------------------------------------------------------------------------

    def to_state(self) -> dict[str, Any]:
        """What a file holds: parameters and what was learned, by name; nothing before a fit."""
        parameters = {
            name: value
            for name, value in self.get_params(deep=False).items()
            # The state of a generator is not part of a model; a seed is.
            if not isinstance(value, np.random.Generator | np.random.RandomState)
        }
        learned = {
            name: value
            for name, value in vars(self).items()
            if name.endswith("_") and not name.startswith("_") and name not in parameters
        }
        if "story_" not in learned:
            # An estimator that was given to another as a parameter has nothing but its own.
            return {"parameters": parameters, "learned": {}}
        columns = learned.pop("columns_")
        learned["columns_"] = [
            [field.column, field.kind, field.n_levels, field.word] for field in columns.fields
        ]
        return {"parameters": parameters, "learned": learned}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The estimator that `to_state` took apart."""
        if set(state) != {"parameters", "learned"}:
            raise DataError(f"a {cls.__name__} has parameters and what it learned, nothing else")
        model = cls(**state["parameters"])
        if not state["learned"]:
            return model
        if "story_" not in state["learned"]:
            raise DataError(f"what a {cls.__name__} learned has no story")
        learned = dict(state["learned"])
        columns = [
            Field(name, kind, levels, word) for name, kind, levels, word in learned.pop("columns_")
        ]
        if len(columns) != learned["story_"].n_columns:
            raise DataError(
                f"the story has {learned['story_'].n_columns} columns, the table {len(columns)}"
            )
        for name in learned:
            if not name.endswith("_") or name.startswith("_") or hasattr(cls, name):
                raise DataError(f"{name!r} is not something that a {cls.__name__} learns")
        for name, value in learned.items():
            setattr(model, name, value)
        model.columns_ = Columns(tuple(columns))
        return model

    # Reading ----------------------------------------------------------------------------------

    def _read(
        self,
        X: Any,
        *,
        reset: bool = False,
        kinds: Mapping[Any, Any] | None = None,
        check: bool = True,
    ) -> Any:
        """Encoded rows (n, d) of what the user handed in; learns the encoding when ``reset``.

        Without ``check`` the caller looks for cells of an array that are no finite numbers.
        """
        if not reset:
            check_is_fitted(self, "columns_")
        if is_frame(X):
            return self._read_frame(X, reset, kinds)
        if not reset and getattr(self, "encoding_", None) is not None:
            return self._read_array_as_frame(X)
        x = self._validate(X, reset)
        if hasattr(x, "indptr"):
            x = self._read_sparse(x)
        if reset:
            self.encoding_ = None
            self.container_ = "numpy"
            kinds = dict(kinds or {}) if not hasattr(x, "indptr") else ALL_WORDS
            # The classes of a classifier must count the same levels, or they cannot be compared.
            shared = getattr(self, "_shared_columns", None)
            self.columns_ = shared or Columns(tuple(array_fields(x, kinds)))
            self.empty_columns_ = _empty_columns(x)
        return _refuse_infinities(x) if check else x

    def _validate(self, X: Any, reset: bool) -> Any:
        try:
            return validate_data(
                self,
                X,
                reset=reset,
                dtype=[np.float64, np.float32],
                ensure_all_finite=False,  # infinities are refused later, by row and column
                accept_sparse="csr" if self._accepts_sparse else False,
            )
        except ValueError as error:
            if "could not convert string" not in str(error):
                raise
            raise DataError(
                f"The array holds text ({error}). Hand in a data frame (pandas, polars or "
                "pyarrow), whose columns may hold numbers, categories, dates and text."
            ) from None

    def _read_sparse(self, x: Any) -> Any:
        """Counts of words stay sparse; any other family needs every cell."""
        from scipy.sparse import csr_array

        if getattr(self, "families", None) == "multinomial":
            return csr_array(x)
        n_bytes = 8 * x.shape[0] * x.shape[1]
        if n_bytes > _MOST_BYTES_MADE_DENSE:
            raise DataError(
                f"A sparse matrix of shape {x.shape} would take {n_bytes / 2**30:.1f} GiB when "
                "made dense, which every family but one needs. If it counts words, say "
                "families='multinomial'; else keep fewer columns."
            )
        return x.toarray()

    def _read_frame(self, X: Any, reset: bool, kinds: Mapping[Any, Any] | None) -> Any:
        if reset:
            shared = getattr(self, "_shared_encoding", None)
            self.encoding_ = shared or TableEncoding.fit(X, kinds=dict(kinds) if kinds else None)
            adopt_encoding(self, self.encoding_, type(X).__module__.partition(".")[0])
            self.n_features_in_ = X.shape[1]
            names = _frame_names(X)
            if all(isinstance(name, str) for name in names):
                self.feature_names_in_ = np.array(names, dtype=object)
            elif hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            _need_rows(X.shape[0])
        elif self.encoding_ is None:
            return self._read(X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X))
        return self.encoding_.encode(X)

    def _read_array_as_frame(self, X: Any) -> Any:
        from sklearn.utils.validation import _check_feature_names

        array = np.asarray(X)
        if array.ndim == 2 and array.dtype.kind in "fiub":
            _check_feature_names(self, X, reset=False)
            if array.shape[1] != self.n_features_in_:
                raise DataError(
                    f"X has {array.shape[1]} features, but {type(self).__name__} is expecting "
                    f"{self.n_features_in_} features as input."
                )
            if all(field.kind == "continuous" for field in self.columns_.fields):
                names = list(self.columns_.names)
                if len(names) == array.shape[1]:
                    return _refuse_infinities(array.astype(np.float64, copy=False))
        raise DataError(
            f"{type(self).__name__} was fitted on a data frame with the columns "
            f"{', '.join(map(str, self.columns_.names))}; hand in a data frame with these columns, "
            "since an array does not say what its numbers stand for."
        )

    def _check_kinds(self) -> None:
        if not self._numeric_only:
            return
        for field in self.columns_.fields:
            if field.kind in ("category", "text"):
                what = "categories" if field.kind == "category" else "text"
                raise DataError(
                    f"Column {field.column!r} holds {what}, but {type(self).__name__} models "
                    "numbers only. Leave the column out, or use NaiveBayes (with a target) or "
                    "MixtureModel (without), which take columns of every kind."
                )

    def _read_weights(self, sample_weight: Any, x: Any) -> FloatArray | None:
        """Weights of the rows (n,), not negative and not all zero; None where all count once."""
        if sample_weight is None:
            return None
        weights = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        if not weights.sum() > 0:
            raise DataError("sample_weight is zero for every row: nothing is left to learn from.")
        return np.asarray(weights)

    # Giving back ------------------------------------------------------------------------------

    def _give(self, x: FloatArray, condition: Mapping[int, float | Region] | None = None) -> Any:
        """Rows in the form of the data the estimator was fitted on.

        Columns that a condition is about keep to the condition, whatever range was seen before.
        """
        if self.encoding_ is None:
            return x
        for j, n_levels in self.columns_.levels.items():
            # A family of numbers may have drawn what lies between two codes.
            x[:, j] = np.clip(np.rint(x[:, j]), 0, n_levels)
        given = condition or {}
        for j, region in given.items():
            x[:, j] = self._on_grid(j, x[:, j], region)
        exact = [self.columns_.fields[j].column for j in given]
        return self.encoding_.decode(x, like=self.container_, exact=exact)

    def _on_grid(self, j: int, values: FloatArray, region: float | Region) -> FloatArray:
        """Values rounded as the column is written, as far as the condition allows."""
        assert self.encoding_ is not None
        column = self.encoding_.schema[self.columns_.fields[j].column]
        if not isinstance(region, Interval) or column.levels or column.decimals is None:
            return values
        step = 10.0**-column.decimals
        rounded = np.round(values, column.decimals)
        rounded = np.where(rounded < region.low, np.ceil(region.low / step) * step, rounded)
        rounded = np.where(rounded > region.high, np.floor(region.high / step) * step, rounded)
        return np.where(region.contains(rounded), rounded, values)


def _empty_columns(x: Any) -> list[int]:
    """Columns of an array without a single value: all that could be said of them is made up."""
    if hasattr(x, "indptr") or np.isfinite(x[:1]).all():
        return []  # one whole row is enough to know that no column is empty
    empty = np.flatnonzero(np.isnan(x).all(axis=0)).tolist()
    if empty:
        warn(
            f"{count(len(empty), 'column')} of the array ({', '.join(map(str, empty[:10]))}) hold "
            "no value at all: they say nothing of any row, and impute leaves them missing."
        )
    return empty


def _frame_names(X: Any) -> list[Any]:
    names = X.column_names if hasattr(X, "column_names") else X.columns
    return list(names)


def _need_rows(n: int) -> None:
    if n < 1:
        raise DataError("Found array with 0 sample(s): the table has no rows to learn from.")


def _refuse_infinities(x: Any) -> Any:
    """NaN means missing; an infinity means that something went wrong before."""
    if is_finite(x):
        return x
    values = x.data if hasattr(x, "indptr") else x
    if not np.isinf(values).any():
        return x
    dense = x.toarray() if hasattr(x, "toarray") else x
    row, column = np.argwhere(np.isinf(dense))[0]
    raise DataError(
        f"Input X contains infinity: row {row + 1}, column {column} is {dense[row, column]}. "
        "Write NaN where a value is missing; NaN and missing cells are welcome, infinity is not."
    )


def is_finite(x: Any) -> bool:
    """Whether every cell is a finite number, in one pass; sums tell, and overflow says no."""
    if hasattr(x, "indptr"):
        return bool(np.isfinite(x.data.sum()))
    with np.errstate(over="ignore", invalid="ignore"):
        blocks = ArrayBlocks(x, rows=65_536)
        return all(ordered_map(lambda block: bool(np.isfinite(block.x.sum())), blocks))

"""The other philosophy: models that learn the border between the classes and nothing else.

Peers of the storytellers, from scikit-learn, with what they need around them: missing cells filled
with the mean or the most frequent level beside an indicator that they were missing, categories
spread over indicators, numbers scaled. They take the same tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.estimators.base.table import TableEstimator
from fabula.estimators.base.target import read_target
from fabula.tables.encoding import Field

__all__ = ["DIVIDERS", "Divider", "DividerKind", "why_not"]

DividerKind = Literal["logistic", "quadratic", "svm", "boosting"]
DIVIDERS: tuple[DividerKind, ...] = ("logistic", "quadratic", "svm", "boosting")

# Where rows are few for the number of features, the strength of the penalty is chosen by
# cross-validation; elsewhere it hardly matters.
_ROWS_PER_FEATURE = 20
_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
_MOST_FEATURES = 3_000
_MOST_ROWS_OF_SVM = 10_000
_MOST_DENSE_CELLS = 2_000_000
_MOST_LEVELS = 250


class Divider(ClassifierMixin, TableEstimator):  # type: ignore[misc]
    """A discriminative classifier over tables of any kind, with holes.

    Parameters
    ----------
    kind : {"logistic", "quadratic", "svm", "boosting"}
        Logistic regression; the same on squares and products of the numbers as well; a support
        vector machine with radial kernel and probabilities by Platt's method; or gradient boosting
        over histograms, which takes missing cells and categories as they are.
    random_state : int or None
    """

    def __init__(self, kind: DividerKind = "logistic", *, random_state: Any = 0):
        self.kind = kind
        self.random_state = random_state

    _accepts_sparse = True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the border from the labelled rows.

        Parameters
        ----------
        X : (n, d) array or data frame
            Missing cells are NaN or null.
        y : (n,) array
            Labels; rows without one are left out.

        Raises
        ------
        CannotAnswerError
            The table is too large for this kind.
        """
        if self.kind not in DIVIDERS:
            raise UsageError(f"kind must be one of {', '.join(DIVIDERS)}, not {self.kind!r}.")
        x = self._read(X, reset=True)
        self.classes_, known = read_target(y, int(x.shape[0]))
        labelled = np.flatnonzero(known >= 0)
        refused = why_not(self.kind, self.columns_.fields, len(labelled))
        if refused is not None:
            raise CannotAnswerError("fit", f"Divider({self.kind!r})", refused)
        if len(self.classes_) < 2:
            raise DataError("There is nothing to divide: y holds one class only.")
        x = x if len(labelled) == len(known) else x[labelled]
        codes = known[labelled]
        build = {
            "logistic": self._logistic,
            "quadratic": self._quadratic,
            "svm": self._svm,
            "boosting": self._boosting,
        }[self.kind]
        self.pipeline_ = build(x, codes).fit(self._ready(x), codes)
        return self

    def predict_proba(self, X: Any) -> FloatArray:
        """Probability (n, K) of every class."""
        check_is_fitted(self, "pipeline_")
        return np.asarray(self.pipeline_.predict_proba(self._ready(self._read(X))))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, (n,)."""
        chosen = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    # Features ---------------------------------------------------------------------------------

    @property
    def _numbers(self) -> list[int]:
        kinds = ("continuous", "count", "date")
        return [j for j, field in enumerate(self.columns_.fields) if field.kind in kinds]

    @property
    def _levelled(self) -> list[int]:
        return sorted(self.columns_.levels)

    @property
    def _words(self) -> list[int]:
        return [j for j, field in enumerate(self.columns_.fields) if field.word is not None]

    def _ready(self, x: Any) -> Any:
        """Dense rows, but where there are words."""
        if self.kind != "boosting":
            return x
        x = x.toarray() if hasattr(x, "toarray") else x
        # An unknown level has the code after the last; to the trees it is a missing cell.
        x = np.array(x, dtype=np.float64)
        for j, n_levels in self.columns_.levels.items():
            x[:, j] = np.where(x[:, j] < n_levels, x[:, j], np.nan)
        return x

    def _features(self, *, squares: bool = False) -> Any:
        """Scaled numbers, indicators of levels, and weighted words, side by side."""
        from sklearn.compose import ColumnTransformer
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import (
            FunctionTransformer,
            OneHotEncoder,
            PolynomialFeatures,
            StandardScaler,
        )

        dense = FunctionTransformer(_dense, accept_sparse=True, check_inverse=False)
        parts: list[Any] = []
        if self._numbers:
            steps = [
                dense,
                SimpleImputer(add_indicator=not squares, keep_empty_features=True),
                StandardScaler(),
            ]
            if squares:
                steps += [PolynomialFeatures(2, include_bias=False), StandardScaler()]
            parts.append(("numbers", make_pipeline(*steps), self._numbers))
        if self._levelled:
            fill = SimpleImputer(
                strategy="most_frequent", add_indicator=True, keep_empty_features=True
            )
            spread = OneHotEncoder(handle_unknown="ignore", sparse_output=bool(self._words))
            parts.append(("levels", make_pipeline(dense, fill, spread), self._levelled))
        if self._words:
            parts.append(("words", TfidfTransformer(sublinear_tf=True), self._words))
        return ColumnTransformer(parts, sparse_threshold=1.0 if self._words else 0.0)

    # Kinds ------------------------------------------------------------------------------------

    def _logistic(self, x: Any, codes: np.ndarray) -> Any:
        n_features = len(self._numbers) + sum(self.columns_.levels.values()) + len(self._words)
        return self._penalised(self._features(), codes, n_features)

    def _quadratic(self, x: Any, codes: np.ndarray) -> Any:
        d = len(self._numbers)
        n_features = d * (d + 3) // 2
        return self._penalised(self._features(squares=True), codes, n_features)

    def _penalised(self, features: Any, codes: np.ndarray, n_features: int) -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, StratifiedKFold
        from sklearn.pipeline import make_pipeline

        model = LogisticRegression(max_iter=2000)
        smallest = int(np.bincount(codes).min())
        if len(codes) >= _ROWS_PER_FEATURE * n_features or smallest < 2:
            return make_pipeline(features, model)
        folds = StratifiedKFold(min(5, smallest), shuffle=True, random_state=self.random_state)
        penalties = {"C": list(_PENALTIES)}
        search = GridSearchCV(model, penalties, cv=folds, scoring="neg_log_loss")
        return make_pipeline(features, search)

    def _svm(self, x: Any, codes: np.ndarray) -> Any:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.model_selection import StratifiedKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import SVC

        smallest = int(np.bincount(codes).min())
        if smallest < 2:
            raise DataError(
                "Platt's method leaves rows out: every class needs two labelled rows or more."
            )
        folds = StratifiedKFold(min(5, smallest), shuffle=True, random_state=self.random_state)
        machine = make_pipeline(self._features(), SVC())
        return CalibratedClassifierCV(machine, method="sigmoid", cv=folds, ensemble=False)

    def _boosting(self, x: Any, codes: np.ndarray) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        levels = self.columns_.levels
        few = [j for j, n_levels in levels.items() if n_levels <= _MOST_LEVELS]
        return HistGradientBoostingClassifier(
            categorical_features=few or None, random_state=self.random_state
        )


def why_not(kind: DividerKind, fields: Sequence[Field], n_rows: int) -> str | None:
    """Why a kind is not tried on a table of this size; None where it is."""
    d = sum(field.kind in ("continuous", "count", "date") for field in fields)
    n_squares = d * (d + 3) // 2
    if kind == "quadratic" and not d:
        return "the table has no numbers to square"
    if kind == "quadratic" and n_squares > _MOST_FEATURES:
        return (
            f"{d:,} columns of numbers have {n_squares:,} squares and products, and more than "
            f"{_MOST_FEATURES:,} are not tried"
        )
    if kind == "svm" and n_rows > _MOST_ROWS_OF_SVM:
        return (
            f"its work grows as the square of the rows, and {n_rows:,} are more than "
            f"{_MOST_ROWS_OF_SVM:,}"
        )
    words = sum(field.word is not None for field in fields)
    if kind == "boosting" and words and n_rows * len(fields) > _MOST_DENSE_CELLS:
        return (
            f"it needs dense numbers, and {n_rows:,} rows of {words:,} words are more than "
            f"{_MOST_DENSE_CELLS:,} cells"
        )
    return None


def _dense(x: Any) -> FloatArray:
    return np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=np.float64)

"""What the pictures of a model and a table show: results gathered for `fabula.plots`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.cli._models import LoadedModel
from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.report.sentences import as_text
from fabula.tables.messages import unknown_column

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = [
    "NUMBERS",
    "check_columns",
    "draw_components",
    "draw_contributions",
    "draw_costs",
    "draw_densities",
    "draw_pairs",
    "draw_regions",
    "draw_reliability",
    "evidence",
    "kinds_of",
    "telling_columns",
    "values_of",
]

NUMBERS = ("continuous", "count")
"""Kinds that have an axis."""
_ROWS_TO_CHOOSE, _COLUMNS_TO_CHOOSE = 300, 100
_MOST_PAIRS = 6


def draw_pairs(loaded: LoadedModel, frame: pl.DataFrame, columns: Any, seed: int) -> Figure:
    """Data against as many samples."""
    from fabula.plots import pairs

    wanted = list(columns or telling_columns(loaded, frame, 4, numbers=False))
    if len(wanted) > _MOST_PAIRS:
        raise UsageError(f"--columns names {len(wanted)} columns, of which {_MOST_PAIRS} fit.")
    check_columns(loaded, wanted, numbers=False)
    samples, _ = loaded.estimator.sample(max(frame.height, 200), seed)
    return pairs(frame, samples, wanted, title="Data, and what the model tells")


def draw_densities(loaded: LoadedModel, frame: pl.DataFrame, columns: Any) -> Figure:
    """One column in each class."""
    from fabula.plots import class_densities

    (column,) = _wanted(loaded, frame, columns, 1, "densities")
    grid = _grid(loaded, frame, column, 400)
    _need_target(loaded, "densities")
    joint = _joint(loaded, {column: grid})
    prior = _prior(loaded)
    return class_densities(
        grid,
        joint / np.maximum(prior, 1e-300),
        prior,
        values=values_of(frame, column),
        codes=_codes(loaded, frame),
        classes=_member_names(loaded),
        name=column,
        title=f"What {column} says about {loaded.target}",
    )


def draw_regions(loaded: LoadedModel, frame: pl.DataFrame, columns: Any) -> Figure:
    """Posterior probabilities over two columns, the others not known."""
    from fabula.plots import decision_regions

    across, up = _wanted(loaded, frame, columns, 2, "regions")
    _need_target(loaded, "regions")
    xs, ys = _grid(loaded, frame, across, 160), _grid(loaded, frame, up, 160)
    plane = {across: np.tile(xs, len(ys)), up: np.repeat(ys, len(xs))}
    # A calibration map holds for rows with every column, so it has no part in this.
    probabilities = _marginal(loaded, [across, up]).predict_proba(_frame(plane), **loaded.question)
    return decision_regions(
        xs,
        ys,
        probabilities.reshape(len(ys), len(xs), -1),
        points=np.column_stack([values_of(frame, across), values_of(frame, up)]),
        codes=_codes(loaded, frame),
        classes=_member_names(loaded),
        names=(across, up),
        title=f"{loaded.target} from {across} and {up} alone",
    )


def draw_reliability(loaded: LoadedModel, frame: pl.DataFrame) -> Figure:
    """Stated probabilities against what happened."""
    from fabula.evaluation.reliability import reliability_curve
    from fabula.plots import reliability

    codes, probabilities = _labelled(loaded, frame)
    name = type(loaded.estimator).__name__
    curve = reliability_curve(codes, probabilities, label=name, random_state=0)
    return reliability(curve, title=f"Can the probabilities of {loaded.target} be trusted?")


def draw_costs(loaded: LoadedModel, frame: pl.DataFrame, positive: str | None) -> Figure:
    """Costs of deciding by the model, against treating all and treating none."""
    from fabula.evaluation.costs import cost_curve
    from fabula.plots import cost_curve as draw

    codes, probabilities = _labelled(loaded, frame)
    place = _class_place(loaded, positive, -1)
    name = type(loaded.estimator).__name__
    curve = cost_curve(codes, probabilities, positive=place, label=name)
    return draw(curve, title=f"What deciding costs; a case is {loaded.class_names[place]}")


def draw_contributions(
    loaded: LoadedModel,
    frame: pl.DataFrame,
    row: int,
    positive: str | None,
    who: str | None = None,
) -> Figure:
    """How much each column of one row spoke for a class."""
    from fabula.plots import contributions

    _need_classes(loaded, "contributions")
    if not 1 <= row <= frame.height:
        raise UsageError(f"--row is {row}, but DATA has the rows 1 to {frame.height:,}.")
    chosen = frame[row - 1 : row]
    found, factor, shift = evidence(loaded, chosen)
    place = _class_place(loaded, positive, -1)
    against = next(k for k in range(len(found.classes)) if k != place)
    names = [str(column) for column in found.columns]
    cells = [chosen[name][0] if name in chosen.columns else None for name in names]
    values = found.values[0]
    if shift:
        # A class has the shift over the first, which is the reference of all values.
        names, cells = [*names, "calibration"], [*cells, f"× {factor:.2g}, {shift:+.2g}"]
        values = np.column_stack([values, shift * np.arange(len(values))])
    return contributions(
        names,
        values,
        prior=found.prior,
        remainder=found.remainder[0],
        classes=loaded.class_names,
        target=place,
        against=against,
        cells=cells,
        title=f"{who or f'Row {row}'}: what spoke for {loaded.class_names[place]}",
    )


def draw_components(loaded: LoadedModel, frame: pl.DataFrame, columns: Any) -> Figure:
    """The normal components of a mixture as ellipses over two columns."""
    from fabula.plots import components

    model = loaded.storyteller
    if not hasattr(model, "covariances_"):
        raise CannotAnswerError(
            "plot --kind components",
            type(model).__name__,
            "it has no covariances",
            ("gaussian-mixture", "qda"),
        )
    across, up = _wanted(loaded, frame, columns, 2, "components")
    names = [str(name) for name in model.columns_.names]
    means, spread = model.means_, np.asarray(model.covariances_)
    if spread.ndim == 1:
        spread = np.repeat(spread[:, None], means.shape[1], axis=1)
    elif spread.shape == (means.shape[1],) * 2 and getattr(model, "covariance_type", "") == "tied":
        spread = np.repeat(spread[None], len(means), axis=0)
    data = np.column_stack([values_of(frame, name) for name in names])
    return components(
        data,
        means,
        spread,
        np.exp(model.story_.log_weights),
        columns=(names.index(across), names.index(up)),
        codes=model.predict_proba(frame).argmax(axis=1),
        labels=_member_names(loaded),
        names=names,
        title=f"Components over {across} and {up}",
    )


def telling_columns(
    loaded: LoadedModel, frame: pl.DataFrame, number: int, *, numbers: bool = True
) -> list[str]:
    """Columns that together say most about the class, the best first.

    Each is chosen beside those before it. Without classes they are the first columns.
    """
    known = loaded.columns
    fields = [f for f in loaded.estimator.columns_.fields if f.word is None and f.column in known]
    names = [str(f.column) for f in fields if not numbers or f.kind in NUMBERS]
    names = [name for name in names if name != loaded.column]
    if not loaded.classifies or len(names) <= number:
        return names[:number]
    rows, left = frame.head(_ROWS_TO_CHOOSE), names[:_COLUMNS_TO_CHOOSE]
    chosen: list[str] = []
    while len(chosen) < number:
        told = [_entropy(loaded, rows, [*chosen, name]) for name in left]
        chosen.append(left.pop(int(np.argmin(told))))
    return chosen


def evidence(loaded: LoadedModel, row: pl.DataFrame) -> tuple[Any, float, float]:
    """What each column of one row said, on the scale of the probabilities that are given out.

    A calibration map that sends log-odds through one line does so with their parts; for others
    there are no such parts, and what the model itself said is returned.

    Returns
    -------
    contributions, factor, shift
        Contributions after multiplication by the factor; the shift comes on top of their sum.
    """
    found = loaded.storyteller.contributions(row, **loaded.question)
    calibration: Any = getattr(loaded.estimator, "map_", None)
    factor, shift = getattr(calibration, "inverse_temperature", 1.0), 0.0
    if len(getattr(calibration, "slopes", ())) == 1:
        factor, shift = float(calibration.slopes[0]), float(calibration.intercepts[0])
    scaled = replace(
        found,
        prior=factor * found.prior,
        values=factor * found.values,
        remainder=factor * found.remainder,
    )
    return scaled, factor, shift


def _entropy(loaded: LoadedModel, rows: pl.DataFrame, columns: list[str]) -> float:
    """Mean entropy in nats: what is still not known about the class, given these columns."""
    p = _marginal(loaded, columns).predict_proba(rows, **loaded.question)
    return float(-(p * np.log(np.maximum(p, 1e-300))).sum(axis=1).mean())


def _wanted(
    loaded: LoadedModel, frame: pl.DataFrame, columns: Sequence[str] | None, number: int, kind: str
) -> list[str]:
    wanted = list(columns) if columns else telling_columns(loaded, frame, number)
    if len(wanted) != number:
        asked = f"{number} column{'' if number == 1 else 's'} of numbers"
        raise UsageError(
            f"--kind {kind} shows {asked}, but there are {len(wanted)}: see --columns."
        )
    check_columns(loaded, wanted, numbers=True)
    return wanted


def check_columns(loaded: LoadedModel, columns: Sequence[str], *, numbers: bool) -> None:
    kinds = kinds_of(loaded)
    for name in columns:
        if name not in kinds:
            raise UsageError(f"--columns: {unknown_column(name, list(kinds))}")
        if numbers and kinds[name] not in NUMBERS:
            raise UsageError(f"--columns: {name!r} is of kind {kinds[name]}, not a number.")
        if kinds[name] == "text":
            raise UsageError(f"--columns: {name!r} is text, which has no axis.")


def kinds_of(loaded: LoadedModel) -> dict[str, str]:
    """Kind of each column of the table."""
    known = loaded.columns
    fields = loaded.estimator.columns_.fields
    return {str(field.column): field.kind for field in fields if field.column in known}


def _need_target(loaded: LoadedModel, kind: str) -> None:
    """A tree that was fitted without a target has neither classes nor components."""
    if hasattr(loaded.estimator, "classes_of") and not loaded.classifies:
        raise UsageError(
            f"--kind {kind} shows classes, and this latent tree was fitted without --target: say "
            "which column of categories they are, with --column."
        )


def _marginal(loaded: LoadedModel, columns: Sequence[str]) -> Any:
    """The story of some columns, and of the class."""
    return loaded.storyteller.marginal([*columns, *loaded.question.values()])


def _prior(loaded: LoadedModel) -> NDArray[np.float64]:
    """Shares of the classes or components."""
    model = loaded.storyteller
    if hasattr(model, "classes_of"):
        return np.asarray(model.prior_of(**loaded.question))
    return np.asarray(np.exp(model.story_.log_weights))


def _member_names(loaded: LoadedModel) -> list[str]:
    names = loaded.class_names
    return names if loaded.classifies else [f"component {name}" for name in names]


def _need_classes(loaded: LoadedModel, kind: str) -> None:
    _need_target(loaded, kind)
    if not loaded.classifies:
        raise CannotAnswerError(
            f"plot --kind {kind}",
            type(loaded.estimator).__name__,
            "it knows components, no classes",
            ("naive-bayes", "lda", "qda", "mixture-discriminant", "latent-tree"),
        )


def _class_place(loaded: LoadedModel, name: str | None, default: int) -> int:
    names = loaded.class_names
    if name is None:
        return default % len(names)
    if name not in names:
        from fabula.tables.messages import did_you_mean

        raise UsageError(f"--case: there is no class {name!r}. {did_you_mean(name, names)}")
    return names.index(name)


def values_of(frame: pl.DataFrame, column: str) -> NDArray[np.float64]:
    """A column of numbers, NaN where missing."""
    import polars as pl

    try:
        return frame[column].cast(pl.Float64).to_numpy()
    except pl.exceptions.ColumnNotFoundError:
        raise DataError(f"DATA: {unknown_column(column, frame.columns)}") from None
    except pl.exceptions.PolarsError:
        raise DataError(f"Column {column!r} of DATA does not hold numbers.") from None


def _grid(
    loaded: LoadedModel, frame: pl.DataFrame, column: str, number: int
) -> NDArray[np.float64]:
    """Values from a little below the smallest to a little above the largest."""
    values = values_of(frame, column)
    values = values[np.isfinite(values)]
    if not len(values):
        raise DataError(f"Column {column!r} of DATA has no value, so there is nothing to draw.")
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    if kinds_of(loaded)[column] == "count":
        return np.arange(max(low, 0.0), high + 2.0)
    positive = low > 0 and low < 0.3 * high
    return np.linspace(low * 0.5 if positive else low - margin, high + margin, number)


def _frame(columns: dict[str, Any]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(columns)


def _joint(loaded: LoadedModel, cells: dict[str, Any]) -> NDArray[np.float64]:
    """p(cells, class), (m, K)."""
    # A calibration map has no density.
    frame = _frame(cells)
    density = np.exp(loaded.storyteller.marginal(list(cells)).score_samples(frame))[:, None]
    shares = _marginal(loaded, list(cells)).predict_proba(frame, **loaded.question)
    return np.asarray(shares * density)


def _codes(loaded: LoadedModel, frame: pl.DataFrame) -> NDArray[np.intp] | None:
    """Class of each row of DATA, -1 where it is not known; None where DATA do not say."""
    if not loaded.classifies or loaded.target not in frame.columns:
        return None
    places = {name: k for k, name in enumerate(loaded.class_names)}
    labels = frame[loaded.target].to_list()
    return np.array([places.get(as_text(label), -1) for label in labels], dtype=np.intp)


def _labelled(
    loaded: LoadedModel, frame: pl.DataFrame
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Codes and stated probabilities of the rows whose class is known."""
    _need_classes(loaded, "reliability")
    codes = _codes(loaded, frame)
    if codes is None:
        raise DataError(
            f"DATA have no column {loaded.target!r}, which holds the truth that the stated "
            "probabilities are compared with."
        )
    kept = codes >= 0
    if not kept.any():
        raise DataError(
            f"No row of DATA has a label in {loaded.target!r} that the model knows: "
            f"{', '.join(loaded.class_names)}."
        )
    return codes[kept], loaded.estimator.predict_proba(frame.filter(kept), **loaded.question)

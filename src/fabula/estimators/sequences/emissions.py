"""Which family the steps of a sequence are drawn from, given the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fabula import families
from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.families import FAMILY_NAMES, choose_families, product_template
from fabula.estimators.base.limits import refuse_hopeless_covariances
from fabula.estimators.sequences.form import SequenceForm, where
from fabula.families.base import Family, UnivariateColumns
from fabula.families.mixed import Mixed, MixedPrior

__all__ = [
    "EMISSION_NAMES",
    "array_kind_of",
    "check_emission",
    "emission_from",
    "emission_template",
    "refuse_impossible_steps",
    "with_ridge",
]

_DENSE = ("full", "tied", "diag", "spherical", "student")
_NUMERIC = ("poisson", "gamma", "log_normal", "exponential", "normal", "student_t", "multinomial")
EMISSION_NAMES = ("auto", *_DENSE, *FAMILY_NAMES)

_RIDGE = 1e-6

# What the columns of a plain array are where the emission says it.
_KINDS = {"categorical": "category", "bernoulli": "boolean", "poisson": "count"}


def array_kind_of(emission: Any) -> str:
    """What the columns of an array are under this emission."""
    if isinstance(emission, families.Categorical):
        return "category"
    return _KINDS.get(emission, "continuous") if isinstance(emission, str) else "continuous"


def check_emission(emission: Any) -> None:
    """Raise a UsageError where the emission is none."""
    if isinstance(emission, str):
        if emission not in EMISSION_NAMES:
            raise UsageError(
                f"There is no emission {emission!r}; choose one of {', '.join(EMISSION_NAMES)}, "
                "a family, or a mapping from columns to names of families."
            )
    elif not isinstance(emission, Family | Mapping):
        raise UsageError(
            "emission must be the name of a family, a family or a mapping from columns to "
            f"families, not {type(emission).__name__}."
        )


def emission_template(
    emission: Any, form: SequenceForm, steps: Any, weights: FloatArray | None, n_members: int
) -> Family:
    """A bank over the columns of a step, to be fitted to all steps together.

    ``n_members`` is how many of them there will be.
    """
    fields = form.columns.fields
    d = len(fields)
    if isinstance(emission, Family):
        if emission.n_columns != d:
            raise UsageError(
                f"The emission is a family over {emission.n_columns} columns, but a step has {d}."
            )
        return emission
    if emission == "auto" and all(field.kind == "continuous" for field in fields):
        emission = "full"
    if isinstance(emission, str) and emission in _DENSE:
        for field in fields:
            if field.kind in ("category", "text"):
                raise DataError(
                    f"Column {field.column!r} holds {'text' if field.kind == 'text' else 'symbols'}"
                    f", but emission={emission!r} models numbers only. Say emission='categorical' "
                    "for symbols, or 'auto' for columns of any kind."
                )
        return _dense_template(emission, int(steps.shape[0]), d, n_members)

    if emission in _NUMERIC and all(field.kind in ("category", "text") for field in fields):
        raise DataError(
            f"The steps hold symbols, but emission={emission!r} models numbers. Say "
            "emission='categorical', or 'auto'."
        )

    def shares(rows: Any) -> FloatArray:
        return np.ones((len(rows), 1)) if weights is None else weights[rows][:, None]

    if emission == "multinomial" and form.encoding is None:
        return families.Multinomial(np.full((1, d), 1.0 / d))
    names = choose_families(fields, steps, emission, shares, hidden=True)
    return product_template(fields, names, steps)


def _dense_template(emission: str, n_steps: int, d: int, n_members: int) -> Family:
    means = np.zeros((1, d))
    match emission:
        case "full":
            refuse_hopeless_covariances(n_steps, d, n_members, "state")
            return families.NormalFull(means, np.eye(d)[None])
        case "student":
            refuse_hopeless_covariances(n_steps, d, n_members, "state")
            return families.StudentT(means, np.eye(d)[None], np.array([10.0]))
        case "tied":
            return families.NormalTied(means, np.eye(d))
        case "diag":
            return families.NormalDiagonal(means, np.ones((1, d)))
        case _:
            return families.NormalSpherical(means, np.ones(1))


def with_ridge(prior: Any, bank: Family) -> Any:
    """The prior of dense covariances with a millionth of each variance on top of it.

    Where columns depend on one another, as a total on its parts, or are more than there are steps,
    the covariance of all steps is singular, and so would be what the prior draws states towards.
    """
    if isinstance(prior, MixedPrior) and isinstance(bank, Mixed):
        return replace(prior, family=with_ridge(prior.family, bank.family))
    if not isinstance(bank, families.NormalFull | families.NormalTied | families.StudentT):
        return prior
    variances = np.diagonal(prior.scatter, axis1=-2, axis2=-1)
    ridge = _RIDGE * variances[..., None] * np.eye(variances.shape[-1])
    return replace(prior, scatter=prior.scatter + ridge)


def emission_from(emission: str | Family, parameters: Mapping[str, Any]) -> Family:
    """The bank that named arrays describe: means and covariances, probabilities or rates."""
    if isinstance(emission, Family):
        if parameters:
            raise UsageError("A family holds its parameters: give no arrays beside it.")
        return emission
    arrays = {name: np.asarray(value, dtype=np.float64) for name, value in parameters.items()}
    needed: dict[str, tuple[str, ...]] = {
        "full": ("means", "covariances"),
        "tied": ("means", "covariances"),
        "diag": ("means", "covariances"),
        "spherical": ("means", "covariances"),
        "normal": ("means", "covariances"),
        "poisson": ("rates",),
        "bernoulli": ("probabilities",),
        "categorical": ("probabilities",),
    }
    if emission not in needed:
        raise UsageError(
            f"from_parameters knows the arrays of {', '.join(needed)}; for {emission!r} hand in "
            "the family itself, such as fabula.families.Gamma(shapes, rates)."
        )
    if set(arrays) != set(needed[emission]):
        raise UsageError(
            f"emission={emission!r} takes {' and '.join(needed[emission])}, but got "
            f"{', '.join(sorted(arrays)) or 'nothing'}."
        )
    match emission:
        case "full":
            return families.NormalFull(np.atleast_2d(arrays["means"]), arrays["covariances"])
        case "tied":
            return families.NormalTied(np.atleast_2d(arrays["means"]), arrays["covariances"])
        case "diag" | "normal":
            return families.NormalDiagonal(np.atleast_2d(arrays["means"]), arrays["covariances"])
        case "spherical":
            return families.NormalSpherical(np.atleast_2d(arrays["means"]), arrays["covariances"])
        case "poisson":
            return families.Poisson(arrays["rates"])
        case "bernoulli":
            return families.Bernoulli(arrays["probabilities"])
        case _:
            return _categorical(arrays["probabilities"])


def _categorical(probabilities: FloatArray) -> Family:
    """Symbols of one column; those that were not listed are impossible."""
    if probabilities.ndim != 2:
        raise UsageError("probabilities of symbols must be an array (number of states, symbols).")
    unseen = np.zeros((len(probabilities), 1))
    return families.Categorical(
        np.concatenate([probabilities, unseen], axis=1), (probabilities.shape[1],)
    )


def refuse_impossible_steps(bank: Family, sequences: Sequences, names: tuple[Any, ...]) -> None:
    """Stop where a cell is outside the support of its family: its density would be 0 for ever."""
    from fabula.questions.walk import walk

    if not sequences.n_steps:
        return
    scores = walk(sequences.steps, lambda block: bank.log_prob(block.x).max(axis=1))
    impossible = np.flatnonzero(np.isneginf(scores))
    if not len(impossible):
        return
    first = int(impossible[0])
    which, step = where(sequences.offsets, first)
    row = sequences.steps[[first]]
    cells = np.asarray(row.toarray() if hasattr(row, "toarray") else row, dtype=np.float64)
    what = "the step"
    for j in range(cells.shape[1]):
        part = bank.univariate_part(j)
        if part is None or not isinstance(part[0], UnivariateColumns):
            continue
        if np.isneginf(part[0].marginal([part[1]]).log_prob(cells[:, [j]])).all():
            what = f"column {names[j]!r} is {cells[0, j]:g}, which"
            break
    raise DataError(
        f"Sequence {which}, step {step} (counting from 1): {what} is impossible for the emission "
        f"{type(bank).__name__}. Choose another emission, or write NaN where a value is missing."
    )

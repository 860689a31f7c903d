"""Which family fits which column of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fabula import families
from fabula.core.arrays import FloatArray
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.bin_choice import bins_are_better
from fabula.families.base import Family
from fabula.tables.encoding import Field

__all__ = ["FAMILY_NAMES", "choose_families", "family_names", "made_of_rows", "product_template"]

# Family → a bank of one member to start from; bins and grouped levels are made of the rows.
_TEMPLATES: dict[str, Callable[[list[Field]], Family]] = {
    "normal": lambda f: families.NormalDiagonal(np.zeros((1, len(f))), np.ones((1, len(f)))),
    "student_t": lambda f: families.StudentTColumns(
        np.zeros((1, len(f))), np.ones((1, len(f))), np.full((1, len(f)), 10.0)
    ),
    "log_normal": lambda f: families.LogNormal(np.zeros((1, len(f))), np.ones((1, len(f)))),
    "gamma": lambda f: families.Gamma(np.ones((1, len(f))), np.ones((1, len(f)))),
    "exponential": lambda f: families.Exponential(np.ones((1, len(f)))),
    "poisson": lambda f: families.Poisson(np.ones((1, len(f)))),
    "bernoulli": lambda f: families.Bernoulli(np.full((1, len(f)), 0.5)),
    "categorical": lambda f: families.Categorical.uniform(1, [c.n_levels for c in f]),
    "multinomial": lambda f: families.Multinomial(np.full((1, len(f)), 1.0 / len(f))),
}
_BINS = "bins"
_GROUPED = "grouped"
FAMILY_NAMES = (*_TEMPLATES, _BINS, _GROUPED)

_DEFAULTS = {
    "continuous": "normal",
    "count": "poisson",
    "date": "normal",
    "category": "categorical",
    "boolean": "bernoulli",
    "text": "multinomial",
}

# Candidates for columns of numbers, simplest first.
_CANDIDATES = {
    "continuous": ("normal", "log_normal", "gamma"),
    "date": ("normal",),
    "count": ("poisson", "normal", "log_normal"),
}

_ROWS_TO_CHOOSE = 20_000
# Rows from which bins are cut and levels grouped.
_ROWS_TO_CUT = 200_000


def choose_families(
    fields: Sequence[Field],
    x: Any,
    wanted: str | Mapping[Any, str | Family] | None,
    responsibilities: Callable[[slice | np.ndarray], FloatArray],
    hidden: bool = False,
) -> list[str | Family]:
    """The name of a family for each encoded column.

    ``wanted`` is the name of one family for every column of numbers, a mapping from columns to
    names, or "auto": for each column of numbers the family under which it is most probable, given
    the classes as far as they are known. Where classes are ``hidden``, only spikes call for bins.
    """
    names: list[str | Family] = [_DEFAULTS[field.kind] for field in fields]
    if isinstance(wanted, str) and wanted != "auto":
        _check_name(wanted)
        return [wanted if f.kind in _CANDIDATES else n for f, n in zip(fields, names, strict=True)]
    asked = dict(wanted) if isinstance(wanted, Mapping) else {}
    if wanted is not None and not isinstance(wanted, str | Mapping):
        raise UsageError(
            "families must be 'auto', the name of a family or a mapping from columns to families, "
            f"not {wanted!r}."
        )
    known = {field.column for field in fields} | {str(field.column) for field in fields}
    for column, name in asked.items():
        _check_name(name)
        if column not in known:
            from fabula.tables.messages import unknown_column

            raise UsageError(unknown_column(column, [field.column for field in fields]))
    if wanted == "auto":
        n = int(x.shape[0])
        rows = np.linspace(0, n - 1, min(n, _ROWS_TO_CHOOSE)).astype(np.intp)
        shares = responsibilities(rows)
        for j, field in enumerate(fields):
            if field.kind in _CANDIDATES:
                names[j] = _best_family(field, _column(x, rows, j), shares, hidden)
    return [asked.get(f.column, n) for f, n in zip(fields, names, strict=True)]


def _column(x: Any, rows: np.ndarray, j: int) -> FloatArray:
    taken = x[rows][:, [j]]
    return np.asarray(taken.toarray() if hasattr(taken, "toarray") else taken, dtype=np.float64)


def _best_family(field: Field, cells: FloatArray, shares: FloatArray, hidden: bool) -> str:
    """The law with the largest log likelihood, or bins where they do better on rows left out."""
    seen = ~np.isnan(cells[:, 0])
    cells, shares = cells[seen], shares[seen]
    law = _best_law(field, cells, shares)
    with np.errstate(all="ignore"):
        better = bins_are_better(_TEMPLATES[law]([field]), cells, shares, hidden)
    return _BINS if better else law


def _best_law(field: Field, cells: FloatArray, shares: FloatArray) -> str:
    """The candidate with the largest log likelihood; its parameters are two in every case."""
    candidates = _CANDIDATES[field.kind]
    if len(candidates) == 1 or not len(cells):
        return candidates[0]
    best, best_score = candidates[0], -np.inf
    for name in candidates:
        with np.errstate(all="ignore"):
            pooled = _TEMPLATES[name]([field])
            if np.isneginf(pooled.log_prob(cells)).any():
                continue  # outside the support of this family
            bank = pooled.maximise(pooled.statistics(cells, shares.sum(axis=1, keepdims=True)))
            bank = bank.select(np.zeros(shares.shape[1], dtype=np.intp))
            prior = bank.pseudo_observations(1.0)
            bank = bank.maximise(bank.statistics(cells, shares), prior)
            score = float((shares * bank.log_prob(cells)).sum())
        if np.isfinite(score) and score > best_score + 1e-9 * abs(score):
            best, best_score = name, score
    return best


def product_template(
    fields: Sequence[Field],
    names: Sequence[str | Family],
    x: Any,
    weights: FloatArray | None = None,
) -> Family:
    """A bank of one member over all columns, columns of one family side by side in one part.

    The rows ``x`` are only looked at for families that are made of them.
    """
    groups: dict[Any, list[int]] = {}
    for j, (field, name) in enumerate(zip(fields, names, strict=True)):
        _check_fit(field, name)
        family = _BINS if isinstance(name, families.Bins) else name
        # Each column of text counts its own words, so each is a part of its own.
        alone = isinstance(family, Family) or family in ("multinomial", _GROUPED)
        kind = family if isinstance(family, str) else id(family)
        groups.setdefault((kind, field.column if alone else None), []).append(j)
    parts: list[Family] = []
    for group in groups.values():
        made = [made_of_rows(names[j], fields[j], x, j, weights) for j in group]
        if isinstance(made[0], families.Bins):
            parts.append(families.Bins.beside(made))
        else:
            parts.append(_template_of(made[0], [fields[j] for j in group]))
    if len(parts) == 1:
        return parts[0]
    return families.Product(tuple(parts), tuple(tuple(group) for group in groups.values()))


def made_of_rows(
    name: str | Family, field: Field, x: Any, j: int, weights: FloatArray | None = None
) -> Any:
    """The family of column ``j`` where it is made of the rows themselves; other names as they are.

    Bins are cut where the rows are, and levels are grouped by how frequent they are.
    """
    if name not in (_BINS, _GROUPED):
        return name
    n = int(x.shape[0])
    rows = np.linspace(0, n - 1, min(n, _ROWS_TO_CUT)).astype(np.intp)
    taken = None if weights is None else np.asarray(weights, dtype=np.float64)[rows]
    cells = _column(x, rows, j)
    if name == _GROUPED:
        return families.GroupedLevels.learned(cells, [field.n_levels], taken)
    return families.Bins.learned(cells, taken, precision=field.precision)


def family_names(fields: Sequence[Field], names: Sequence[str | Family]) -> dict[Any, Any]:
    """Column → what its family is called; a family that the caller brought is itself."""
    made = {families.Bins: _BINS, families.GroupedLevels: _GROUPED}
    return {
        field.column: made.get(type(name), name) for field, name in zip(fields, names, strict=True)
    }


def _template_of(name: str | Family, fields: list[Field]) -> Family:
    return name if isinstance(name, Family) else _TEMPLATES[name](fields)


def _check_name(name: str | Family) -> None:
    if isinstance(name, Family):
        if (name.n_members, name.n_columns) != (1, 1):
            raise UsageError(
                f"A family for one column must be a bank of one member over one column, to start "
                f"from; {type(name).__name__} has {name.n_members} members over {name.n_columns}."
            )
        return
    if name not in FAMILY_NAMES:
        raise UsageError(f"There is no family {name!r}; choose one of {', '.join(FAMILY_NAMES)}.")


def _check_fit(field: Field, name: str | Family) -> None:
    if isinstance(name, Family):
        return  # whoever brings a family knows what it is for
    codes = field.kind in ("category", "boolean")
    fits = {
        "categorical": codes,
        _GROUPED: codes,
        "bernoulli": field.kind == "boolean" or (codes and field.n_levels == 2),
        "multinomial": True,
    }.get(name, not codes and field.kind != "text")
    if not fits:
        raise DataError(
            f"Column {field.column!r} is of the kind {field.kind}, which the family {name!r} "
            f"cannot model; {_DEFAULTS[field.kind]!r} can."
        )

"""What a fitted model believes, for people: columns down, classes across."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.families import (
    Bernoulli,
    Bins,
    Categorical,
    Exponential,
    Gamma,
    GroupedLevels,
    LogNormal,
    Multinomial,
    Poisson,
    Product,
    StudentTColumns,
)
from fabula.families.base import Family, UnivariateColumns
from fabula.families.mixed import Mixed
from fabula.report.chains import describe_chain, describe_pairs
from fabula.report.networks import describe_network
from fabula.report.sentences import as_text, joined, number, percent, plural
from fabula.report.texttable import plain_table
from fabula.report.trees import describe_tree
from fabula.structures.chains.hidden_markov import HiddenMarkov
from fabula.structures.chains.markov_chain import MarkovChain
from fabula.structures.class_conditional import ClassConditional
from fabula.structures.mixture import Mixture
from fabula.structures.pairs.hidden_markov import PairHiddenMarkov
from fabula.structures.trees.algebra import told_by
from fabula.structures.trees.average import TreeAverage, trees_of
from fabula.structures.trees.latent_tree import LatentTree

__all__ = ["describe_model", "name_model", "parameter_table", "story_to_dict"]

_MOST_CLASSES = 6
_MOST_COLUMNS = 60
_MOST_WORDS = 12
_MOST_NUMBERS = 1_000_000


def describe_model(
    path: str, found: Mapping[str, Any], model: Any, names: Sequence[str], target: str
) -> str:
    """Everything about a model file that a person may want to know, as text.

    Parameters
    ----------
    path
        What the file is called.
    found
        What `fabula.persistence.describe` says of it.
    model
        The fitted estimator in it.
    names
        Names of its classes or components.
    target
        What the class is called.
    """
    notes = found["metadata"]
    lines = [
        f"{path}: {name_model(model)}, {plural(model.n_parameters, 'parameter')}, "
        f"{found['bytes']:,} bytes",
        f"written {found['created']} by fabula {found['versions'].get('fabula', '?')}"
        + ("" if found["seed"] is None else f", seed {found['seed']}"),
    ]
    if "rows" in notes:
        unit = "sequences" if "sequences" in notes else notes.get("unit", "rows")
        lines.append(
            f"fitted to {notes['rows']:,} {unit} of {notes.get('data', 'a table')}"
            + (f", with {notes['missing_cells']:,} cells empty" if "missing_cells" in notes else "")
        )
    if notes.get("why"):
        lines.append(str(notes["why"]))
    if notes.get("given"):
        lines.append(f"given {joined(notes['given'])}")
    story = model.story_
    if isinstance(story, LatentTree | TreeAverage):
        return "\n".join([*lines, *_about_tree(model, names, target)])
    weights = np.exp(getattr(story, "log_weights", ()))
    # Where there are no classes, one component is everything there is.
    if len(weights) > (0 if hasattr(model, "classes_") else 1):
        shares = [f"{name} {percent(p)}" for name, p in zip(names, weights, strict=True)]
        lines.append(f"{target}: {', '.join(shares[:40])}{', …' if len(shares) > 40 else ''}")
    if hasattr(story, "network"):
        return "\n".join([*lines, *describe_network(model)])
    if isinstance(story, PairHiddenMarkov):
        return "\n".join([*lines, *describe_pairs(model)])
    if _is_chain(getattr(story, "stories", [story])[0]):
        lines += describe_chain(story, names, getattr(model.form_, "symbols", ()))
    if isinstance(story, HiddenMarkov) or not hasattr(model, "form_"):
        lines += ["", parameter_table(model, names)]
    return "\n".join(lines)


def _about_tree(model: Any, names: Sequence[str], target: str) -> list[str]:
    """A latent tree, and what the columns look like in all rows and in each class."""
    story = model.story_
    classes: list[str] = []
    stories = [story]
    if hasattr(model, "classes_"):
        place = model.columns_.find(model.target_)[0]
        possible = [k for k, share in enumerate(model.class_prior_) if share > 0][:_MOST_CLASSES]
        classes = [names[k] for k in possible]
        tell = story.told if isinstance(story, TreeAverage) else partial(told_by, story)
        stories += [tell({place: float(k)})[0] for k in possible]
    lines = []
    if classes:
        shares = zip(names, model.class_prior_, strict=True)
        lines.append(f"{target}: {', '.join(f'{name} {percent(p)}' for name, p in shares)}")
    lines += describe_tree(model)
    rows: list[list[object]] = []
    hidden = [*getattr(model, "indicators_", ()), getattr(model, "target_", None)]
    fields = [(j, f) for j, f in enumerate(model.columns_.fields) if f.column not in hidden]
    for j, field in fields[:_MOST_COLUMNS]:
        levels = _levels(model, field)
        cells = [_cell(each.marginal([j]), 0, 0, levels, field.kind == "date") for each in stories]
        rows.append([field.name, field.kind, *cells])
    header = ["column", "kind", "all rows" if classes else "values", *classes]
    lines += ["", plain_table(header, rows)]
    if len(fields) > _MOST_COLUMNS:
        lines.append(f"… and {len(fields) - _MOST_COLUMNS:,} columns more; --json shows all.")
    return lines


def _is_chain(story: Any) -> bool:
    return isinstance(story, HiddenMarkov | MarkovChain)


def name_model(model: Any) -> str:
    """What a model is, with what is inside of it.

    >>> from fabula import Calibrated, GaussianMixture, GenerativeClassifier
    >>> name_model(Calibrated(GenerativeClassifier(GaussianMixture(3)), "sigmoid"))
    'GenerativeClassifier of GaussianMixture with 3 components, calibrated (sigmoid)'
    """
    name = type(model).__name__
    inner = getattr(model, "estimator", None)
    if name == "Calibrated" and inner is not None:
        return f"{name_model(inner)}, calibrated ({model.method})"
    if inner is not None:
        return f"{name} of {name_model(inner)}"
    components = getattr(model, "n_components", None)
    # Of discriminant analysis these are directions, not components.
    if isinstance(components, int) and name.endswith(("Mixture", "MixtureModel")):
        return f"{name} with {plural(components, 'component')}"
    return name


def parameter_table(model: Any, names: Sequence[str]) -> str:
    """What each column looks like in each class: mean ± standard deviation, or shares of levels."""
    fields = model.columns_.fields
    story = model.story_
    shown = list(range(min(len(names), _MOST_CLASSES)))
    rows: list[list[object]] = []
    dense = [j for j, field in enumerate(fields) if field.word is None]
    for j in dense[:_MOST_COLUMNS]:
        levels = _levels(model, fields[j])
        cells = [_cell(story, k, j, levels, fields[j].kind == "date") for k in shown]
        rows.append([fields[j].name, fields[j].kind, *cells])
    text = [plain_table(["column", "kind", *(names[k] for k in shown)], rows)] if rows else []
    if len(dense) > _MOST_COLUMNS:
        text.append(f"… and {len(dense) - _MOST_COLUMNS:,} columns more; --json shows all.")
    if len(names) > _MOST_CLASSES:
        text.append(f"… and {len(names) - _MOST_CLASSES:,} more; --json shows all.")
    for column in dict.fromkeys(field.column for field in fields if field.word is not None):
        places = [j for j, field in enumerate(fields) if field.column == column]
        text.append(_words(story, column, places, fields, names, shown))
    return "\n".join(text)


def story_to_dict(value: Any, left: list[int] | None = None) -> Any:
    """A story as nested plain values, arrays as lists; very large arrays as text."""
    left = [_MOST_NUMBERS] if left is None else left
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {
            field.name: story_to_dict(getattr(value, field.name), left)
            for field in dataclasses.fields(value)
        }
        return {"is": type(value).__name__, **parts}
    if isinstance(value, np.ndarray):
        left[0] -= value.size
        return value.tolist() if left[0] >= 0 else f"{value.dtype} {value.shape}"
    if isinstance(value, list | tuple):
        return [story_to_dict(item, left) for item in value]
    return value


def _levels(model: Any, field: Any) -> list[str]:
    """Levels of a category; none for numbers."""
    if field.kind not in ("category", "boolean"):
        return []
    form = getattr(model, "form_", None)
    if form is not None and form.symbols:
        return [as_text(symbol) for symbol in form.symbols]
    encoding = model.encoding_ if form is None else form.encoding
    if encoding is None:
        return [str(code) for code in range(field.n_levels)]
    return [as_text(level) for level in encoding.schema[field.column].levels]


def _cell(story: Any, member: int, column: int, levels: list[str], is_date: bool) -> str:
    if levels:
        shares = _shares(story, member, column)
        order = np.argsort(-shares, kind="stable")[:4]
        text = ", ".join(f"{levels[i]} {_short_percent(float(shares[i]))}" for i in order)
        return text + (", …" if len(levels) > 4 else "")
    mean, variance = _moments(story, member, column)
    if is_date:
        day = datetime.date(1970, 1, 1) + datetime.timedelta(days=round(mean))
        return f"{day} ± {number(float(np.sqrt(variance)))} days"
    spread = "" if not np.isfinite(variance) else f" ± {number(float(np.sqrt(variance)))}"
    return f"{number(mean)}{spread}"


def _short_percent(share: float) -> str:
    return "<1 %" if share < 0.005 else f"{100 * share:.0f} %"


def _parts(story: Any, member: int) -> list[tuple[float, Family, int]]:
    """The families that a class is mixed of: weight, bank, member of the bank."""
    if isinstance(story, Mixture):
        return [(1.0, story.family, member)]
    if isinstance(story, TreeAverage):
        weights = np.exp(story.log_weights)
        return [
            (float(share) * weight, bank, k)
            for share, tree in zip(weights, story.trees, strict=True)
            for weight, bank, k in _parts(tree, member)
        ]
    if isinstance(story, LatentTree):  # of one column
        (bank,) = story.emissions
        if isinstance(bank, Bins):
            return [(1.0, Bins(story.root[None] @ bank.probabilities, bank.columns), 0)]
        return [(float(weight), bank, k) for k, weight in enumerate(story.root)]
    if isinstance(story, HiddenMarkov) and isinstance(story.emission, Mixed):
        mixed = story.emission
        weights = np.exp(mixed.log_weights[member])
        first = member * len(weights)
        return [(float(w), mixed.family, first + m) for m, w in enumerate(weights)]
    if isinstance(story, HiddenMarkov):
        return [(1.0, story.emission, member)]
    if isinstance(story, ClassConditional) and isinstance(story.stories[member], Mixture):
        inner = story.stories[member]
        return [(float(np.exp(w)), inner.family, k) for k, w in enumerate(inner.log_weights)]
    return []


def _moments(story: Any, member: int, column: int) -> tuple[float, float]:
    """Mean and variance of a column of numbers in one class."""
    parts = _parts(story, member)
    if not parts:
        return _moments_of_draws(story, member, column)
    weights = np.array([weight for weight, _, _ in parts])
    each = np.array([_family_moments(family, k, column) for _, family, k in parts])
    mean = float(weights @ each[:, 0])
    return mean, float(weights @ (each[:, 1] + each[:, 0] ** 2) - mean**2)


def _moments_of_draws(story: Any, member: int, column: int) -> tuple[float, float]:
    """The same from draws, for stories without a closed form; the same ones every time."""
    rows, members = story.sample(4000, np.random.default_rng(0))
    cells = rows[members == member, column]
    return (float(cells.mean()), float(cells.var())) if len(cells) > 1 else (np.nan, np.inf)


def _family_moments(family: Any, k: int, j: int) -> tuple[float, float]:
    """Mean and variance of column j of member k; infinite where there is none."""
    match family:
        case Product():
            part, place = next(
                (part, group.index(j))
                for part, group in zip(family.parts, family.columns, strict=True)
                if j in group
            )
            return _family_moments(part, k, place)
        case LogNormal():
            variance = family.variances[k, j]
            mean = np.exp(family.means[k, j] + variance / 2)
            return mean, np.expm1(variance) * mean**2
        case Gamma():
            mean = family.shapes[k, j] / family.rates[k, j]
            return mean, mean / family.rates[k, j]
        case Exponential():
            return 1 / family.rates[k, j], 1 / family.rates[k, j] ** 2
        case Poisson():
            return family.rates[k, j], family.rates[k, j]
        case StudentTColumns():
            dof = family.dofs[k, j]
            variance = family.scales[k, j] ** 2 * dof / (dof - 2) if dof > 2 else np.inf
            return family.locations[k, j], variance
        case Bins():
            means, variances = family.moments(j)
            return means[k], variances[k]
        case _:
            return _dense_moments(family, k, j)


def _dense_moments(family: Any, k: int, j: int) -> tuple[float, float]:
    means = getattr(family, "means", None)
    if means is None:
        missing = np.full((1, family.n_columns), np.nan)
        return float(family.complete(missing, np.array([k]))[0, j]), np.inf
    if hasattr(family, "covariances"):
        return means[k, j], family.covariances[k, j, j]
    if hasattr(family, "covariance"):
        return means[k, j], family.covariance[j, j]
    if hasattr(family, "loadings"):
        return means[k, j], float(np.sum(family.loadings[k, j] ** 2) + family.noise[k, j])
    variances = family.variances
    return means[k, j], variances[k] if variances.ndim == 1 else variances[k, j]


def _shares(story: Any, member: int, column: int) -> FloatArray:
    """Probability (C,) of each level of a category in one class."""
    total: FloatArray | float = 0.0
    if isinstance(story, TreeAverage):
        told = [_shares(tree, member, column) for tree in trees_of(story)]
        return np.asarray(np.exp(story.log_weights) @ np.stack(told))
    if isinstance(story, LatentTree):
        (levelled,) = story.emissions
        if isinstance(levelled, UnivariateColumns):
            return np.asarray(story.root @ levelled.level_probabilities(0))
    for weight, family, k in _parts(story, member):
        part = family.univariate_part(column)
        if part is not None and isinstance(part[0], Bernoulli | Categorical | GroupedLevels):
            bank, place = part
            total = total + weight * np.asarray(bank.level_probabilities(place)[k])
    if isinstance(total, float):
        mean, _ = _moments(story, member, column)  # a truncated story, or yes and no as numbers
        return np.array([1 - mean, mean])
    return total


def _words(
    story: Any,
    column: Any,
    places: list[int],
    fields: Sequence[Any],
    names: Sequence[str],
    shown: Sequence[int],
) -> str:
    """The words that speak most for each class, among those that are not rare in it."""
    lines = [f"column {column!r}: {len(places):,} words; those that speak most for"]
    shares = np.array([_word_shares(story, k, places) for k in range(len(names))])
    if shares.size == 0 or len(names) < 2:
        return lines[0].partition(";")[0]
    for k in shown:
        others = np.delete(shares, k, axis=0).mean(axis=0)
        # What is gained over all texts of the class, not what is said once and nowhere else.
        gain = shares[k] * np.log(np.maximum(shares[k], 1e-300) / np.maximum(others, 1e-300))
        best = [i for i in np.argsort(-gain, kind="stable")[:_MOST_WORDS] if gain[i] > 0]
        lines.append(f"  {names[k]}: {'  '.join(str(fields[places[i]].word) for i in best)}")
    return "\n".join(lines)


def _word_shares(story: Any, member: int, places: list[int]) -> FloatArray:
    total = np.zeros(len(places))
    for weight, family, k in _parts(story, member):
        parts = (
            zip(family.parts, family.columns, strict=True)
            if isinstance(family, Product)
            else [(family, tuple(range(family.n_columns)))]
        )
        for bank, group in parts:
            if isinstance(bank, Multinomial) and group[0] == places[0]:
                total += weight * bank.probabilities[k]
    return total

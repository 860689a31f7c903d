"""Conditions, prices and probabilities as people type them."""

from __future__ import annotations

import csv
import datetime
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabula.cli._models import LoadedModel
from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.report.sentences import as_text
from fabula.tables.messages import did_you_mean, listed

__all__ = ["Condition", "parse_bounds", "parse_costs", "parse_given", "parse_kinds", "parse_prior"]


@dataclass(frozen=True)
class Condition:
    """What is given: of columns as the estimator takes it, and which classes are left.

    Parameters
    ----------
    columns
        Column → value, ``(low, high)`` or list of values.
    classes
        Labels that are possible; None where nothing was said about the class.
    """

    columns: dict[Any, Any]
    classes: tuple[str, ...] | None = None

    def apply_to_classes(self, estimator: Any) -> tuple[Any, float]:
        """The model with the other classes ruled out, and the log probability of that."""
        if self.classes is None:
            return estimator, 0.0
        weights = estimator.class_prior_
        kept = [
            float(weight) if as_text(label) in self.classes else 0.0
            for label, weight in zip(estimator.classes_.tolist(), weights, strict=True)
        ]
        total = math.fsum(kept)
        if not total > 0:
            raise DataError(f"The model gives the classes {listed(self.classes)} no probability.")
        if not hasattr(estimator, "with_prior"):
            raise CannotAnswerError(
                "be given a class",
                type(estimator).__name__,
                "it has draws of each class, and no probabilities of them: fabula sample takes one "
                "class",
                ("DiffusionModel", "VariationalAutoencoder"),
            )
        return estimator.with_prior([weight / total for weight in kept]), math.log(total)


def parse_given(texts: Sequence[str] | None, model: LoadedModel) -> Condition:
    """Read ``column=value``, ``column=low..high`` and ``column=a|b|c``.

    Raises
    ------
    UsageError
        The form is another, there is no such column or level, or a number is none.
    """
    names = [str(name) for name in model.columns]
    known = [*names, model.target] if model.classifies else names
    columns: dict[Any, Any] = {}
    classes: tuple[str, ...] | None = None
    for text in texts or ():
        name, value = _split(text, known, "--given")
        if name in columns or (name == model.target and classes is not None):
            raise UsageError(f"--given says something about {name!r} twice; say it once.")
        if model.classifies and name == model.target and name not in names:
            classes = tuple(value.split("|"))
            for label in classes:
                if label not in model.class_names:
                    raise UsageError(
                        f"There is no class {label!r}. {did_you_mean(label, model.class_names)}"
                    )
        else:
            place = model.columns[names.index(name)]
            columns[place] = _condition(value, name, _column_of(model.estimator, place))
    return Condition(columns, classes)


def parse_bounds(texts: Sequence[str], encoding: Any) -> dict[Any, tuple[Any, Any]]:
    """Read ``column=low..high``."""
    names = [str(field.column) for field in encoding.fields]
    bounds: dict[Any, tuple[Any, Any]] = {}
    for text in texts:
        name, value = _split(text, names, "--bounds")
        column = encoding.schema[encoding.fields[names.index(name)].column]
        low, dots, high = value.partition("..")
        if not (low and dots and high) or column.levels:
            raise UsageError(f"--bounds {text!r} needs a column of numbers, as column=low..high.")
        bounds[column.name] = tuple(_value(end, name, column.kind, column) for end in (low, high))
    return bounds


def parse_kinds(texts: Sequence[str] | None, names: Sequence[str]) -> dict[str, Any]:
    """Read ``column=kind``."""
    kinds: dict[str, Any] = {}
    for text in texts or ():
        name, kind = _split(text, names, "--kind")
        kinds[name] = kind
    return kinds


def parse_prior(text: str, classes: Sequence[str]) -> dict[str, float]:
    """Read ``class=probability,class=probability``; one class may be left out and gets the rest."""
    prior: dict[str, float] = {}
    for part in text.split(","):
        name, value = _split(part.strip(), classes, "--prior", "class")
        prior[name] = _number(value, f"The probability of {name!r} in --prior")
    left = [name for name in classes if name not in prior]
    total = math.fsum(prior.values())
    if len(left) == 1 and 0 <= total <= 1:
        prior[left[0]] = 1.0 - total
    elif left:
        raise UsageError(f"--prior says nothing about the classes {listed(left)}.")
    elif not math.isclose(total, 1.0, abs_tol=1e-6):
        raise UsageError(f"The probabilities in --prior must sum to 1, not {total:.6g}.")
    if any(value < 0 or value > 1 for value in prior.values()):
        raise UsageError("The probabilities in --prior must lie between 0 and 1.")
    return prior


def parse_costs(text: str, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Read what each action costs where each class is the truth.

    ``truth:action=cost,…`` on the command line; or a file: JSON, an object of objects
    ``{"truth": {"action": cost}}``; or CSV with the truth in the first column and one action in
    each of the others. Calling a class by its name costs nothing unless something else is said.
    """
    if "=" not in text or Path(text).is_file():
        costs = _costs_from_file(text)
    else:
        costs = _costs_inline(text, classes)
    for truth in costs:
        if truth not in classes:
            raise UsageError(
                f"--costs: there is no class {truth!r}. {did_you_mean(truth, classes)}"
            )
    actions = list(dict.fromkeys(action for row in costs.values() for action in row))
    if set(actions) <= set(classes):
        actions = list(classes)
    complete: dict[str, dict[str, float]] = {}
    for truth in classes:
        stated = costs.get(truth, {})
        right = {truth: 0.0} if truth in actions else {}
        complete[truth] = {
            action: (right | stated)[action] for action in actions if action in right | stated
        }
        absent = [action for action in actions if action not in complete[truth]]
        if absent:
            raise UsageError(
                f"--costs does not say what {listed(absent)} costs where {truth!r} is the truth."
            )
    return complete


def _split(text: str, known: Sequence[str], option: str, what: str = "column") -> tuple[str, str]:
    """Name and value; a name may itself hold the sign, if it is one that exists."""
    ends = [i for i, character in enumerate(text) if character == "="]
    if not ends:
        raise UsageError(f"{option} {text!r} is not of the form {what}=value.")
    for end in ends:
        if text[:end] in known:
            return text[:end], text[end + 1 :]
    name = text[: ends[0]]
    raise UsageError(f"{option}: there is no {what} {name!r}. {did_you_mean(name, known)}")


def _column_of(estimator: Any, place: Any) -> Any:
    """The column of the schema; None for models of plain arrays, whose columns are numbers."""
    encoding = estimator.encoding_
    return None if encoding is None else encoding.schema[place]


def _condition(text: str, name: str, column: Any) -> Any:
    kind = "continuous" if column is None else column.kind
    levels = {as_text(level): level for level in column.levels} if column is not None else {}
    if kind in ("category", "boolean"):
        if text in levels:
            return levels[text]
        chosen = text.split("|")
        for label in chosen:
            if label not in levels:
                raise UsageError(
                    f"Column {name!r} has no level {label!r}. {did_you_mean(label, list(levels))}"
                )
        return levels[text] if len(chosen) == 1 else [levels[label] for label in chosen]
    if ".." in text:
        low, _, high = text.partition("..")
        if not low and not high:
            raise UsageError(f"--given {name}=.. has no end: give low.., ..high or low..high.")
        ends = tuple(_value(end, name, kind, column) if end else None for end in (low, high))
        return ends
    if "|" in text:
        return [_value(part, name, kind, column) for part in text.split("|")]
    return _value(text, name, kind, column)


def _value(text: str, name: str, kind: str, column: Any) -> Any:
    if kind != "date":
        return _number(text, f"The condition on {name!r}")
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"The condition on {name!r} is {text!r}, which is no date like 2026-01-31."
        ) from None
    if column.date_format is not None:
        return moment.date().isoformat() if column.date_format == "%Y-%m-%d" else text
    return moment.date() if column.dtype == "date" else moment


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{what} is {text!r}, which is not a number.")
    return value


def _costs_inline(text: str, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    costs: dict[str, dict[str, float]] = {}
    for part in text.split(","):
        pair, sign, value = part.strip().rpartition("=")
        truths = [name for name in classes if pair.startswith(f"{name}:")]
        truth, colon, action = pair.partition(":")
        if truths:
            truth = max(truths, key=len)
            colon, action = ":", pair[len(truth) + 1 :]
        if not (sign and colon and truth and action):
            raise UsageError(
                f"--costs {part.strip()!r} is neither a file nor of the form truth:action=cost, "
                f"such as {classes[0]}:{classes[-1]}=1."
            )
        row = costs.setdefault(truth, {})
        if action in row:
            raise UsageError(f"--costs says twice what {pair} costs.")
        row[action] = _number(value, f"The cost of {pair} in --costs")
    return costs


def _costs_from_file(path: str) -> dict[str, dict[str, float]]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"--costs {path} is neither of the form truth:action=cost,… nor a file that can be "
            f"read: {error.strerror or error}."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: byte {error.start + 1}.") from None
    if path.lower().endswith(".json"):
        return _costs_from_json(text, path)
    lines = [line for line in csv.reader(text.splitlines()) if any(line)]
    if len(lines) < 2 or len(lines[0]) < 2:
        raise DataError(
            f"{path} is no table of costs: expected a first line with the actions, and below it "
            "one line for each class with its name and the cost of each action."
        )
    actions = [cell.strip() for cell in lines[0][1:]]
    costs = {}
    for place, line in enumerate(lines[1:], start=2):
        if len(line) != len(lines[0]):
            raise DataError(f"{path}, line {place}: {len(line)} cells, expected {len(lines[0])}.")
        where = f"{path}, line {place}: a cost"
        costs[line[0].strip()] = {
            action: _cost(cell, where) for action, cell in zip(actions, line[1:], strict=True)
        }
    return costs


def _costs_from_json(text: str, path: str) -> dict[str, dict[str, float]]:
    try:
        state = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}.") from None
    if not isinstance(state, dict) or not all(isinstance(row, dict) for row in state.values()):
        raise DataError(f'{path} must hold an object of objects: {{"truth": {{"action": cost}}}}.')
    return {
        str(truth): {
            str(action): _cost(cost, f"{path}: the cost of {truth}:{action}")
            for action, cost in row.items()
        }
        for truth, row in state.items()
    }


def _cost(value: Any, where: str) -> float:
    try:
        cost = float(value)
    except (TypeError, ValueError):
        cost = math.nan
    if isinstance(value, bool) or not math.isfinite(cost):
        raise DataError(f"{where} is {value!r}, expected a number.")
    return cost

"""Which model to use, and why, in plain sentences with the numbers they rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.evaluation.differences import Difference, corrected_resampled_difference
from fabula.evaluation.results import Result
from fabula.evaluation.rounds import LABELLED_ONLY
from fabula.evaluation.traits import Traits

if TYPE_CHECKING:
    from fabula.evaluation.comparison import ModelResult

__all__ = ["REASONS", "Reason", "Verdict", "judge"]

REASONS: dict[str, str] = {
    "chosen": "which model, and what it is chosen over",
    "no_predictions": "no model could be scored",
    "quadratic_boundary": "models with a quadratic boundary beat those with a linear one",
    "linear_boundary": "they do not",
    "unequal_covariances": "a covariance for each class makes held-out rows more probable",
    "independence_wrong": "models that let columns depend on each other beat naive Bayes",
    "few_rows": "there are few rows for the number of columns",
    "miscalibrated": "a calibration map makes a story's probabilities better",
    "storyteller_wins": "the best storyteller beats the best divider",
    "divider_wins": "the best divider beats the best storyteller",
    "no_difference": "neither does",
    "unlabelled_help": "rows without a label make a story significantly better",
    "unlabelled_may_help": "they make it better, but not significantly",
    "unlabelled_do_not_help": "they make it no better",
}
"""Every code a reason may have, and what it says."""

_STRONG_CORRELATION = 0.2
_ROWS_PER_COLUMN = 2.0
_NEGLIGIBLE = 0.05


@dataclass(frozen=True)
class Reason(Result):
    """One finding.

    Attributes
    ----------
    code : str
        One of `REASONS`.
    text : str
        A sentence or two.
    evidence : dict
        The numbers it rests on, by name; differences of log loss are in nats per row, negative
        where the first model is better.
    """

    code: str
    text: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Verdict(Result):
    """The model to use, and why.

    Attributes
    ----------
    chosen : str or None
        The simplest of the models that are not significantly worse than the best, and within one
        standard error or 5 % of its log loss.
    best : str or None
        The model with the smallest log loss.
    reasons : tuple of Reason
    """

    chosen: str | None
    best: str | None
    reasons: tuple[Reason, ...]

    def __getitem__(self, code: str) -> Reason:
        for reason in self.reasons:
            if reason.code == code:
                return reason
        raise KeyError(code)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the reasons, in order."""
        return tuple(reason.code for reason in self.reasons)

    def __str__(self) -> str:
        """The sentences, one reason a line."""
        return "\n".join(reason.text for reason in self.reasons)


@dataclass(frozen=True)
class _Field:
    """The models that have predictions, and how to tell two of them apart."""

    models: tuple[ModelResult, ...]
    n_train: int
    n_test: int
    alpha: float

    def difference(self, a: ModelResult, b: ModelResult) -> Difference:
        """Log loss of a less that of b."""
        return corrected_resampled_difference(
            a.fold_losses - b.fold_losses, self.n_train, self.n_test
        )

    def beats(self, difference: Difference) -> bool:
        """Whether the first of the two models is significantly better."""
        return difference.mean < 0 and difference.p_value / 2 < self.alpha

    def equals(self, model: ModelResult, best: ModelResult) -> bool:
        """Whether a simpler model may stand in for the best.

        It must not be significantly worse. That alone would let a model pass whose few enormous
        losses drown every difference, so it must also lie within one standard error, or within a
        twentieth of the loss.
        """
        found = self.difference(model, best)
        if found.mean <= 0:
            return True
        if found.p_value / 2 < self.alpha:
            return False
        return found.mean <= max(found.standard_error, _NEGLIGIBLE * _loss(best))

    def brier_difference(self, a: ModelResult, b: ModelResult) -> Difference:
        """Brier score of a less that of b, which no single row can dominate."""
        return corrected_resampled_difference(
            a.fold_briers - b.fold_briers, self.n_train, self.n_test
        )

    def best(self, keep: Callable[[ModelResult], bool]) -> ModelResult | None:
        """The model with the smallest loss among those that ``keep`` takes."""
        return next((model for model in self.models if keep(model)), None)

    def plain(self, code: str) -> ModelResult | None:
        """The model of a kind as it is, without a map and with all rows."""
        return self.best(lambda m: m.code == code and m.calibration is None and not m.labelled_only)


def judge(
    models: Sequence[ModelResult],
    skipped: Sequence[Any],
    traits: Traits,
    sizes: tuple[int, int],
    alpha: float,
) -> Verdict:
    """Weigh the results of a comparison.

    Parameters
    ----------
    models : sequence of ModelResult
        Best log loss first.
    skipped : sequence of Skipped
    traits : Traits
    sizes : tuple of int
        Rows that are learned from and scored in each fold.
    alpha : float
        Level of the one-sided tests.
    """
    usable = tuple(m for m in models if m.scores is not None and np.isfinite(m.fold_losses).all())
    if not usable:
        text = "No model could be scored; see why each of them failed."
        return Verdict(None, None, (Reason("no_predictions", text, {}),))
    field = _Field(usable, *sizes, alpha)
    best = usable[0]
    equal = [m for m in usable if field.equals(m, best)]
    chosen = min(equal, key=lambda m: (m.complexity, _loss(m)))
    found: list[Reason | None] = [
        _about_choice(field, chosen, best),
        *_about_boundary(field, chosen),
        _about_independence(field, traits),
        _about_rows(traits),
        *_about_calibration(field),
        _about_philosophies(field),
        _about_unlabelled(field, traits),
    ]
    return Verdict(chosen.name, best.name, tuple(reason for reason in found if reason is not None))


# Findings -----------------------------------------------------------------------------------------


def _about_choice(field: _Field, chosen: ModelResult, best: ModelResult) -> Reason:
    n = len(field.models)
    text = f"Use {chosen.name}: log loss {_number(_loss(chosen))} nats per row"
    evidence: dict[str, Any] = {"log_loss": _loss(chosen), "best_log_loss": _loss(best)}
    if chosen is best:
        others = [m for m in field.models if m.complexity < chosen.complexity]
        text += f", the best of {n}"
        if others:
            text += ", and every simpler model is clearly worse"
        return Reason("chosen", text + ".", evidence)
    difference = field.difference(chosen, best)
    evidence |= _evidence(difference)
    text += (
        f". {best.name} has {_number(_loss(best))}, but that is no significant difference "
        f"({_signed(-difference.mean)} nats, p = {_p(difference)}), and {chosen.name} is simpler."
    )
    return Reason("chosen", text, evidence)


def _about_boundary(field: _Field, chosen: ModelResult) -> Iterable[Reason]:
    """Quadratic against linear, within each philosophy, and the densities that bear on it."""
    tested = []
    for linear, quadratic in (("lda", "qda"), ("logistic", "quadratic")):
        a, b = _variants(field, quadratic), _variants(field, linear)
        if a and b:
            # The best variant of each, so that a map does not decide about the boundary.
            tested.append((a[0], b[0], field.difference(a[0], b[0])))
    unequal = _about_covariances(field)
    if tested:
        yield _boundary(field, tested, chosen, unequal is not None)
    if unequal is not None:
        yield unequal


def _boundary(
    field: _Field,
    tested: Sequence[tuple[ModelResult, ModelResult, Difference]],
    chosen: ModelResult,
    unequal: bool,
) -> Reason:
    evidence = {f"{rich.name} - {simple.name}": _evidence(d) for rich, simple, d in tested}
    shown = "; ".join(
        f"{rich.name} against {simple.name} {_signed(d.mean)} nats, p = {_p(d)}"
        for rich, simple, d in tested
    )
    significant = any(field.beats(d) for _, _, d in tested)
    favoured = all(d.mean < 0 for _, _, d in tested)
    # What the columns say counts too, where the classes point the same way.
    if significant or (favoured and unequal) or chosen.code in ("qda", "quadratic"):
        linear = tested[0][1].code == "lda"
        wrong = "the shared-covariance story" if linear else "a linear boundary"
        sure = "is wrong" if significant or unequal else "is probably wrong"
        return Reason(
            "quadratic_boundary", f"Quadratic boundary: {wrong} {sure} ({shown}).", evidence
        )
    text = f"A quadratic boundary predicts no better than a linear one ({shown})."
    return Reason("linear_boundary", text, evidence)


def _about_covariances(field: _Field) -> Reason | None:
    """Whether the columns themselves, not only the classes, ask for a covariance each."""
    tied, free = field.plain("lda"), field.plain("qda")
    if tied is None or free is None:
        return None
    if not np.isfinite(tied.fold_log_densities + free.fold_log_densities).all():
        return None
    # A log density is a loss with its sign changed.
    difference = corrected_resampled_difference(
        tied.fold_log_densities - free.fold_log_densities, field.n_train, field.n_test
    )
    if not field.beats(difference):
        return None
    text = (
        f"Held-out rows are {_number(-difference.mean)} nats more probable each where every class "
        f"has a covariance of its own ({free.name} against {tied.name}, p = {_p(difference)})."
    )
    evidence = {"nats_per_row": -difference.mean, "p_value": difference.p_value}
    return Reason("unequal_covariances", text, evidence)


def _about_independence(field: _Field, traits: Traits) -> Reason | None:
    naive = _variants(field, "naive_bayes")
    joint = [
        m
        for m in field.models
        if m.code in ("lda", "qda", "factors", "mixture", "gaussian_mixture")
        and not m.labelled_only
    ]
    if not naive or not joint or traits.correlated is None:
        return None
    difference = field.difference(joint[0], naive[0])
    if not field.beats(difference) or abs(traits.correlation) < _STRONG_CORRELATION:
        return None
    a, b = traits.correlated
    text = (
        f"Independence is wrong: columns {a} and {b} are correlated within the classes "
        f"(r = {traits.correlation:.2f}), and {joint[0].name} beats {naive[0].name} by "
        f"{_number(-difference.mean)} nats (p = {_p(difference)})."
    )
    evidence = {"columns": [a, b], "correlation": traits.correlation, **_evidence(difference)}
    return Reason("independence_wrong", text, evidence)


def _about_rows(traits: Traits) -> Reason | None:
    n, d = traits.n_labelled, traits.n_numbers
    if n >= _ROWS_PER_COLUMN * d:
        return None
    sign = "≪" if n < d else "≈"
    text = (
        f"n {sign} d: {n:,} labelled rows for {d:,} columns of numbers cannot determine a "
        "covariance; use factors or a divider, or shrink what is estimated."
    )
    return Reason("few_rows", text, {"n": n, "d": d})


def _about_calibration(field: _Field) -> Iterable[Reason]:
    """For each story the best of its maps, where that makes it significantly better."""
    for code in dict.fromkeys(m.code for m in field.models if m.calibration is not None):
        plain = field.plain(code)
        mapped = field.best(lambda m, code=code: m.code == code and m.calibration is not None)  # type: ignore[misc]
        if plain is None or mapped is None:
            continue
        difference = field.difference(mapped, plain)
        by_brier = field.brier_difference(mapped, plain)
        if difference.mean >= 0 or not (field.beats(difference) or field.beats(by_brier)):
            continue
        text = (
            f"The story of {plain.name} is miscalibrated: {mapped.calibration} takes its log loss "
            f"from {_number(_loss(plain))} to {_number(_loss(mapped))}"
        )
        evidence = {"model": plain.name, "method": mapped.calibration, **_evidence(difference)}
        beta = mapped.inverse_temperature
        if np.isfinite(beta):
            how = "too sure" if beta < 1 else "not sure enough"
            text += f" (it is {how} of itself: its log-odds want a factor of {beta:.2g})"
            evidence["inverse_temperature"] = beta
        yield Reason("miscalibrated", text + ".", evidence)


def _about_philosophies(field: _Field) -> Reason | None:
    story = field.best(lambda m: m.kind == "storyteller" and not m.labelled_only)
    divider = field.best(lambda m: m.kind == "divider")
    if story is None or divider is None:
        return None
    difference = field.difference(story, divider)
    evidence = {"storyteller": story.name, "divider": divider.name, **_evidence(difference)}
    size = f"by {_number(abs(difference.mean))} nats (p = {_p(difference)})"
    if field.beats(difference):
        text = f"The storyteller {story.name} beats the best divider, {divider.name}, {size}."
        return Reason("storyteller_wins", text, evidence)
    if field.beats(field.difference(divider, story)):
        text = (
            f"The divider {divider.name} beats the best storyteller, {story.name}, {size}: prefer "
            "it for prediction; keep the story for missing cells, sampling, and changes of the "
            "classes' shares."
        )
        return Reason("divider_wins", text, evidence)
    text = (
        f"No significant difference between the best storyteller, {story.name}, and the best "
        f"divider, {divider.name} ({_signed(difference.mean)} nats, p = {_p(difference)}): prefer "
        "the simplest, or the one that answers more questions."
    )
    return Reason("no_difference", text, evidence)


def _about_unlabelled(field: _Field, traits: Traits) -> Reason | None:
    """Each story with and without the rows that have no label; the best story speaks for all."""
    pairs = []
    for without in (m for m in field.models if m.labelled_only):
        name = without.name.removesuffix(LABELLED_ONLY)
        with_all = field.best(lambda m, name=name: m.name == name)  # type: ignore[misc]
        if with_all is not None:
            pairs.append((with_all, without, field.difference(with_all, without)))
    if not pairs:
        return None
    pairs.sort(key=lambda pair: min(_loss(pair[0]), _loss(pair[1])))
    with_all, without, difference = pairs[0]
    n = traits.n_rows - traits.n_labelled
    evidence: dict[str, Any] = {
        "n_unlabelled": n,
        **{f"{a.name} - {b.name}": _evidence(d) for a, b, d in pairs},
    }
    size = f"{_number(abs(difference.mean))} nats (p = {_p(difference)})"
    rows = f"the {n:,} rows without a label"
    if field.beats(difference):
        text = f"With {rows}, {with_all.name} is better by {size}."
        code = "unlabelled_help"
    elif difference.mean < 0:
        text = f"With {rows}, {with_all.name} is better by {size}, which may be chance."
        code = "unlabelled_may_help"
    else:
        text = f"{rows[0].upper()}{rows[1:]} do not help: "
        text += f"with them, {with_all.name} is worse by {size}"
        hurt = field.beats(field.difference(without, with_all))
        text += "; its story of the columns is wrong where it matters." if hurt else "."
        code = "unlabelled_do_not_help"
    return Reason(code, text, evidence)


# Words --------------------------------------------------------------------------------------------


def _variants(field: _Field, code: str) -> list[ModelResult]:
    """A model with and without maps, best first."""
    return [m for m in field.models if m.code == code and not m.labelled_only]


def _loss(model: ModelResult) -> float:
    return float(np.mean(model.fold_losses))


def _evidence(difference: Difference) -> dict[str, Any]:
    return {
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "p_value": difference.p_value,
    }


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) >= 0.0995 else f"{value:.2g}"


def _signed(value: float) -> str:
    return f"{value:+.2g}"


def _p(difference: Difference) -> str:
    p = difference.p_value
    return "1" if np.isnan(p) else f"{p:.2g}" if p >= 1e-4 else "< 0.0001"

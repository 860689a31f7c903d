"""The demo: one table, every question, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.cli._demo_table import BENIGN, MALIGNANT, PATIENT, TARGET, DemoTable
from fabula.cli._models import LoadedModel
from fabula.report.document import Section, TextTable
from fabula.report.findings import (
    Decided,
    Filled,
    about_accuracy,
    about_calibration,
    about_decisions,
    about_evidence,
    about_filling,
    about_holes,
    count_decisions,
)
from fabula.report.sentences import joined, number, percent, plural

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from fabula.evaluation.comparing import Comparison

__all__ = ["COSTS", "Study"]

COST_OF_MISS = 20.0
COSTS = {
    BENIGN: {"leave": 0.0, "biopsy": 1.0},
    MALIGNANT: {"leave": COST_OF_MISS, "biopsy": 0.0},
}
_DRAWS = 20
_LEVEL = 0.9
_INTERVAL = ("mean_radius", 13.0, 15.0)
_EXPECTED = "worst_area"


@dataclass(frozen=True)
class Study:
    """A table, a model of it, and what the model said of rows it had not seen.

    Parameters
    ----------
    table
        The table with holes, and the truth.
    loaded
        The model fitted to all rows.
    comparison
        How it, and others, did on rows that they had not seen.
    chosen
        Its name in the comparison.
    seed
        For whatever is left to chance.
    folder
        Where pictures and tables go.
    """

    table: DemoTable
    loaded: LoadedModel
    comparison: Comparison
    chosen: str
    seed: int
    folder: Path

    @property
    def features(self) -> pl.DataFrame:
        """What the model learns from."""
        return self.table.frame.drop(TARGET)

    @property
    def diagnosed(self) -> NDArray[np.bool_]:
        """Patients whose diagnosis is in the table, (n,)."""
        return self.table.frame[TARGET].is_not_null().to_numpy()

    @property
    def has_cancer(self) -> NDArray[np.bool_]:
        """The truth, for all patients, (n,)."""
        return (self.table.truth[TARGET] == MALIGNANT).to_numpy()

    @property
    def held_out(self) -> NDArray[np.float64]:
        """Probability of cancer for each diagnosed patient, by models that had not seen them."""
        return np.asarray(self.comparison.held_out[self.chosen][:, -1])

    @property
    def why(self) -> str:
        """Why it is this model."""
        kinds = {model.code for model in self.comparison.models if model.kind == "storyteller"}
        loss = self.comparison[self.chosen].scores
        assert loss is not None
        return (
            f"{self.chosen} was chosen among {len(kinds)} kinds of model, each with and without "
            "calibration, because it gave the highest probabilities to the diagnoses of patients "
            f"that it had not seen (log loss {loss.log_loss.value:.3f} nats)."
        )

    # Sections ---------------------------------------------------------------------------------

    def about_table(self) -> Section:
        """What the table is, and how much of it is missing."""
        holes = self.table.holes
        n_open = int((~self.diagnosed).sum())
        n_rows, n_columns = holes.shape
        n_complete = int((~holes.any(axis=1)).sum())
        sentences = about_holes(n_rows, n_columns, int(holes.sum()), n_complete, "patient")
        return Section(
            "The table",
            (
                *sentences,
                f"{n_open} patients have no diagnosis yet; their measurements teach as well.",
            ),
        )

    def about_model(self) -> Section:
        """Which model, and why."""
        model = self.loaded.estimator
        return Section(
            "The model",
            (
                self.why,
                "It says that the measurements of both groups are normally distributed, with means "
                "of their own and one covariance; a calibration map then makes the probabilities "
                "honest."
                if self.chosen == "LDA + sigmoid"
                else "",
                f"It has {plural(model.n_parameters, 'parameter')} and answers every question "
                "below, about rows with any cells missing.",
            ),
            pictures=("densities.png", "regions.png"),
        )

    def about_diagnosis(self) -> Section:
        """How well it tells the classes apart."""
        from fabula.evaluation.metrics import score_predictions

        is_case = self.has_cancer[self.diagnosed]
        scores = score_predictions(is_case.astype(int), self.held_out, n_bootstrap=100)
        said = self.loaded.estimator.predict(self.features)[~self.diagnosed]
        right = int((said == self.table.truth[TARGET].to_numpy()[~self.diagnosed]).sum())
        return Section(
            "Diagnosis",
            (
                *about_accuracy(scores, TARGET, "patient"),
                f"Of the {len(said)} patients without a diagnosis, whose truth had been put aside, "
                f"it is right about {right}.",
            ),
        )

    def about_trust(self) -> Section:
        """Whether its probabilities can be trusted."""
        is_case = self.has_cancer[self.diagnosed]
        return Section(
            "Can the probabilities be trusted?",
            about_calibration(is_case, self.held_out, "cancer", "patient"),
            pictures=("reliability.png",),
        )

    def about_biopsies(self) -> Section:
        """What to do if a missed cancer costs as much as twenty needless biopsies."""
        is_case = self.has_cancer[self.diagnosed]
        by_costs, by_class, everybody, nobody = self._decided(is_case)
        rules = (by_costs, by_class, everybody, nobody)
        table = TextTable(
            ("rule", "biopsies", "cancers missed", "needless biopsies", "cost"),
            tuple((d.rule, d.treated, d.missed, d.needless, number(d.cost)) for d in rules),
        )
        sentences = about_decisions(
            by_costs, by_class, everybody, int(is_case.sum()), COST_OF_MISS,
            "biopsy", "biopsies", "cancer",
        )  # fmt: skip
        return Section("Whom to send to biopsy", sentences, table, ("costs.png",))

    def _decided(self, is_case: NDArray[np.bool_]) -> tuple[Decided, Decided, Decided, Decided]:
        from fabula.questions.decide import decide

        probabilities = np.column_stack([1 - self.held_out, self.held_out])
        decisions = decide(probabilities, COSTS, [BENIGN, MALIGNANT])
        everybody = np.ones(len(is_case), dtype=bool)

        def counted(rule: str, treated: NDArray[np.bool_]) -> Decided:
            return count_decisions(rule, is_case, treated, COST_OF_MISS)

        return (
            counted("smallest expected cost", decisions.labels() == "biopsy"),
            counted("more probable diagnosis", self.held_out > 0.5),
            counted("biopsy for everybody", everybody),
            counted("biopsy for nobody", ~everybody),
        )

    def about_holes(self) -> Section:
        """What was filled in, and how well: the truth is known."""
        from fabula.tables import write_table

        names, holes = self.table.measurements, self.table.holes
        truth = self.table.truth.select(names).to_numpy()
        seen = np.where(holes, np.nan, truth)
        mean, spread = np.nanmean(seen, axis=0), np.nanstd(seen, axis=0)
        model = self.loaded.estimator
        completed = model.impute(self.features, "mean")
        draws = model.impute(self.features, "draw", _DRAWS, random_state=self.seed)
        cells = np.stack([draw.select(names).to_numpy() for draw in draws])
        tails = (1 - _LEVEL) / 2
        low, high = np.quantile(cells, [tails, 1 - tails], axis=0)
        error = (completed.select(names).to_numpy() - truth) / spread
        error_of_means = (mean - truth) / spread
        filled = Filled(
            int(holes.sum()),
            float(np.sqrt(np.mean(error[holes] ** 2))),
            float(np.sqrt(np.mean(error_of_means[holes] ** 2))),
            float(np.mean(((truth >= low) & (truth <= high))[holes])),
            _LEVEL,
        )
        write_table(completed.with_columns(self.table.frame[TARGET]), self.folder / "completed.csv")
        return Section("The empty cells", about_filling(filled))

    def about_condition(self) -> Section:
        """What follows if one measurement lies in an interval."""
        column, low, high = _INTERVAL
        given = self.loaded.estimator.condition({column: (low, high)})
        share = float(np.exp(given.story_.log_weights)[-1])
        samples, _ = self.loaded.estimator.sample(4000, self.seed, given={column: (low, high)})
        frame = self.table.truth
        inside = frame.filter(frame[column].is_between(low, high))
        cancers = int((inside[TARGET] == MALIGNANT).sum())
        truth = cancers / inside.height
        error = float(np.sqrt(truth * (1 - truth) / inside.height))
        return Section(
            "What if?",
            (
                f"Among patients whose {_words(column)} is between {low:g} and {high:g}, the model "
                f"expects cancer in {percent(share)} and a {_words(_EXPECTED)} of "
                f"{number(float(samples[_EXPECTED].mean()))}.",
                f"In truth, {cancers} of the {inside.height} such patients "
                f"({percent(truth)}, give or take {percent(error)} by chance) have it, and the "
                "mean of their "
                f"{_words(_EXPECTED)} is {number(float(inside[_EXPECTED].mean()))}.",  # type: ignore[arg-type]
                "Nothing was fitted anew for this answer: it follows from the one model.",
            ),
        )

    def about_samples(self) -> Section:
        """Whether what the model tells looks like the table."""
        from scipy.stats import ks_2samp

        from fabula.tables import write_table

        names = self.table.measurements
        samples, labels = self.loaded.estimator.sample(self.table.frame.height, self.seed)
        write_table(samples.with_columns(_series(TARGET, labels)), self.folder / "samples.csv")
        drawn, seen = samples.select(names).to_numpy(), self.table.frame.select(names).to_numpy()
        gaps = np.abs(_correlations(drawn) - _correlations(seen))[np.triu_indices(len(names), 1)]
        worst = [
            float(ks_2samp(drawn[:, j], seen[~np.isnan(seen[:, j]), j]).statistic)
            for j in range(len(names))
        ]
        order = np.argsort(worst)
        first = names[0]
        return Section(
            "Patients that never were",
            (
                f"The model told {plural(samples.height, 'patient')} anew.",
                f"Their {_words(first)} is {_spread(drawn[:, 0])}, in the table it is "
                f"{_spread(seen[:, 0])}; correlations between measurements differ by "
                f"{float(gaps.mean()):.2f} on average.",
                f"The likeness is best for {_words(names[order[0]])} and worst for "
                f"{_words(names[order[-1]])}, whose skewed shape this model does not know."
                if worst[order[-1]] > 0.15
                else f"The likeness is worst for {_words(names[order[-1]])}, and still close.",
            ),
            pictures=("pairs.png",),
        )

    def about_patient(self) -> Section:
        """Why the model thinks so about one patient."""
        from fabula.cli._pictures import evidence

        frame, row = self.features, self.patient
        found, _, _ = evidence(self.loaded, frame[row : row + 1])
        names = [str(column) for column in found.columns]
        who = f"Patient {frame[PATIENT][row]}"
        truth = self.table.truth[TARGET][row]
        return Section(
            "One patient",
            (
                *about_evidence(
                    who,
                    float(self.probabilities[row, -1]),
                    "cancer",
                    [_words(name) for name in names],
                    found.values[0, -1],
                    [frame[name][row] for name in names],
                ),
                f"What biopsy found later: {truth}.",
            ),
            pictures=("contributions.png",),
        )

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """What the model says of every patient, (n, 2)."""
        return np.asarray(self.loaded.estimator.predict_proba(self.features))

    @property
    def patient(self) -> int:
        """Row of the patient without a diagnosis who most needs an explanation."""
        probabilities = self.probabilities[:, -1]
        # Not certain, but more likely ill than not.
        distance = np.where(self.diagnosed, np.inf, np.abs(probabilities - 0.8))
        return int(np.argmin(distance))

    def about_outliers(self) -> Section:
        """Who is unlike everybody else."""
        frame = self.features
        tails = self.loaded.estimator.outliers(frame)
        scores = self.loaded.estimator.score_samples(frame)
        strange = np.flatnonzero(tails < 0.002)
        first = strange[np.argsort(scores[strange])][:3]
        expected = 0.002 * frame.height
        return Section(
            "Who is unlike the others",
            (
                f"{plural(len(strange), 'patient')} are less probable than 998 of 1,000 that the "
                f"model would tell; if it were the whole truth, there would be "
                f"about {number(expected, 1)}."
                + (
                    f" Look first at {joined(frame[PATIENT][int(i)] for i in first)}."
                    if len(first)
                    else ""
                ),
            ),
        )

    def about_comparison(self) -> Section:
        """The storytellers beside models that draw borders."""
        shown = [
            model
            for model in self.comparison.models
            if model.scores is not None and not model.labelled_only
        ]
        rows = tuple(
            (
                model.name,
                "tells a story" if model.kind == "storyteller" else "draws a border",
                f"{model.scores.log_loss.value:.3f}",  # type: ignore[union-attr]
                percent(model.scores.accuracy.value),  # type: ignore[union-attr]
                f"{model.scores.roc_auc.value:.3f}",  # type: ignore[union-attr]
                f"{model.scores.ece.value:.3f}",  # type: ignore[union-attr]
            )
            for model in shown
        )
        header = ("model", "what it does", "log loss", "accuracy", "ROC-AUC", "ECE")
        return Section(
            "Stories and borders",
            (
                "A classifier may tell how each class looks, or only draw the border between them. "
                f"All models below learned from the same {self.comparison.n_folds} folds; for "
                "logistic regression and the support vector machine (SVM) the empty cells had to "
                "be filled in first.",
                *(reason.text for reason in self.comparison.verdict.reasons),
                *self._about_the_choice(),
            ),
            TextTable(header, rows),
            ("learning_curves.png", "missing_curves.png"),
        )

    def _about_the_choice(self) -> tuple[str, ...]:
        if self.comparison.verdict.chosen == self.chosen:
            return ()
        return (
            f"Here {self.chosen} is used all the same, because decisions under costs need the "
            "probabilities themselves.",
        )


def _words(name: str) -> str:
    """``worst_area`` → ``worst area``, for sentences."""
    return name.replace("_", " ")


def _spread(cells: NDArray[np.float64]) -> str:
    return f"{number(float(np.nanmean(cells)))} ± {number(float(np.nanstd(cells)))}"


def _series(name: str, values: Any) -> pl.Series:
    import polars as pl

    return pl.Series(name, values.tolist())


def _correlations(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of every pair of columns over the rows in which both are seen."""
    seen = ~np.isnan(cells)
    x = np.where(seen, cells, 0.0) - np.where(seen, np.nanmean(cells, axis=0), 0.0)
    n = seen.T.astype(float) @ seen
    mean_x, squares = x.T @ seen / n, (x**2).T @ seen / n
    variance = squares - mean_x**2
    return np.asarray((x.T @ x / n - mean_x * mean_x.T) / np.sqrt(variance * variance.T))

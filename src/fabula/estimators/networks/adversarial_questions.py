"""Questions about a model without a density: draws, latents, and what the draws leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError, UsageError
from fabula.estimators.networks.questions import DrawsRows, TraversesLatents, filled, labelled_as

if TYPE_CHECKING:
    from fabula.neural.adversarial.coverage import ModeCoverage

__all__ = ["AdversarialQuestions"]

_DENSITIES = ("DiffusionModel", "VariationalAutoencoder", "LatentTreeModel", "MixtureModel")
_CLASSIFIERS = ("VariationalAutoencoder", "DiffusionModel", "GenerativeClassifier", "NaiveBayes")


# Questions that take a density, or the probability of a class that follows from one.
_OF_DENSITY = ("score_samples", "score", "outliers", "aic", "bic")
_OF_CLASSES = (
    "predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba", "decide",
    "decisions", "with_prior", "contributions",
)  # fmt: skip


def _absent() -> Any:
    """In the place of a method that is inherited: ``hasattr`` shall tell the truth."""

    def refuse(self: Any) -> Any:
        raise AttributeError

    return property(refuse)


class AdversarialQuestions(DrawsRows, TraversesLatents):
    """What a story of draws without a density answers."""

    n_starts: int
    n_search: int

    # Densities ---------------------------------------------------------------------------------

    density_kind = "implicit"
    score_samples = _absent()
    outliers = _absent()
    aic = _absent()
    bic = _absent()
    predict_proba = _absent()

    def __getattr__(self, name: str) -> Any:
        if name in _OF_DENSITY or name in _OF_CLASSES:
            raise CannotAnswerError(
                name,
                type(self).__name__,
                "it makes rows, and has no density from which that could be told",
                _DENSITIES if name in _OF_DENSITY else _CLASSIFIERS,
            )
        return super().__getattr__(name)

    def impute(
        self, X: Any, how: str = "mean", n_draws: int | None = None, *, random_state: Any = None
    ) -> Any:
        """Fill missing cells with draws that were made under the cells that are there.

        Where the model has classes, each draw is of one of them, as probable as the cells make it,
        to judge by the nearest of some thousand draws of every class.

        Parameters
        ----------
        X : (n, d) array or data frame
        how : {"mean", "draw"}
            The mean of 32 draws, with the most frequent level of categories; or one draw. There is
            no "mode": nothing tells which value is the most probable.
        n_draws : int, optional
            With ``how="draw"``: a list of this many completed tables instead of one.
        random_state : int, Generator, RandomState or None
            For draws; means are always the same.

        Raises
        ------
        CannotAnswerError
            The network was told no cells while it learned (``known_share=0``, as for images).

        References
        ----------
        Yoon, Jordon and van der Schaar (2018), GAIN, ICML: an adversarial network that is told
        cells.
        """
        if how == "mode":
            raise CannotAnswerError(
                "impute the most probable value",
                type(self).__name__,
                "it has no density",
                ("DiffusionModel", "MixtureModel"),
            )
        if how not in ("mean", "draw"):
            raise UsageError(f"how must be 'mean' or 'draw', not {how!r}.")
        return filled(self, X, how, n_draws, random_state)

    # Latents -----------------------------------------------------------------------------------

    def transform(self, X: Any, y: Any = None) -> FloatArray:
        """Latents (n, Z) that make a row as near as can be to each of these.

        A search, from several starts, for the least squared error of numbers and cross-entropy
        of categories; missing cells are left out. Rows that the generator cannot make have no
        latents that make them: compare with `reconstruct`.

        Parameters
        ----------
        X : (n, d) array, data frame or images
        y : (n,) array of classes, optional
            Needed where the model was fitted with classes.

        References
        ----------
        Creswell and Bharath (2019), Inverting the generator of a generative adversarial network,
        IEEE Trans. Neural Netw. Learn. Syst. 30:1967.
        """
        x = np.asarray(self._read(X), dtype=np.float64)
        labels = self._needed_classes(y, len(x))
        return np.asarray(self.story_.encode(x, labels, int(self.n_starts), int(self.n_search)))

    def fit_transform(self, X: Any, y: Any = None, **options: Any) -> FloatArray:
        """`fit`, and then `transform` of the same rows and classes."""
        return self.fit(X, y, **options).transform(X, y)

    def inverse_transform(self, Z: Any, y: Any = None) -> Any:
        """The rows that latents stand for: numbers, and most probable levels.

        Parameters
        ----------
        Z : (n, Z) array
        y : (n,) array of classes, optional
            Needed where the model was fitted with classes.
        """
        check_is_fitted(self, "story_")
        latents = np.atleast_2d(np.asarray(Z, dtype=np.float64))
        expected = self.story_.shape.n_latent
        if latents.shape[1] != expected:
            raise UsageError(f"Latents have {latents.shape[1]} dimensions, expected {expected}.")
        if not np.isfinite(latents).all():
            i, j = np.argwhere(~np.isfinite(latents))[0] + 1
            raise UsageError(f"Latents must be finite: row {i}, dimension {j} (from 1) is not.")
        if set(self.story_.told) - set(self.story_.given):
            raise UsageError(
                "The model was fitted given some columns: say what they are, with "
                "condition({column: value}).inverse_transform(Z), or hand rows to reconstruct."
            )
        return self._give(self.story_.decode(latents, self._needed_classes(y, len(latents))))

    def reconstruct(self, X: Any, y: Any = None) -> Any:
        """The nearest row that the generator can make to each of these."""
        x = np.asarray(self._read(X), dtype=np.float64)
        labels = self._needed_classes(y, len(x))
        latents = self.story_.encode(x, labels, int(self.n_starts), int(self.n_search))
        return labelled_as(X, self._give(self.story_.decode(latents, labels, x)))

    def interpolate(self, start: Any, end: Any, n_steps: int = 8, y: Any = None) -> Any:
        """Rows between the latents of two rows, ends included, along the great circle.

        Parameters
        ----------
        start, end : one row each, as a table, array or images of one entry
        n_steps : int
        y : class, optional
            Of both rows; needed where the model was fitted with classes.

        References
        ----------
        White (2016), Sampling generative networks: latents on a straight line are shorter in its
        middle than any that the generator has met.
        """
        if not isinstance(n_steps, int | np.integer) or n_steps < 2:
            raise UsageError(f"n_steps must be a whole number of at least 2, not {n_steps!r}.")
        ends = [self.transform(one, y) for one in (start, end)]
        if any(len(z) != 1 for z in ends):
            raise UsageError("interpolate goes from one row to another: hand in one each.")
        return self.inverse_transform(_great_circle(ends[0][0], ends[1][0], n_steps), y)

    def _latents_of(self, row: Any, y: Any) -> FloatArray:
        return self.transform(row, y)

    def _needed_classes(self, y: Any, n: int) -> Any:
        if self._has_classes and y is None:
            raise UsageError("The model was fitted with classes: say with y which the rows are of.")
        return self._class_codes(y, n)

    # What draws leave out -------------------------------------------------------------------------

    def mode_coverage(
        self,
        X: Any,
        y: Any = None,
        *,
        n_samples: int | None = None,
        n_neighbours: int = 5,
        random_state: Any = None,
    ) -> ModeCoverage:
        """What of the rows the draws leave out: levels, classes, and whole regions.

        Parameters
        ----------
        X : (n, d) array, data frame or images
            Rows, at best held out, that draws are compared with.
        y : (n,) array of classes, optional
            Their classes, where the model was fitted with some.
        n_samples : int, optional
            Rows to draw; as many as ``X`` has by default.
        n_neighbours : int
            k: a row is covered where a draw lies no farther from it than its k-th neighbour among
            the rows.
        random_state : int, Generator, RandomState or None

        Returns
        -------
        ModeCoverage
            Shares of levels and classes among draws and rows, which levels are missing, and
            density and coverage; ``print`` shows it, ``to_json`` writes it.

        References
        ----------
        Naeem, Oh, Uh, Choi and Yoo (2020), Reliable fidelity and diversity metrics for generative
        models, ICML.
        """
        from fabula.estimators.networks.adversarial_coverage import mode_coverage

        return mode_coverage(self, X, y, n_samples, n_neighbours, random_state)


def _great_circle(start: FloatArray, end: FloatArray, n_steps: int) -> FloatArray:
    """Latents between two, whose lengths change evenly."""
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    shares = np.linspace(0.0, 1.0, n_steps)[:, None]
    cosine = float(start @ end / max(float(lengths[0] * lengths[1]), 1e-30))
    angle = float(np.arccos(np.clip(cosine, -1.0, 1.0)))
    if min(angle, np.pi - angle) < 1e-6:
        return np.asarray((1 - shares) * start + shares * end)
    ways = (
        np.sin((1 - shares) * angle) * start / lengths[0]
        + np.sin(shares * angle) * end / lengths[1]
    )
    return np.asarray(ways / np.sin(angle) * ((1 - shares) * lengths[0] + shares * lengths[1]))

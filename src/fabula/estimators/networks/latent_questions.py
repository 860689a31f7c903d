"""Questions about the latents and the classes of a variational autoencoder."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.estimators.base.arguments import generator_of
from fabula.estimators.networks.questions import (
    NetworkQuestions,
    TraversesLatents,
    labelled_as,
)

__all__ = ["LatentQuestions"]


class LatentQuestions(TraversesLatents, NetworkQuestions):
    """What a story with latents and, perhaps, classes answers."""

    # Densities ---------------------------------------------------------------------------------

    @property
    def density_kind(self) -> str:
        """``"bound"``: `score_samples` is at most the log density, on average over its draws."""
        return "bound"

    def score_samples(self, X: Any, n_importance: int | None = None) -> FloatArray:
        """Bound from below of the log density of each row, in nats; missing cells integrated out.

        Parameters
        ----------
        X : (n, d) array, data frame or images
        n_importance : int, optional
            K, the number of importance-weighted draws; by default that of the estimator. The
            bound rises with K towards the log density; K = 1 is a single draw of the evidence
            lower bound.

        Returns
        -------
        (n,) array
            On the scale of the columns, as for every other model; of pixels with levels, a
            probability.

        References
        ----------
        Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders, ICLR.
        """
        x = self._read(X)
        if n_importance is not None and n_importance < 1:
            raise UsageError(f"n_importance must be at least 1, not {n_importance}.")
        return np.asarray(self.story_.log_prob(np.asarray(x), n_importance))

    def evidence_bound(self, X: Any, n_draws: int = 64) -> FloatArray:
        """The evidence lower bound of each row (n,), in nats: the mean over so many draws."""
        return np.asarray(self.story_.evidence_bound(np.asarray(self._read(X)), n_draws))

    def bits_per_dimension(self, X: Any, n_importance: int | None = None) -> float:
        """Bits per cell that lossless compression with this model would need, at most.

        The mean of -log2 p over rows, divided by the cells that were seen; those of columns that
        are given, and so have no density, do not count. For columns of any value, bits beyond
        those of the precision 1.

        References
        ----------
        Townsend, Bird and Barber (2019), ICLR: bits-back coding reaches the bound.
        """
        x = np.asarray(self._read(X))
        seen = int((~np.isnan(x[:, self.story_.columns_with_density])).sum())
        if not seen:
            raise UsageError("Every cell is missing or given: there is nothing to compress.")
        return float(-self.story_.log_prob(x, n_importance).sum() / np.log(2.0) / seen)

    # Latents -----------------------------------------------------------------------------------

    def transform(self, X: Any, n_importance: int | None = None) -> FloatArray:
        """Latent means (n, Z) of rows: what the encoder says.

        Parameters
        ----------
        X : (n, d) array, data frame or images
        n_importance : int, optional
            The posterior mean from so many weighted draws; by default it is that for rows with
            missing cells only.
        """
        return np.asarray(self.story_.encode(np.asarray(self._read(X)), n_importance))

    def inverse_transform(self, Z: Any, y: Any = None) -> Any:
        """The rows that latents stand for: means of numbers and pixels, most probable levels.

        Parameters
        ----------
        Z : (n, Z) array
        y : (n,) array of classes, optional
            The most frequent class by default, where there are classes.
        """
        check_is_fitted(self, "story_")
        latents = np.atleast_2d(np.asarray(Z, dtype=np.float64))
        expected = self.story_.shape.n_latent
        if latents.shape[1] != expected:
            raise UsageError(f"Latents have {latents.shape[1]} dimensions, expected {expected}.")
        codes = self._class_codes(y, len(latents))
        if codes is None and self._has_classes:
            codes = np.full(len(latents), int(self.story_.log_weights.argmax()))
        return self._give_means(self.story_.decode(latents, codes))

    def reconstruct(self, X: Any) -> Any:
        """Rows encoded and decoded again: what is kept of each; pixels are means, not rounded."""
        x = np.asarray(self._read(X))
        codes = None
        if self._has_classes:
            codes = self.story_.class_probabilities(x).argmax(axis=1)
        given = self._give_means(self.story_.decode(self.story_.encode(x), codes, x))
        return labelled_as(X, given)

    def interpolate(self, start: Any, end: Any, n_steps: int = 8) -> Any:
        """Rows on the straight line between the latents of two rows, ends included.

        Parameters
        ----------
        start, end : one row each, as a table, array or images of one entry
        n_steps : int
        """
        if n_steps < 2:
            raise UsageError(f"n_steps must be at least 2, not {n_steps}.")
        ends = [self.transform(one) for one in (start, end)]
        if any(len(z) != 1 for z in ends):
            raise UsageError("interpolate goes from one row to another: hand in one each.")
        shares = np.linspace(0.0, 1.0, n_steps)[:, None]
        y = None
        if self._has_classes:
            y = np.repeat(self.predict(start), n_steps)
        return self.inverse_transform((1 - shares) * ends[0] + shares * ends[1], y)

    def _latents_of(self, row: Any, y: Any) -> FloatArray:
        return self.transform(row)

    def cluster(self, X: Any, n_clusters: int, *, random_state: Any = None) -> np.ndarray:
        """Cluster (n,) of each row: a Gaussian mixture over the latent means."""
        from fabula.estimators.gaussian_mixture import GaussianMixture

        seed = generator_of(self.random_state if random_state is None else random_state)
        latents = self.transform(X)
        model = GaussianMixture(n_clusters, n_init=5, random_state=int(seed.integers(2**31)))
        return np.asarray(model.fit(latents).predict(latents))

    # Missing cells -------------------------------------------------------------------------------

    def impute(
        self, X: Any, how: str = "mean", n_draws: int | None = None, *, random_state: Any = None
    ) -> Any:
        """Fill missing cells by importance-weighted draws of the latents.

        Parameters
        ----------
        X : (n, d) array, data frame or images
        how : {"mean", "mode", "draw"}
            The posterior mean of numbers with the most probable level of categories; the most
            probable value; or a draw from the posterior.
        n_draws : int, optional
            With ``how="draw"``: a list of this many completed tables instead of one.
        random_state : int, Generator, RandomState or None

        References
        ----------
        Mattei and Frellsen (2019), MIWAE, ICML.
        """
        return super().impute(X, how, n_draws, random_state=random_state)

    # Classes -----------------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> FloatArray:
        """Probability (n, C) of every class; of every component of the prior without classes."""
        return super().predict_proba(X)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class, or component of the prior, of each row, (n,)."""
        return super().predict(X)

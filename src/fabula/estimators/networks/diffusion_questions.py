"""Questions that diffusion models answer in ways of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.estimators.base.arguments import generator_of
from fabula.estimators.networks.questions import NetworkQuestions

__all__ = ["SOLVERS", "DiffusionQuestions", "check_route"]

SOLVERS = ("heun", "dpm", "euler", "ancestral")


def check_route(steps: Any, solver: Any, churn: Any, guidance: Any = 1.0) -> None:
    """Refuse ways of drawing that make no sense."""
    if not isinstance(steps, int | np.integer) or isinstance(steps, bool) or steps < 1:
        raise UsageError(f"steps must be a whole number of at least 1, not {steps!r}.")
    if solver not in SOLVERS:
        raise UsageError(f"solver must be one of {', '.join(SOLVERS)}, not {solver!r}.")
    for name, value in (("churn", churn), ("guidance", guidance)):
        if not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
            raise UsageError(f"{name} must be a number that is not negative, not {value!r}.")


class DiffusionQuestions(NetworkQuestions):
    """What the story of a diffusion answers."""

    # Densities ---------------------------------------------------------------------------------

    @property
    def density_kind(self) -> str:
        """``"estimate"`` for numbers; ``"bound"`` for images, and with categories or spikes."""
        story = getattr(self, "story_", None)
        return "estimate" if story is not None and story.prefers_flow else "bound"

    def score_samples(self, X: Any, n_times: int | None = None, *, how: str = "auto") -> FloatArray:
        """Log density of each row in nats, as far as it can be told.

        Parameters
        ----------
        X : (n, d) array, data frame or images
            Missing cells are left out: the density is that of the others, as the network has
            learned it.
        n_times : int, optional
            Times behind a bound; by default those of the estimator.
        how : {"auto", "bound", "flow"}
            "flow" integrates the probability-flow equation, which numbers alone have, and is an
            estimate; "bound" is at most the log density, on average over its chance. "auto" takes
            the flow where there is one, though not for images.

        Returns
        -------
        (n,) array
            On the scale of the columns, as for every other model; of pixels with levels, a
            probability.

        References
        ----------
        Song et al. (2021), Score-based generative modeling through stochastic differential
        equations, ICLR. Kingma et al. (2021), Variational diffusion models, NeurIPS 34. Shi et al.
        (2024), Simplified and generalized masked diffusion, NeurIPS 37.
        """
        x = np.asarray(self._read(X))
        if how not in ("auto", "bound", "flow"):
            raise UsageError(f"how must be auto, bound or flow, not {how!r}.")
        if n_times is not None and n_times < 1:
            raise UsageError(f"n_times must be at least 1, not {n_times}.")
        flow = {"auto": None, "bound": False, "flow": True}[how]
        return np.asarray(self.story_.log_prob(x, n_times, flow=flow))

    # Draws -------------------------------------------------------------------------------------

    def sample(
        self,
        n_samples: int = 1,
        random_state: Any = None,
        *,
        given: Mapping[Any, Any] | None = None,
        y: Any = None,
        steps: int | None = None,
        solver: str | None = None,
        churn: float | None = None,
        guidance: float = 1.0,
        log_p: Callable[..., Any] | None = None,
        differentiable: bool = False,
        n_candidates: int = 16,
    ) -> tuple[Any, np.ndarray]:
        """Draw rows, and the class of each.

        Parameters
        ----------
        n_samples : int
        random_state : int, Generator, RandomState or None
            None takes the ``random_state`` of the estimator.
        given : mapping, optional
            Condition that the rows must meet: a value, an interval ``(low, high)`` or a set of
            values for some of the columns.
        y : class, or (n_samples,) array of classes, optional
            Classes to draw rows of; by their shares otherwise.
        steps, solver, churn
            As in the estimator, whose own are taken otherwise.
        guidance : float
            Above 1, the class and the given values count for more than the model has learned
            (Ho and Salimans 2022): rows are more typical of them, and less varied.
        log_p : callable, optional
            Log of anything that the rows shall obey, up to a constant, and at best noiseless: draws
            then follow the model times exp(log_p). It takes rows in the form of the data of the
            fit and returns (n,) numbers, -inf for rows that are ruled out.
        differentiable : bool
            ``log_p`` is a JAX function of encoded rows (n, d), numbers in their units and levels
            as codes; its gradient then steers the numbers (Chung et al. 2023). That is fast and
            approximate; without it, each row is chosen among candidates on the way (Wu et al.
            2023), which is right in the limit of many.
        n_candidates : int
            Candidates for each row, where ``log_p`` is not differentiable.

        Returns
        -------
        X : in the form of the data of the fit
        y : (n_samples,) array
            Class of each row; 0 where there are none.
        """
        check_is_fitted(self, "story_")
        route = self._route(steps, solver, churn, guidance)
        if log_p is None:
            return self._sample(
                n_samples, random_state, given, y, partial(self._drawn, route=route)
            )
        guided = partial(
            self._guided,
            route=route,
            log_p=log_p,
            differentiable=differentiable,
            n_candidates=n_candidates,
        )
        return self._sample(n_samples, random_state, given, y, guided)

    def _route(self, steps: Any, solver: Any, churn: Any, guidance: Any) -> Any:
        own = self.story_.route
        chosen = (
            own.steps if steps is None else steps,
            own.solver if solver is None else solver,
            own.churn if churn is None else churn,
        )
        check_route(*chosen, guidance)
        return replace(
            own,
            steps=int(chosen[0]),
            solver=chosen[1],
            churn=float(chosen[2]),
            guidance=float(guidance),
        )

    def _guided(
        self,
        n: int,
        rng: np.random.Generator,
        condition: Mapping[int, Any],
        labels: Any,
        route: Any,
        log_p: Callable[..., Any],
        differentiable: bool,
        n_candidates: int,
    ) -> tuple[FloatArray, np.ndarray]:
        from fabula.neural.diffusion.guidance import sample_chosen, sample_steered

        if any(not isinstance(value, int | float) for value in condition.values()):
            raise UsageError("With log_p, given takes values; put intervals and sets into log_p.")
        if differentiable:
            return sample_steered(self.story_, n, rng, log_p, condition, labels, route)
        if not isinstance(n_candidates, int | np.integer) or n_candidates < 2:
            raise UsageError(f"n_candidates must be at least 2, not {n_candidates!r}.")

        def of_rows(rows: FloatArray) -> FloatArray:
            return np.asarray(log_p(self._give(rows, condition=condition)), dtype=np.float64)

        return sample_chosen(
            self.story_, n, rng, of_rows, condition, labels, route, int(n_candidates)
        )

    def steps_table(
        self,
        X: Any,
        steps: Sequence[int] = (5, 10, 20, 50),
        solvers: Sequence[str] = SOLVERS,
        *,
        n_samples: int | None = None,
        random_state: Any = None,
    ) -> list[dict[str, Any]]:
        """How good draws are after how many steps, of each solver.

        Parameters
        ----------
        X : (n, d) array, data frame or images
            Rows, at best held out, that draws are compared with.
        steps : sequence of int
        solvers : sequence of str
        n_samples : int, optional
            Rows to draw; as many as ``X`` has, at most 2,000, by default.
        random_state : int, Generator, RandomState or None

        Returns
        -------
        list of dict
            ``solver``, ``steps``, ``evaluations`` of the network, ``seconds``, ``marginal`` (the
            largest difference of distribution functions, or half the sum of differences of
            shares, on average over columns) and ``energy`` (energy distance between standardised
            rows; Székely and Rizzo 2013). The last row compares ``X`` with itself, halved.
        """
        from fabula.neural.diffusion.quality import steps_table

        for solver in solvers:
            check_route(1, solver, 0.0)
        x = np.asarray(self._read(X), dtype=np.float64)
        rng = generator_of(self.random_state if random_state is None else random_state)
        return steps_table(self.story_, x, steps, solvers, n_samples, rng)

    # Classes -----------------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> FloatArray:
        """Probability (n, C) of every class, by Bayes' rule from the densities under each."""
        self._need_classes("predict_proba")
        return super().predict_proba(X)

    # Missing cells -------------------------------------------------------------------------------

    def impute(
        self, X: Any, how: str = "mean", n_draws: int | None = None, *, random_state: Any = None
    ) -> Any:
        """Fill missing cells from what the model knows of the row.

        Parameters
        ----------
        X : (n, d) array, data frame or images
        how : {"mean", "mode", "draw"}
            The mean of draws of numbers with the most frequent level of categories; the most
            probable value; or one draw from the conditional distribution.
        n_draws : int, optional
            With ``how="draw"``: a list of this many completed tables instead of one.
        random_state : int, Generator, RandomState or None
            For draws; means are always the same.

        References
        ----------
        Lugmayr et al. (2022), RePaint, CVPR: for images, whose known pixels are put back at each
        step.
        """
        return super().impute(X, how, n_draws, random_state=random_state)

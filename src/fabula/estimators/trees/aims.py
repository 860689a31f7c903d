"""What a latent tree is fitted for, and the settings that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fabula.core.errors import UsageError
from fabula.estimators.trees.fitting import Settings

__all__ = ["AIMS", "Aim", "aim_named", "settings_of"]

# So many rows are needed for each state before draws stick to the rows that were learned from:
# measured by the closest-record share of adult and shoppers, learned from halves.
_ROWS_A_STATE = 160
_MOST_STATES = 128


@dataclass(frozen=True)
class Aim:
    """Settings where none are given."""

    n_bins: int | None
    smoothing: float
    nearness: float
    joining: float | None  # None: what does best on held-out rows
    max_passes: int
    validation: float
    splits_while_it_pays: bool

    def n_states(self, n_rows: int) -> int | None:
        """States for a table of so many rows; None where held-out rows decide."""
        if self.splits_while_it_pays:
            return None
        return max(1, min(n_rows // _ROWS_A_STATE, _MOST_STATES))


AIMS = {
    "density": Aim(None, 0.3, 1.0, None, 30, 0.1, True),
    "likeness": Aim(100, 0.05, 0.3, math.inf, 60, 0.0, False),
}


def aim_named(name: object) -> Aim:
    """The aim of that name."""
    if not isinstance(name, str) or name not in AIMS:
        raise UsageError(f"aim must be one of {', '.join(AIMS)}, not {name!r}.")
    return AIMS[name]


def settings_of(model: Any, n_rows: int) -> Settings:
    """What a `LatentTreeModel` was asked for, and what its aim says of the rest."""
    aim = aim_named(model.aim)
    joining = aim.joining if model.joining is None else model.joining
    return Settings(
        n_states=aim.n_states(n_rows) if model.n_states == "auto" else int(model.n_states),
        smoothing=float(aim.smoothing if model.smoothing is None else model.smoothing),
        nearness=float(aim.nearness if model.nearness is None else model.nearness),
        joining=None if joining in (None, "auto") else float(joining),
        max_passes=int(aim.max_passes if model.max_passes is None else model.max_passes),
        max_time=float(model.max_time),
        batch=None if model.batch is None else int(model.batch),
        validation=float(aim.validation if model.validation is None else model.validation),
        n_init=int(model.n_init),
    )

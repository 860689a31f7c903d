"""Laws that every family and every story obeys, as functions that anybody can call.

Each takes an instance and a generator and raises ``AssertionError`` with the numbers where the law
is broken. Which laws speak about an instance is decided by what it promises, never by whether it
happens to raise.

>>> import numpy as np
>>> from fabula.families import Poisson
>>> from fabula.testing import check_family
>>> check_family(Poisson(np.array([[1.0, 4.0], [3.0, 2.0]])))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.families.base import Family, UnivariateColumns
from fabula.testing import learning_laws, probability_laws, sampling_laws, story_laws
from fabula.testing._instances import ordered_columns

__all__ = ["FAMILY_LAWS", "STORY_LAWS", "Law", "check_family", "check_story", "family_laws"]


@dataclass(frozen=True)
class Law:
    """What has to hold, and for which instances."""

    check: Callable[[Any, np.random.Generator], None]
    applies: Callable[[Any], bool] = lambda instance: True

    @property
    def statement(self) -> str:
        """The law in words."""
        return (inspect.getdoc(self.check) or "").partition("\n")[0]

    def __call__(self, instance: Any, rng: np.random.Generator) -> None:
        """Hold an instance against the law; ``AssertionError`` where it is broken."""
        self.check(instance, rng)


def _has_univariate_columns(family: Family) -> bool:
    return isinstance(family, UnivariateColumns)


def _has_ordered_columns(family: Family) -> bool:
    return any(True for _ in ordered_columns(family))


_APPLIES: dict[Callable[..., None], Callable[[Any], bool]] = {
    probability_laws.pairs_add_up_to_one: probability_laws.has_dependent_pair,
    probability_laws.columns_add_up: _has_univariate_columns,
    probability_laws.masses_add_up_density: _has_ordered_columns,
    sampling_laws.draws_fall_where_the_mass_is: _has_ordered_columns,
    sampling_laws.truncated_draws_stay_inside: _has_ordered_columns,
}


def _laws_of(*modules: Any) -> dict[str, Law]:
    checks = [
        getattr(module, name)
        for module in modules
        for name in module.__all__
        if not name.startswith("has_")
    ]
    return {
        check.__name__: Law(check, _APPLIES[check]) if check in _APPLIES else Law(check)
        for check in checks
    }


FAMILY_LAWS = _laws_of(probability_laws, sampling_laws, learning_laws)
"""Name → law about a bank of members."""

STORY_LAWS = _laws_of(story_laws)
"""Name → law about a mixture whose members are the bank."""


def family_laws(family: Family) -> dict[str, Law]:
    """The laws that speak about this family."""
    return {name: law for name, law in FAMILY_LAWS.items() if law.applies(family)}


def check_family(family: Family, seed: int = 0) -> None:
    """Hold a bank, alone and in a mixture, against every law that speaks about it.

    Parameters
    ----------
    family : Family
        K ≥ 2 members over d ≥ 2 columns, different from each other and neither improbably narrow
        nor improbable anywhere: the laws draw their rows from it.
    seed : int
        Of the draws; the laws allow for five standard errors.

    Raises
    ------
    AssertionError
        A law is broken; the message says which and by how much.
    """
    for name, law in family_laws(family).items():
        _hold(name, law, family, seed)
    check_story(family, seed)


def check_story(family: Family, seed: int = 0) -> None:
    """Hold a mixture of the members of a bank against every law about stories."""
    for name, law in STORY_LAWS.items():
        _hold(name, law, family, seed)


def _hold(name: str, law: Law, instance: Any, seed: int) -> None:
    try:
        law(instance, np.random.default_rng(seed))
    except AssertionError as broken:
        raise AssertionError(f"{type(instance).__name__} breaks {name}: {broken}") from broken

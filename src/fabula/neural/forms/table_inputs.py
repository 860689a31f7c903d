"""A row of a table as one vector for a network, and the scores of codes that networks give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fabula.neural.forms.table import TableForm
from fabula.persistence.registry import storable

__all__ = [
    "TableInputs",
    "fresh_tables",
    "length_of",
    "log_softmax_of_parts",
    "one_hot_of_parts",
    "vector_of_codes",
]

# Levels beyond which a category is looked up in a table of vectors.
_MOST_ONE_HOT = 128
_LONGEST_VECTOR = 32


class _InputsModule(eqx.Module):
    """Looks levels up; everything else is known beforehand."""

    tables: tuple[jax.Array, ...]
    form: TableForm = eqx.field(static=True)

    def __call__(self, row: Mapping[str, jax.Array]) -> jax.Array:
        form = self.form
        seen = row["seen"]
        numbers = row["numbers"] * seen[np.asarray(form.number_places, dtype=np.intp)]
        parts = [numbers, seen.astype(jnp.float32)]
        tables = iter(self.tables)
        there = seen[np.asarray(form.code_places, dtype=np.intp)]
        for group in form.groups:
            codes = jnp.where(there[group.parts], row["codes"][group.parts], -1)
            parts.append(vector_of_codes(codes, group.n_codes, tables))
        return jnp.concatenate(parts)


@storable("neural/table_inputs")
@dataclass(frozen=True)
class TableInputs:
    """One vector for a row: scores, which cells are there, and codes.

    Codes of up to 128 levels are one-hot; beyond that, a vector is learned for each level. What is
    missing, and a level that is unknown, is zeros.

    Parameters
    ----------
    form : TableForm
    """

    form: TableForm

    @property
    def n_out(self) -> int:
        """Length of the vector."""
        length = self.form.n_numbers + self.form.n_columns
        for group in self.form.groups:
            number = group.parts.stop - group.parts.start
            length += number * length_of(group.n_codes)
        return length

    def build(self, key: jax.Array) -> Any:
        """The network: ``network(row of arrays) -> (n_out,)``."""
        groups = ((g.parts.stop - g.parts.start, g.n_codes) for g in self.form.groups)
        return _InputsModule(fresh_tables(key, groups), self.form)


def fresh_tables(key: jax.Array, groups: Iterable[tuple[int, int]]) -> tuple[jax.Array, ...]:
    """Tables (parts, codes, length) of the vectors of codes, for parts of so many codes each.

    ``groups`` are numbers of parts and of codes; those of few codes have no table.
    """
    return tuple(
        0.3 * jax.random.normal(jax.random.fold_in(key, size), (number, size, length_of(size)))
        for number, size in groups
        if size > _MOST_ONE_HOT
    )


def vector_of_codes(codes: jax.Array, n_codes: int, tables: Iterator[jax.Array]) -> jax.Array:
    """Codes (parts,) as one vector; many are looked up in the next of the tables."""
    if n_codes <= _MOST_ONE_HOT:
        return jax.nn.one_hot(codes, n_codes).ravel()
    table = next(tables)
    listed = (codes >= 0) & (codes < n_codes)
    vectors = table[jnp.arange(len(codes)), jnp.where(listed, codes, 0)]
    return (vectors * listed[:, None]).ravel()


def length_of(n_codes: int) -> int:
    """Numbers that stand for a code: one for each, or the length of the vector looked up."""
    return n_codes if n_codes <= _MOST_ONE_HOT else _LONGEST_VECTOR


def log_softmax_of_parts(form: TableForm, scores: jax.Array) -> jax.Array:
    """Log probabilities of the codes of each part, from scores (…, n_scores), in the same places.

    A part is a column of categories or the spikes of a column of numbers.
    """
    found = []
    for group in form.groups:
        mine = scores[..., group.scores]
        split = mine.reshape(*mine.shape[:-1], -1, group.n_codes)
        found.append(jax.nn.log_softmax(split, axis=-1).reshape(mine.shape))
    return jnp.concatenate(found, axis=-1) if found else scores


def one_hot_of_parts(form: TableForm, codes: jax.Array) -> jax.Array:
    """Codes (…, Q) as zeros and ones (…, n_scores), in the places that scores have."""
    found = []
    for group in form.groups:
        mine = jax.nn.one_hot(codes[..., group.parts], group.n_codes)
        found.append(mine.reshape(*mine.shape[:-2], -1))
    return jnp.concatenate(found, axis=-1) if found else jnp.zeros((*codes.shape[:-1], 0))

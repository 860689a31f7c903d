"""A hidden state behind every column, joined in a tree.

The hidden states are to the columns of a table what those of a hidden Markov model are to the
steps of a sequence; a chain becomes a tree (hidden Chow–Liu trees: Liu and Van den Broeck 2021,
NeurIPS 34; latent trees: Zhang 2004, J. Mach. Learn. Res. 5:697).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import Codes, FloatArray, Members, Responsibilities, Rows
from fabula.core.blocks import Block
from fabula.core.errors import UsageError
from fabula.core.regions import Region
from fabula.families.base import Family
from fabula.families.product import Product
from fabula.persistence.registry import storable
from fabula.structures.trees.cells import (
    TreeRows,
    cell_statistics,
    log_table,
    prepare_cells,
)
from fabula.structures.trees.counts import (
    LatentTreePrior,
    LatentTreeStatistics,
    add_counts,
    normalised,
)
from fabula.structures.trees.messages import (
    TreeShape,
    UpwardPass,
    careful_upward,
    downward,
    upward,
)

__all__ = ["LatentTree", "LatentTreePrior", "LatentTreeStatistics"]

# Numbers held at a time for the messages of one block of rows.
_NUMBERS_IN_PIECE = 4_194_304
_LEAST_ROWS_IN_PIECE = 128
_MOST_ROWS_IN_PIECE = 1024


@storable("story/latent_tree")
@dataclass(frozen=True)
class LatentTree:
    """p(x) = Σ_h p(h at root) Π p(h at node | h at parent) Π p(x_j | h at the node of j).

    Parameters
    ----------
    parents : (m,) array
        Parent of each node; -1 for node 0, the root. A parent stands before its children.
    nodes : (d,) array
        Node at which each column hangs. A node may have any number of columns, or none.
    root : (H,) array
        Probabilities of the states of the root.
    transitions : (m - 1, H, H) array
        ``transitions[i - 1][g, h]``: probability of state h at node i where its parent is in g.
    emissions : tuple of Family
        For each column a bank of H members over that column alone.
    """

    parents: NDArray[np.intp]
    nodes: NDArray[np.intp]
    root: FloatArray
    transitions: FloatArray
    emissions: tuple[Family, ...]

    def __post_init__(self) -> None:
        m, n_states = len(self.shape), len(self.root)
        if self.transitions.shape != (m - 1, n_states, n_states):
            raise UsageError(
                f"A tree of {m} nodes with {n_states} states needs transitions of the shape "
                f"{(m - 1, n_states, n_states)}, not {self.transitions.shape}."
            )
        for rows in (self.root, self.transitions):
            if not np.all(rows >= 0) or not np.allclose(rows.sum(axis=-1), 1.0, atol=1e-6):
                raise UsageError("Probabilities of states must not be negative and must sum to 1.")
        if self.nodes.shape != (len(self.emissions),) or not np.isin(self.nodes, range(m)).all():
            raise UsageError("nodes must name a node of the tree for every column.")
        for bank in self.emissions:
            if (bank.n_members, bank.n_columns) != (n_states, 1):
                raise UsageError(f"Every column needs a bank of {n_states} members over it alone.")

    # What it is -------------------------------------------------------------------------------

    @cached_property
    def shape(self) -> TreeShape:
        """Parents and children."""
        return TreeShape(self.parents)

    @property
    def n_states(self) -> int:
        """H, the number of states of every node."""
        return len(self.root)

    @property
    def n_nodes(self) -> int:
        """m, the number of nodes."""
        return len(self.parents)

    @property
    def n_columns(self) -> int:
        """d, the number of columns of a row."""
        return len(self.emissions)

    @property
    def n_classes(self) -> int:
        """H: what explains a row is first of all the state of the root."""
        return self.n_states

    @cached_property
    def log_weights(self) -> FloatArray:
        """Log probabilities (H,) of the states of the root."""
        with np.errstate(divide="ignore"):
            return np.log(self.root)

    @cached_property
    def family(self) -> Product:
        """The banks of all columns side by side, as they are given one state for all nodes."""
        return Product(self.emissions, tuple((j,) for j in range(self.n_columns)))

    @property
    def n_parameters(self) -> int:
        """Free parameters, as the AIC and the BIC count them."""
        n = self.n_states
        states = (n - 1) * (1 + n * (self.n_nodes - 1))
        return states + sum(bank.n_parameters for bank in self.emissions)

    @cached_property
    def columns_of(self) -> tuple[tuple[int, ...], ...]:
        """The columns at each node."""
        out: list[list[int]] = [[] for _ in range(self.n_nodes)]
        for j, node in enumerate(self.nodes.tolist()):
            out[node].append(j)
        return tuple(tuple(found) for found in out)

    # Rows -------------------------------------------------------------------------------------

    def prepare(self, block: Block) -> Block:
        """The block with its cells coded; messages then have the precision of its rows."""
        return Block(self.rows_of(block.x), None, block.weights)

    def rows_of(self, x: Any, precision: str | None = None) -> TreeRows:
        """Rows (n, d) as cells."""
        if isinstance(x, TreeRows):
            return x
        if precision is None:
            precision = "float32" if x.dtype == np.float32 else "float64"
        cells, within = [], np.zeros(len(x))
        for j, bank in enumerate(self.emissions):
            coded, told = prepare_cells(bank, x[:, j])
            cells.append(coded)
            within += told
        return TreeRows(tuple(cells), within, precision)

    def _pieces(self, n: int) -> Iterator[slice]:
        """Slices of rows whose messages are held together."""
        width = 2 * self.n_states * self.n_nodes
        rows = int(np.clip(_NUMBERS_IN_PIECE // width, _LEAST_ROWS_IN_PIECE, _MOST_ROWS_IN_PIECE))
        for start in range(0, n, rows):
            yield slice(start, min(start + rows, n))

    @cached_property
    def _by_precision(self) -> dict[str, tuple[Any, Any]]:
        """Root and transitions by node in each precision, C-contiguous."""
        out: dict[str, tuple[Any, Any]] = {}
        for name in ("float32", "float64"):
            transitions = np.ascontiguousarray(self.transitions, dtype=name)
            out[name] = self.root.astype(name), [None, *transitions]
        return out

    def padded(self, precision: str) -> tuple[Any, Any]:
        """Root (H,), and transitions (H, H) by node with None for the root."""
        return self._by_precision[precision]

    @cached_property
    def _fixed_tables(self) -> dict[tuple[int, str], tuple[FloatArray, FloatArray]]:
        return {}

    def _table(self, j: int, rows: TreeRows) -> tuple[FloatArray, FloatArray]:
        """Evidence of each code of a column, its largest entry 1, and the logarithm taken off."""
        cells = rows.cells[j]
        key = j, rows.precision
        if cells.values is None and key in self._fixed_tables:
            return self._fixed_tables[key]
        logs = log_table(self.emissions[j], cells)
        largest = logs.max(axis=1)
        largest = np.where(np.isneginf(largest), 0.0, largest)
        table = np.exp(logs - largest[:, None]).astype(rows.dtype)
        if cells.values is None:
            self._fixed_tables[key] = table, largest
        return table, largest

    def upward(self, rows: TreeRows) -> tuple[UpwardPass, FloatArray]:
        """Messages of some rows, few enough to be held together, and their log density (n,)."""
        tables = [self._table(j, rows) for j in range(self.n_columns)]
        scale = rows.within.copy()
        for cells, (_, largest) in zip(rows.cells, tables, strict=True):
            scale += largest[cells.codes]
        root, transitions = self.padded(rows.precision)

        def evidence(node: int) -> FloatArray | None:
            told: FloatArray | None = None
            for j in self.columns_of[node]:
                taken = tables[j][0].take(rows.cells[j].codes, axis=0)
                told = taken if told is None else np.multiply(told, taken, out=told)
            return told

        up = upward(self.shape, root, transitions, evidence, len(rows))
        return up, up.log_evidence + scale

    def careful_upward(self, rows: TreeRows) -> tuple[UpwardPass, FloatArray]:
        """As `upward`, in logarithms and double precision, for rows that came out empty."""
        n = len(rows)
        logs = [
            log_table(bank, cells) for bank, cells in zip(self.emissions, rows.cells, strict=True)
        ]
        root, transitions = self.padded("float64")

        def evidence(node: int) -> FloatArray | None:
            columns = self.columns_of[node]
            if not columns:
                return None
            return np.asarray(np.sum([logs[j][rows.cells[j].codes] for j in columns], axis=0))

        up = careful_upward(self.shape, root, transitions, evidence, n)
        return up, up.log_evidence + rows.within

    def passes(self, rows: TreeRows) -> Iterator[tuple[NDArray[np.intp], UpwardPass, FloatArray]]:
        """Upward passes over all rows: (rows, messages, log density), each row once."""
        for part in self._pieces(len(rows)):
            piece = rows.take(part)
            places = np.arange(part.start, part.stop)
            up, log_prob = self.upward(piece)
            empty = ~np.isfinite(up.log_evidence)
            if not empty.any():
                yield places, up, log_prob
                continue
            for chosen, method in ((~empty, self.upward), (empty, self.careful_upward)):
                if chosen.any():
                    within = np.flatnonzero(chosen)
                    up, log_prob = method(piece.take(within))
                    yield places[within], up, log_prob

    # Density ----------------------------------------------------------------------------------

    def log_prob(self, x: Rows | Any) -> FloatArray:
        """Log density of each row in nats (n,), missing cells integrated out."""
        rows = self.rows_of(x)
        out = np.empty(len(rows))
        for places, _, log_prob in self.passes(rows):
            out[places] = log_prob
        return out

    def posterior(
        self, x: Rows | Any, known: Codes | None = None
    ) -> tuple[FloatArray, Responsibilities]:
        """Log density (n,) and the posterior (n, H) of the state of the root."""
        rows = self.rows_of(x)
        log_evidence, posterior = np.empty(len(rows)), np.empty((len(rows), self.n_states))
        for places, up, log_prob in self.passes(rows):
            log_evidence[places], posterior[places] = log_prob, up.posterior
        posterior[np.isneginf(log_evidence)] = self.root
        return log_evidence, posterior

    def state_posteriors(
        self, x: Rows | Any, nodes: Sequence[int]
    ) -> tuple[FloatArray, FloatArray]:
        """Log density (n,) and the posterior (n, len(nodes), H) of the states of some nodes."""
        rows = self.rows_of(x)
        log_evidence = np.empty(len(rows))
        out = np.empty((len(rows), len(nodes), self.n_states))
        wanted = {int(node): [k for k, n in enumerate(nodes) if n == node] for node in nodes}
        for places, up, log_prob in self.passes(rows):
            log_evidence[places] = log_prob

            def keep(
                node: int,
                mine: FloatArray,
                outside: FloatArray | None,
                places: NDArray[np.intp] = places,
            ) -> None:
                for k in wanted.get(node, ()):
                    out[places, k] = mine

            dtype = str(up.posterior.dtype)
            downward(self.shape, self.padded(dtype)[1], up, up.posterior, keep)
        totals = out.sum(axis=2, keepdims=True)
        return log_evidence, np.divide(
            out, totals, out=np.full_like(out, 1.0 / self.n_states), where=totals > 0
        )

    # Learning ---------------------------------------------------------------------------------

    def statistics(self, block: Block) -> LatentTreeStatistics:
        """Expected statistics of a block: the E-step."""
        rows = self.rows_of(block.x)
        h, m = self.n_states, self.n_nodes
        root = np.zeros(h)
        transitions = np.zeros((m - 1, h, h))
        counts = [np.zeros((cells.n_codes, h)) for cells in rows.cells]
        total = 0.0
        for places, up, log_prob in self.passes(rows):
            weights = None if block.weights is None else block.weights[places]
            told = log_prob if weights is None else weights * np.where(weights > 0, log_prob, 0.0)
            total += float(told.sum())
            add_counts(self, rows.take(places), up, weights, (root, transitions, counts))
        for i in range(1, m):
            transitions[i - 1] *= self.transitions[i - 1]
        emissions = tuple(
            cell_statistics(bank, cells, mine)
            for bank, cells, mine in zip(self.emissions, rows.cells, counts, strict=True)
        )
        n_rows = float(len(rows)) if block.weights is None else float(block.weights.sum())
        return LatentTreeStatistics(total, n_rows, root, transitions, emissions)

    def maximise(
        self, statistics: LatentTreeStatistics, prior: LatentTreePrior | None = None
    ) -> LatentTree:
        """The tree that maximises the expected log joint plus log prior: the M-step."""
        prior = prior or LatentTreePrior()
        pseudo = prior.pseudo_count / self.n_states
        priors = prior.emissions or (None,) * self.n_columns
        return replace(
            self,
            root=normalised(statistics.root + pseudo, self.root),
            transitions=normalised(statistics.transitions + pseudo, self.transitions),
            emissions=tuple(
                bank.maximise(mine, its_prior)
                for bank, mine, its_prior in zip(
                    self.emissions, statistics.emissions, priors, strict=True
                )
            ),
        )

    def log_prior(self, prior: LatentTreePrior | None) -> float:
        """Log density of the parameters under the prior, up to a constant."""
        if prior is None:
            return 0.0
        states = 0.0
        if prior.pseudo_count:
            logs = float(np.log(self.root).sum()) + float(np.log(self.transitions).sum())
            states = prior.pseudo_count / self.n_states * logs
        priors = prior.emissions or (None,) * self.n_columns
        return states + sum(
            bank.log_prior(mine) for bank, mine in zip(self.emissions, priors, strict=True)
        )

    # Questions --------------------------------------------------------------------------------

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Rows, Members]:
        """``n`` rows (n, d) and the state of the root of each (n,)."""
        from fabula.structures.trees.sampling import draw_rows_of_tree

        return draw_rows_of_tree(self, n, rng)

    def marginal(self, columns: Sequence[int]) -> LatentTree:
        """The story of some columns, in that order; nodes that say nothing of them are cut."""
        from fabula.structures.trees.algebra import keep_columns

        return keep_columns(self, [int(j) for j in columns])

    def condition(self, given: Mapping[int, float | Region]) -> tuple[LatentTree | None, float]:
        """The story of the other columns given values, intervals or sets of some.

        Returns
        -------
        (story or None, float)
            None where no column is left; and the log probability of the condition (its log
            density, where values of continuous columns are given).
        """
        from fabula.structures.trees.algebra import keep_columns, told_by

        story, log_total = told_by(self, given)
        rest = [j for j in range(self.n_columns) if j not in given]
        return (keep_columns(story, rest) if rest else None), log_total

    def sample_given(
        self, n: int, given: Mapping[int, float | Region], rng: np.random.Generator
    ) -> tuple[Rows, Members, float]:
        """Whole rows (n, d) that meet the condition, states of the root, and ``n``: all exact."""
        from fabula.structures.trees.algebra import told_by
        from fabula.structures.trees.sampling import draw_rows_of_tree

        story, _ = told_by(self, given)
        rows, members = draw_rows_of_tree(story, n, rng, given)
        return rows, members, float(n)

    def complete(
        self,
        x: Rows,
        rng: np.random.Generator | None = None,
        told: Responsibilities | None = None,
    ) -> Rows:
        """Missing cells filled: their conditional mean, or a draw from the joint conditional."""
        from fabula.structures.trees.sampling import complete_rows

        return complete_rows(self, x, rng)

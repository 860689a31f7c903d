"""Walks through a tree of n-grams: its branches counted, followed and drawn.

Node 0 is the empty context. A node stands for the symbols on the way to it; its children are the
nodes from ``child_starts[node]`` to ``child_starts[node + 1]``, in ascending order of symbols.
``suffixes`` names the node without the first symbol. A symbol that does not follow a context has
the probability that the next shorter context gives it, times what the context leaves over:
Katz (1987), IEEE Trans. Acoust. Speech Signal Process. 35:400, in the form of Chen and Goodman
(1999), Comput. Speech Lang. 13:359.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray

__all__ = ["draw_path", "extend_ngrams", "follow", "next_probabilities", "score_paths"]

Nodes = NDArray[np.int64]
Symbols = NDArray[np.integer]


@njit(nogil=True, cache=True)
def extend_ngrams(
    stream: Symbols,
    shorter: Symbols,
    n_shorter: int,
    n_codes: int,
    barrier: int,
    weights: FloatArray,
) -> tuple[Symbols, Nodes, Symbols, FloatArray]:
    """Extend the n-grams that end before each place by the symbol at the place.

    Parameters
    ----------
    stream : (N,) array
        Codes from 0 to ``n_codes`` - 1.
    shorter : (N,) array
        Rank of the n-gram that ends at each place, -1 where there is none.
    n_shorter : int
        How many different ones there are.
    barrier : int
        A code that no n-gram is extended by, or -1.
    weights : (N,) or (0,) array
        How often each place counts; once, where there are none.

    Returns
    -------
    ranks : (N,) array
        Rank of the longer n-gram that ends at each place, by shorter one and symbol; or -1.
    parents, symbols, counts : arrays
        Of each of the longer n-grams.
    """
    # Two passes of counting sort, by symbol and then by parent, keep their order within groups.
    n = len(stream)
    starts = np.zeros(n_codes + 1, dtype=np.int64)
    for t in range(1, n):
        if shorter[t - 1] >= 0 and stream[t] != barrier:
            starts[stream[t] + 1] += 1
    for s in range(n_codes):
        starts[s + 1] += starts[s]
    n_places = starts[n_codes]
    by_symbol = np.empty(n_places, dtype=stream.dtype)
    sizes = np.zeros(n_shorter + 1, dtype=np.int64)
    for t in range(1, n):
        s = stream[t]
        if shorter[t - 1] >= 0 and s != barrier:
            by_symbol[starts[s]] = t
            starts[s] += 1
            sizes[shorter[t - 1] + 1] += 1
    for p in range(n_shorter):
        sizes[p + 1] += sizes[p]
    order = np.empty(n_places, dtype=stream.dtype)
    for j in range(n_places):
        p = shorter[by_symbol[j] - 1]
        order[sizes[p]] = by_symbol[j]
        sizes[p] += 1
    ranks = np.full(n, -1, dtype=stream.dtype)
    parents = np.empty(n_places, dtype=np.int64)
    symbols = np.empty(n_places, dtype=np.int32)
    counts = np.zeros(n_places)
    m = -1
    last_parent, last_symbol = -1, -1
    for j in range(n_places):
        t = order[j]
        if shorter[t - 1] != last_parent or stream[t] != last_symbol:
            last_parent, last_symbol = shorter[t - 1], stream[t]
            m += 1
            parents[m], symbols[m] = last_parent, last_symbol
        ranks[t] = m
        counts[m] += weights[t] if len(weights) else 1.0
    m += 1
    return ranks, parents[:m].copy(), symbols[:m].copy(), counts[:m].copy()


@njit(nogil=True, cache=True)
def _child(node: int, symbol: int, child_starts: Nodes, symbols: Symbols) -> int:
    """The child of a node with this symbol; -1 where there is none."""
    low, high = child_starts[node], child_starts[node + 1]
    last = high
    while low < high:
        middle = (low + high) >> 1
        if symbols[middle] < symbol:
            low = middle + 1
        else:
            high = middle
    if low < last and symbols[low] == symbol:
        return low  # type: ignore[no-any-return]
    return -1


@njit(nogil=True, cache=True)
def follow(
    node: int, codes: Nodes, nexts: Nodes, child_starts: Nodes, symbols: Symbols, suffixes: Nodes
) -> int:
    """The longest context that the model knows after these symbols."""
    for code in codes:
        child = _child(node, code, child_starts, symbols)
        while child < 0 and node != 0:
            node = suffixes[node]
            child = _child(node, code, child_starts, symbols)
        node = nexts[child] if child >= 0 else 0
    return node


@njit(nogil=True, cache=True)
def score_paths(
    codes: Nodes,
    offsets: Nodes,
    start: int,
    end_code: int,
    log_uniform: float,
    nexts: Nodes,
    child_starts: Nodes,
    symbols: Symbols,
    suffixes: Nodes,
    log_probs: FloatArray,
    log_left: FloatArray,
    scores: FloatArray,
    ends: FloatArray,
) -> None:
    """Log probability of each symbol given those before it, and of each end.

    Parameters
    ----------
    codes : (N,) array
        Symbols of all sequences.
    offsets : (n + 1,) array
        Where each sequence begins.
    start, end_code : int
        Node in which a sequence begins; symbol of its end, -1 where there is none.
    log_uniform : float
        Log probability of a symbol of which not even the empty context knows anything.
    nexts : (M,) array
        Context that follows each node.
    child_starts, symbols, suffixes : (M + 1,), (M,), (M,) arrays
        The tree.
    log_probs : (M,) array
        Of the last symbol of a node, given the others.
    log_left : (M,) array
        What a context leaves to shorter ones.
    scores, ends : (N,) and (n,) arrays, written to
    """
    for i in range(len(offsets) - 1):
        node = start
        last = offsets[i + 1]
        for t in range(offsets[i], last + (1 if end_code >= 0 else 0)):
            code = codes[t] if t < last else end_code
            total = 0.0
            child = _child(node, code, child_starts, symbols)
            while child < 0 and node != 0:
                total += log_left[node]
                node = suffixes[node]
                child = _child(node, code, child_starts, symbols)
            if child >= 0:
                total += log_probs[child]
                node = nexts[child]
            else:
                total += log_left[0] + log_uniform
            if t < last:
                scores[t] = total
            else:
                ends[i] = total


@njit(nogil=True, cache=True)
def next_probabilities(
    node: int,
    child_starts: Nodes,
    symbols: Symbols,
    suffixes: Nodes,
    shares: FloatArray,
    left: FloatArray,
    out: FloatArray,
) -> None:
    """Probability of every symbol after a context.

    Parameters
    ----------
    node : int
    child_starts, symbols, suffixes : (M + 1,), (M,), (M,) arrays
        The tree.
    shares : (M,) array
        What its context itself gives to the last symbol of a node.
    left : (M,) array
        What a context leaves to shorter ones.
    out : (V,) array, written to
    """
    n_outcomes = len(out)
    chain = [node]
    while node != 0:
        node = suffixes[node]
        chain.append(node)
    for v in range(n_outcomes):
        out[v] = 1.0 / n_outcomes
    for k in range(len(chain) - 1, -1, -1):
        node = chain[k]
        for v in range(n_outcomes):
            out[v] *= left[node]
        for child in range(child_starts[node], child_starts[node + 1]):
            if symbols[child] < n_outcomes:
                out[symbols[child]] += shares[child]


@njit(nogil=True, cache=True)
def _choose(
    weights: FloatArray, uniform: float, temperature: float, top_k: int, top_p: float
) -> int:
    """One of the outcomes, drawn with its weight raised to the power 1/temperature."""
    if temperature <= 0.0:
        return int(np.argmax(weights))
    largest = weights.max()
    for v in range(len(weights)):
        if weights[v] > 0.0:
            weights[v] = np.exp(np.log(weights[v] / largest) / temperature)
    if top_k < len(weights) or top_p < 1.0:
        order = np.argsort(-weights)
        wanted = top_p * weights.sum()
        total = 0.0
        for rank in range(len(order)):
            if rank >= top_k or (rank > 0 and total >= wanted):
                weights[order[rank]] = 0.0
            total += weights[order[rank]]
    target = uniform * weights.sum()
    chosen = -1
    for v in range(len(weights)):
        if weights[v] > 0.0:
            chosen = v
            target -= weights[v]
            if target < 0.0:
                break
    return chosen


@njit(nogil=True, cache=True)
def draw_path(
    node: int,
    uniforms: FloatArray,
    unknown: int,
    temperature: float,
    top_k: int,
    top_p: float,
    n_outcomes: int,
    endless: bool,
    nexts: Nodes,
    child_starts: Nodes,
    symbols: Symbols,
    suffixes: Nodes,
    shares: FloatArray,
    left: FloatArray,
) -> Nodes:
    """Draw symbols after a context until an end (which is not among them) or the last uniform.

    Parameters
    ----------
    node : int
        Context.
    uniforms : (T,) array
        One number in [0, 1) for each symbol.
    unknown : int
        Outcome that is never drawn; those after it are ends.
    temperature : float
        Probabilities are raised to the power 1/temperature; 0 takes the most probable symbol.
    top_k, top_p : int, float
        Draw among the ``top_k`` most probable symbols, and among the fewest that have ``top_p``
        of the probability.
    n_outcomes : int
        V, with the unknown one and the end.
    endless : bool
        Draw no end.
    nexts, child_starts, symbols, suffixes, shares, left
        As in `score_paths` and `next_probabilities`.

    Returns
    -------
    (up to T,) array
    """
    weights = np.empty(n_outcomes)
    out = np.empty(len(uniforms), dtype=np.int64)
    for t in range(len(uniforms)):
        next_probabilities(node, child_starts, symbols, suffixes, shares, left, weights)
        weights[unknown:] = np.where(endless, 0.0, weights[unknown:])
        weights[unknown] = 0.0
        code = _choose(weights, uniforms[t], temperature, top_k, top_p)
        if code > unknown:
            return out[:t].copy()
        out[t] = code
        child = _child(node, code, child_starts, symbols)
        while child < 0 and node != 0:
            node = suffixes[node]
            child = _child(node, code, child_starts, symbols)
        node = nexts[child] if child >= 0 else 0
    return out

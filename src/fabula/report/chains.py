"""What a model of sequences believes, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fabula.report.sentences import as_text, joined, number, percent, plural
from fabula.report.texttable import plain_table
from fabula.structures.chains.hidden_markov import HiddenMarkov
from fabula.structures.chains.markov_chain import MarkovChain
from fabula.structures.class_conditional import ClassConditional

__all__ = ["describe_chain", "describe_pairs", "transition_table"]

_MOST_STATES = 12
_MOST_SYMBOLS = 40


def describe_chain(story: Any, names: Sequence[str], symbols: Sequence[Any] = ()) -> list[str]:
    """Lines about a chain, or about the chain of each class.

    Parameters
    ----------
    story
        A hidden Markov model, a Markov chain, or one of them for each class.
    names
        Names of the states, or of the classes.
    symbols
        What the codes of a Markov chain stand for.
    """
    if isinstance(story, ClassConditional):
        inner = [
            f"  {name}: {_size(each)}" for name, each in zip(names, story.stories, strict=True)
        ]
        return ["one chain for each class", *inner]
    lines = [_size(story)]
    if isinstance(story, MarkovChain):
        shown = joined(repr(as_text(symbol)) for symbol in symbols[:_MOST_SYMBOLS])
        rest = len(symbols) - _MOST_SYMBOLS
        return [*lines, f"symbols: {shown}{f' and {rest:,} more' if rest > 0 else ''}"]
    return [*lines, "", transition_table(story, names)]


def _size(story: Any) -> str:
    if isinstance(story, MarkovChain):
        return (
            f"a Markov chain of order {story.order} over {plural(story.n_symbols, 'symbol')}, "
            f"smoothed after {'Kneser and Ney' if story.smoothing == 'kneser-ney' else 'Dirichlet'}"
        )
    return (
        f"a hidden Markov chain of {plural(story.n_states, 'state')}, which emit "
        f"{type(story.emission).__name__}"
    )


def transition_table(story: HiddenMarkov, names: Sequence[str]) -> str:
    """How each state begins, lasts, and goes on."""
    shown = range(min(story.n_states, _MOST_STATES))
    start, after = np.exp(story.log_start), np.exp(story.log_transitions)
    share, stay = story.stationary(), story.dwell_times()
    rows: list[list[object]] = [
        [
            names[k],
            percent(float(start[k])),
            percent(float(share[k])),
            number(float(stay[k])) if np.isfinite(stay[k]) else "for ever",
            *(percent(float(after[k, j])) if after[k, j] > 0 else "-" for j in shown),
        ]
        for k in shown
    ]
    head = ["state", "begins", "in the long run", "steps of a visit"]
    table = plain_table([*head, *(f"to {names[j]}" for j in shown)], rows)
    more = story.n_states - _MOST_STATES
    return table + (f"\n… and {more:,} states more; --json shows all." if more > 0 else "")


def describe_pairs(model: Any) -> list[str]:
    """Lines about a model of pairs of sequences."""
    story, alphabet = model.story_, model.alphabet
    same = float(np.trace(story.match))
    lines = [
        f"pairs of {alphabet} sequences, {story.ends} alignments; letters that stand together are "
        f"the same with probability {number(same)}"
    ]
    for name, (value, low, high) in getattr(model, "estimates_", {}).items():
        lines.append(f"  {name}: {number(value)} (95 % interval {number(low)} to {number(high)})")
    names = ["match"]
    for kind in ("insertion", "deletion"):
        sizes = ("",) if story.n_gaps == 1 else ("short ", "long ")
        names += [f"{size}{kind}" for size in sizes]
    after = np.exp(story.log_transitions)
    rows: list[list[object]] = [
        [name, *(f"{p:.3g}" for p in after[k]), f"{np.exp(story.log_end[k]):.3g}"]
        for k, name in enumerate(names)
    ]
    return [*lines, "", plain_table(["after a", *names, "end"], rows)]

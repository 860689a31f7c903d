"""What a latent tree believes, for people."""

from __future__ import annotations

import math
from typing import Any

from fabula.report.sentences import number, plural
from fabula.structures.trees.average import trees_of

__all__ = ["describe_tree", "tree_lines"]

_MOST_LINES = 80


def describe_tree(model: Any) -> list[str]:
    """Lines about a latent tree: its size, and which columns hang together how strongly."""
    trees = trees_of(model.story_)
    story = trees[0]
    sharing = "" if story.n_nodes == story.n_columns else f" of {plural(story.n_columns, 'column')}"
    several = len(trees) > 1
    size = f"{plural(story.n_nodes, 'hidden variable')} of {plural(story.n_states, 'state')}"
    lines = [f"a latent tree{sharing}: {size}"]
    if several:
        lines = [f"an average of {len(trees)} latent trees; the first has {size}"]
    score = getattr(model, "held_out_score_", math.nan)
    if not math.isnan(score):
        lines.append(f"mean log density of rows that were held out: {score:.4g} nats")
    if getattr(model, "indicators_", ()):
        lines.append("whether a cell is missing is a matter of its own in some columns")
    private = getattr(model, "privacy_", None)
    if private is not None:
        lines.append(
            f"differentially private: ε = {number(private['epsilon'])}, δ = {private['delta']:g} "
            f"(ρ = {number(private['rho'])}), for one row added or taken away"
        )
    where = "which columns hang together" + (" in the first tree" if several else "")
    return [*lines, "", f"{where} (nats of mutual information)"] + [
        f"  {line}" for line in tree_lines(model.tree_)
    ]


def tree_lines(edges: list[tuple[str, str | None, float]]) -> list[str]:
    r"""The tree as text, the strongest neighbours first.

    >>> print(*tree_lines([("a", None, 0.0), ("b", "a", 0.5), ("c", "b", 0.01)]), sep="\n")
    a
    └─ b  0.500
       └─ c  0.010
    """
    below: dict[str | None, list[tuple[str, float]]] = {}
    for name, parent, nats in edges:
        below.setdefault(parent, []).append((name, nats))
    for found in below.values():
        found.sort(key=lambda pair: pair[1])  # the stack gives the last one first
    lines: list[str] = []
    stack = [(name, 0.0, "", True, True) for name, _ in below.get(None, [])]
    while stack:
        name, nats, indent, is_root, is_last = stack.pop()
        branch = "" if is_root else "└─ " if is_last else "├─ "
        lines.append(f"{indent}{branch}{name}" + ("" if is_root else f"  {max(nats, 0.0):.3f}"))
        inner = indent + ("" if is_root else "   " if is_last else "│  ")
        for place, (child, strength) in enumerate(below.get(name, [])):
            stack.append((child, strength, inner, False, place == 0))
    if len(lines) > _MOST_LINES:
        return [*lines[:_MOST_LINES], f"… and {len(lines) - _MOST_LINES:,} columns more"]
    return lines

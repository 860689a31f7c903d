"""What is said about a latent tree."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl

from fabula import LatentTreeModel
from fabula.report.parameters import describe_model
from fabula.report.trees import describe_tree, tree_lines

FOUND = {
    "metadata": {"rows": 600, "data": "t.csv"}, "bytes": 1, "created": "now", "seed": None,
    "versions": {},
}  # fmt: skip


def fitted(**options) -> tuple[pl.DataFrame, LatentTreeModel]:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 600)
    table = pl.DataFrame(
        {
            "size": rng.normal(10.0 + 5 * kind, 1.0),
            "colour": np.where(rng.random(600) < 0.1 + 0.8 * kind, "red", "blue"),
            "kind": np.where(kind, "new", "old"),
        }
    )
    return table, LatentTreeModel(4, max_passes=3, random_state=0, **options)


def test_the_tree_as_text() -> None:
    edges = [("a", None, 0.0), ("b", "a", 0.5), ("c", "a", 0.7), ("d", "b", -0.1)]
    assert tree_lines(edges) == ["a", "├─ c  0.700", "└─ b  0.500", "   └─ d  0.000"]
    long = [("0", None, 0.0)] + [(str(j), "0", 1.0 / j) for j in range(1, 200)]
    assert tree_lines(long)[-1] == "… and 120 columns more"


def test_columns_in_all_rows_and_in_each_class() -> None:
    table, model = fitted()
    model.fit(table.drop("kind"), table["kind"])
    said = describe_model("m", FOUND, model, ["new", "old"], "kind")
    lines = said.splitlines()
    assert any(line.startswith("kind: new 5") or line.startswith("kind: new 4") for line in lines)
    assert "which columns hang together (nats of mutual information)" in lines
    (size,) = [line.split() for line in lines if line.startswith("size  ")]
    means = [float(word) for word, after in itertools.pairwise(size) if after == "±"]
    assert np.allclose(means[1:], [15, 10], atol=0.7)  # new, old
    assert abs(means[0] - table["size"].mean()) < 0.7
    (colour,) = [line for line in lines if line.startswith("colour")]
    assert colour.index("red") < colour.rindex("blue")


def test_a_private_tree_says_so() -> None:
    table, model = fitted(privacy=(2.0, 1e-6))
    lines = describe_tree(model.fit(table))
    assert "differentially private: ε = 2, δ = 1e-06 (ρ = 0.1" in "\n".join(lines)

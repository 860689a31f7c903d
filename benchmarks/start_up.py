"""How long until the first answer: the import, the command line, and a first fit."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.timing import print_table

FIRST_FIT = """
import time
from sklearn.datasets import load_iris
x, y = load_iris(return_X_y=True)
began = time.perf_counter()
import fabula
{imports}
imported = time.perf_counter()
model = {model}
print(imported - began, time.perf_counter() - imported)
"""

MODELS = {
    "GaussianMixture(3)": "GaussianMixture(3, random_state=0).fit(x)",
    "NaiveBayes()": "NaiveBayes().fit(x, y)",
    "LinearDiscriminantAnalysis()": "LinearDiscriminantAnalysis().fit(x, y)",
}


def run() -> None:
    """Fresh processes, the fastest of five."""
    rows: list[list[object]] = [
        ["import fabula", _import_seconds("import fabula")],
        ["interpreter alone", _import_seconds("pass")],
        ["fabula --help", _command_seconds([sys.executable, "-m", "fabula", "--help"])],
    ]
    for title, model in MODELS.items():
        name = title.partition("(")[0]
        code = FIRST_FIT.format(imports=f"fabula.{name}", model=f"fabula.{model}")
        results = [subprocess.check_output([sys.executable, "-c", code]).split() for _ in range(5)]
        rows.append(
            [f"first fit of iris, {title}, beyond imports", min(float(r[1]) for r in results)]
        )
    print_table(["what", "s"], rows)


def _import_seconds(code: str) -> float:
    return _command_seconds([sys.executable, "-c", code])


def _command_seconds(command: list[str]) -> float:
    import time

    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - began)
    return best

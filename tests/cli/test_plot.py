from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PNG = b"\x89PNG"


@pytest.mark.parametrize(
    ("model", "data", "kind", "options"),
    [
        ("bayes", "people", "pairs", []),
        ("bayes", "people", "pairs", ["--columns", "height,city"]),
        ("mixture", "people", "pairs", []),
        ("bayes", "people", "densities", []),
        ("bayes", "people", "densities", ["--columns", "visits"]),
        ("discriminant", "people", "densities", []),
        ("gauss", "numbers", "densities", []),
        ("bayes", "people", "regions", []),
        ("qda", "labelled", "regions", ["--columns", "weight,height"]),
        ("bayes", "people", "reliability", []),
        ("bayes", "people", "contributions", []),
        ("lda", "labelled", "contributions", ["--row", "3", "--case", "ill"]),
        ("bayes", "people", "costs", ["--case", "ill"]),
        ("gauss", "numbers", "components", []),
        ("qda", "labelled", "components", []),
    ],
)
def test_each_picture(
    fabula: Any,
    folder: Path,
    tmp_path: Path,
    model: str,
    data: str,
    kind: str,
    options: list[str],
) -> None:
    target = tmp_path / "picture.png"
    asked = ["plot", folder / f"{model}.fabula", folder / f"{data}.csv", "--kind", kind, *options]
    done = fabula(*asked, "-o", target)
    assert (done.code, done.out) == (0, ""), done.err
    assert done.err == f"Wrote {target}.\n"
    assert target.read_bytes().startswith(PNG)


def test_the_same_picture_twice_and_other_formats(
    fabula: Any, folder: Path, tmp_path: Path
) -> None:
    asked = ["plot", folder / "bayes.fabula", folder / "people.csv", "--kind", "densities", "-o"]
    for name in ("a.png", "b.png", "c.svg", "d.pdf"):
        assert fabula(*asked, tmp_path / name).code == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert fabula(*asked, tmp_path / "a.png").code == 2
    assert fabula(*asked, tmp_path / "a.png", "--force").code == 0
    assert fabula(*asked, tmp_path / "a.jpg").code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["bayes", "people", "--kind", "pairs", "--columns", "hight"], 2, "'height'"),
        (["bayes", "people", "--kind", "densities", "--columns", "city"], 2, "not a number"),
        (["bayes", "people", "--kind", "regions", "--columns", "height"], 2, "2 columns"),
        (["bayes", "people", "--kind", "contributions", "--row", "0"], 2, "rows 1 to 90"),
        (["bayes", "people", "--kind", "contributions", "--row", "91"], 2, "rows 1 to 90"),
        (["bayes", "people", "--kind", "costs", "--case", "sick"], 2, "no class 'sick'"),
        (["bayes", "people", "--kind", "pairs", "--row", "3"], 2, "--row does not go with"),
        (["bayes", "numbers", "--kind", "pairs"], 3, "weight"),
        (["gauss", "numbers", "--kind", "reliability"], 1, "no classes"),
        (["mixture", "people", "--kind", "components"], 1, "no covariances"),
        (["lda", "numbers", "--kind", "reliability"], 3, "no column 'state'"),
    ],
)
def test_what_cannot_be_drawn(
    fabula: Any, folder: Path, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    model, data, *options = arguments
    target = tmp_path / "picture.png"
    files = [folder / f"{model}.fabula", folder / f"{data}.csv"]
    done = fabula("plot", *files, *options, "-o", target)
    assert (done.code, done.out) == (code, "")
    if said not in ("weight",):
        assert said in done.err
    assert "defect" not in done.err
    assert not target.exists()

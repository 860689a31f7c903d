from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fabula import NaiveBayes
from fabula.cli._conditions import parse_costs, parse_given, parse_kinds, parse_prior
from fabula.cli._models import LoadedModel, load_model
from fabula.core.errors import DataError, UsageError


@pytest.fixture(scope="module")
def bayes(folder: Path) -> LoadedModel:
    return load_model(str(folder / "bayes.fabula"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("height=170.5", {"height": 170.5}),
        ("height=-1e3", {"height": -1000.0}),
        ("height=160..180", {"height": (160.0, 180.0)}),
        ("height=160..", {"height": (160.0, None)}),
        ("height=..180", {"height": (None, 180.0)}),
        ("height=-3.5..-1", {"height": (-3.5, -1.0)}),
        ("visits=1|3|5", {"visits": [1.0, 3.0, 5.0]}),
        ("city=Bonn", {"city": "Bonn"}),
        ("city=Bonn|Ulm", {"city": ["Bonn", "Ulm"]}),
        ("smoker=yes", {"smoker": "yes"}),
    ],
)
def test_conditions(bayes: LoadedModel, text: str, expected: dict[str, Any]) -> None:
    assert parse_given([text], bayes).columns == expected


def test_conditions_on_the_class(bayes: LoadedModel) -> None:
    found = parse_given(["state=ill", "height=170"], bayes)
    assert found.classes == ("ill",)
    assert found.columns == {"height": 170.0}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["height"], "not of the form column=value"),
        (["hight=3"], "Did you mean 'height'"),
        (["height=tall"], "'tall', which is not a number"),
        (["height=nan"], "not a number"),
        (["height=.."], "no end"),
        (["height=1..x"], "not a number"),
        (["city=Bon"], "Did you mean 'Bonn'?"),
        (["city=Bonn|Paris"], "no level 'Paris'"),
        (["state=sick"], "There is no class 'sick'"),
        (["height=1", "height=2"], "twice"),
        (["state=ill", "state=well"], "twice"),
    ],
)
def test_conditions_that_make_no_sense(bayes: LoadedModel, texts: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_given(texts, bayes)


def test_names_and_levels_with_signs_in_them() -> None:
    frame = pl.DataFrame(
        {
            "a=b": [1.5, 2.0, 3.0, 4.0],
            "code": ["x|y", "z", "x|y", "z"],
            "day": [datetime.date(2026, 1, k) for k in (1, 2, 3, 4)],
            "written": ["2026-01-01", "2026-01-05", "2026-01-02", "2026-01-09"],
        }
    )
    loaded = LoadedModel(NaiveBayes().fit(frame, ["p", "q", "p", "q"]), {"target": "t"})
    texts = ["a=b=1..2", "code=x|y", "day=2026-01-02..", "written=2026-01-02"]
    found = parse_given(texts, loaded).columns
    assert found == {
        "a=b": (1.0, 2.0),
        "code": "x|y",
        "day": (datetime.date(2026, 1, 2), None),
        "written": "2026-01-02",
    }
    del found["code"]
    assert loaded.estimator.condition(found).columns_.names == ("code",)

    with pytest.raises(UsageError, match="no date"):
        parse_given(["day=tomorrow"], loaded)


def test_kinds() -> None:
    assert parse_kinds(["a=count", "b=text"], ["a", "b"]) == {"a": "count", "b": "text"}
    with pytest.raises(UsageError, match="Did you mean 'alpha'"):
        parse_kinds(["alfa=count"], ["alpha", "beta"])


def test_priors() -> None:
    assert parse_prior("ill=.1,well=0.9", ["ill", "well"]) == {"ill": 0.1, "well": 0.9}
    assert parse_prior("ill=.1", ["ill", "well"])["well"] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ill=.1,well=.8", "sum to 1"),
        ("ill=.1,sick=.9", "no class 'sick'"),
        ("ill=two", "not a number"),
        ("ill=1.5", "nothing about the classes 'well'"),
        ("ill=1.5,well=-.5", "between 0 and 1"),
        ("ill", "class=value"),
    ],
)
def test_priors_that_make_no_sense(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_prior(text, ["ill", "well"])


COSTS = {"ill": {"ill": 0.0, "well": 20.0}, "well": {"ill": 1.0, "well": 0.0}}


def test_costs_in_each_form(tmp_path: Path) -> None:
    classes = ["ill", "well"]
    assert parse_costs("ill:well=20,well:ill=1", classes) == COSTS
    (tmp_path / "costs.json").write_text(json.dumps(COSTS))
    (tmp_path / "costs.csv").write_text("truth,ill,well\nwell,1,0\nill,0,20\n")
    assert parse_costs(str(tmp_path / "costs.json"), classes) == COSTS
    assert parse_costs(str(tmp_path / "costs.csv"), classes) == COSTS


def test_costs_of_actions_that_are_no_classes() -> None:
    text = "ill:treat=1,ill:wait=30,well:treat=2,well:wait=0"
    assert parse_costs(text, ["ill", "well"]) == {
        "ill": {"treat": 1.0, "wait": 30.0},
        "well": {"treat": 2.0, "wait": 0.0},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ill:well=20", "'ill' costs where 'well' is the truth"),
        ("ill:treat=1,ill:wait=2,well:treat=1", "'wait' costs where 'well'"),
        ("sick:well=1,well:sick=1", "no class 'sick'"),
        ("ill:well=much,well:ill=1", "not a number"),
        ("illwell=1", "truth:action=cost"),
        ("ill:well=1,ill:well=2", "twice"),
        ("nowhere.json", "nor a file"),
    ],
)
def test_costs_that_make_no_sense(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_costs(text, ["ill", "well"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.json", "{", "not JSON"),
        ("c.json", "[1]", "object of objects"),
        ("c.json", '{"ill": {"well": "many"}}', "'many', expected a number"),
        ("c.csv", "truth\n", "no table of costs"),
        ("c.csv", "truth,ill,well\nill,0\n", "line 2: 2 cells, expected 3"),
        ("c.csv", "truth,ill,well\nill,0,x\n", "line 2: a cost is 'x'"),
    ],
)
def test_files_of_costs_that_are_broken(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=re.escape(said)):
        parse_costs(str(tmp_path / name), ["ill", "well"])

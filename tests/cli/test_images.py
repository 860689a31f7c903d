"""Networks on the command line: images in and out, and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fabula import load

QUICK = ("--set", "max_epochs=2", "--set", "hidden=[8]", "--set", "n_latent=2",
         "--set", "n_importance=4")  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("images")
    digits = load_digits(n_class=3)
    np.savez(folder / "train.npz", images=digits.images[:120], labels=digits.target[:120])
    np.savez(folder / "test.npz", images=digits.images[120:140], labels=digits.target[120:140])
    return folder


@pytest.mark.slow
def test_images_are_fitted_asked_about_and_drawn(fabula: Any, images: Path) -> None:
    model = images / "model.fabula"
    done = fabula("fit", images / "train.npz", "--model", "vae", "-t", "class", *QUICK, "-o", model)
    assert done.code == 0, done.err
    assert "120 rows, 64 columns" in done.err and "bound of the log density" in done.err
    assert load(model).classes_.tolist() == [0, 1, 2]
    scores = fabula("score", model, images / "test.npz")
    assert scores.frame.height == 20 and "bits a pixel" in scores.err
    assert scores.frame["log_density"].is_finite().all()
    predicted = fabula("predict", model, images / "test.npz")
    assert predicted.frame.columns == ["image", "predicted_class", "p_0", "p_1", "p_2"]
    assert "agrees with" in predicted.err
    drawn = images / "drawn.npz"
    assert fabula("sample", model, "-n", 5, "-o", drawn).code == 0
    with np.load(drawn) as arrays:
        assert arrays["images"].shape == (5, 8, 8) and set(arrays["labels"]) <= {0, 1, 2}
    assert "2 latents" in fabula("show", model).out
    for kind in ("samples", "reconstructions", "latent", "traversal", "losses"):
        picture = images / f"{kind}.png"
        done = fabula("plot", model, images / "test.npz", "--kind", kind, "-o", picture)
        assert done.code == 0 and picture.stat().st_size > 2000, done.err
    for wrong in (("score", model, "people.csv"), ("sample", model), ("impute", model, "x.csv")):
        assert fabula(*wrong).code != 0


@pytest.mark.slow
def test_a_table_is_fitted_and_asked_about(
    fabula: Any, folder: Path, table: pl.DataFrame, tmp_path: Path
) -> None:
    model = tmp_path / "m.fabula"
    people = folder / "people.csv"
    done = fabula("fit", people, "-t", "state", "--model", "vae", *QUICK, "-o", model)
    assert done.code == 0, done.err
    assert f"{table.height} rows, 5 columns" in done.err
    drawn = fabula("sample", model, "-n", 4)
    assert drawn.code == 0, drawn.err
    assert drawn.frame.height == 4 and drawn.frame["smoker"].is_in(["yes", "no"]).all()
    assert fabula("predict", model, people).frame.height == table.height
    of_class = fabula("sample", model, "-n", 6, "--given", "state=ill")
    assert set(of_class.frame["state"]) == {"ill"}, of_class.err
    given = fabula("condition", model, "--given", "state=ill", "-o", tmp_path / "ill.fabula")
    assert given.code == 0, given.err
    again = fabula("predict", model, people, "--prior", "estimate")
    assert again.frame.height == table.height, again.err
    rare = fabula("score", model, people, "--outliers").frame["tail_probability"]
    assert rare.is_between(0, 1).all()
    empty = tmp_path / "empty.csv"
    empty.write_text(people.read_text().splitlines()[0] + "\n")
    assert fabula("predict", model, empty).frame.height == 0
    filled = fabula("impute", model, people).frame
    assert filled.drop("state").null_count().sum_horizontal().item() == 0
    assert "bound" in fabula("score", model, people).err
    refused = fabula("plot", model, people, "--kind", "traversal", "-o", tmp_path / "t.png")
    assert refused.code == 2 and "models of images" in refused.err


def test_images_need_a_model_that_takes_them(fabula: Any, images: Path, tmp_path: Path) -> None:
    train, model = images / "train.npz", tmp_path / "m.fabula"
    for options in ((), ("--model", "lda")):
        done = fabula("fit", train, *options, "-o", model)
        assert done.code == 2 and "--model vae" in done.err
    done = fabula("fit", train, "--model", "vae", "--kind", "a=count", "-o", model)
    assert done.code == 2 and "--kind is for tables" in done.err


@pytest.mark.slow
def test_a_class_of_an_adversarial_network(fabula: Any, folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "gan.fabula"
    small = ("--set", "max_epochs=2", "--set", "width=8", "--set", "depth=1")
    rows = pl.read_csv(folder / "people.csv").filter(pl.col("state").is_not_null())
    rows.write_csv(tmp_path / "rows.csv")
    done = fabula(
        "fit", tmp_path / "rows.csv", "-t", "state", "--model", "gan", *small, "-o", model
    )
    assert done.code == 0, done.err
    drawn = fabula("sample", model, "-n", 6, "--given", "state=ill")
    assert set(drawn.frame["state"]) == {"ill"}, drawn.err
    refused = fabula("condition", model, "--given", "state=ill", "-o", tmp_path / "x.fabula")
    assert refused.code != 0 and "fabula sample takes one class" in refused.err


def test_a_folder_of_pictures_with_others_among_them(fabula: Any, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((4, 4), 40 * i, dtype=np.uint8)).save(folder / f"{i}.png")
    (folder / "notes.txt").write_text("not a picture")
    (folder / "bad.png").write_text("nor is this")
    done = fabula("fit", folder, "--model", "vae", *QUICK, "-o", tmp_path / "m.fabula")
    assert done.code != 0 and "bad.png cannot be read as a picture" in done.err


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("hidden=(16, 8)", (16, 8)),
        ("patience=none", None),
        ("beta=.5", 0.5),
        ("prior=vamp", "vamp"),
    ],
)
def test_parameters_as_people_write_them(text: str, value: Any) -> None:
    from fabula.cli._models import make_estimator

    estimator = make_estimator("vae", numeric=True, settings=[text])
    assert getattr(estimator, text.partition("=")[0]) == value

"""Networks under bad luck: killed, interrupted, cut files, and tables that are hardly tables."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fabula import (
    AutoregressiveModel,
    DiffusionModel,
    GenerativeAdversarialNetwork,
    VariationalAutoencoder,
    load,
    save,
)
from fabula.core.errors import DataError, FileFormatError, UsageError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
CLASSES = np.array(["a", "b"] * 30)


def vae(**options: Any) -> VariationalAutoencoder:
    usual = {"hidden": (), "max_epochs": 2, "batch_size": 16, "random_state": 0}
    return VariationalAutoencoder(2, **{**usual, **options})


def gan(**options: Any) -> GenerativeAdversarialNetwork:
    usual = {"width": 8, "depth": 1, "n_starts": 1, "n_search": 3, "max_epochs": 2}
    return GenerativeAdversarialNetwork(3, **{**usual, "random_state": 0, **options})


def diffusion(**options: Any) -> DiffusionModel:
    usual = {"width": 8, "depth": 1, "steps": 2, "n_times": 1, "max_epochs": 2}
    return DiffusionModel(**{**usual, "random_state": 0, **options})


MAKERS = [vae, gan, diffusion]


# Broken off ---------------------------------------------------------------------------------------

LINEAR = {"validation": 0.0, "hidden_share": 0.0, "batch_size": 2, "max_epochs": 150}

KILLED = textwrap.dedent(
    """
    import sys, time
    sys.path.insert(0, {folder!r})
    from fabula.neural.training import loop
    from test_network_robustness import LINEAR, X, vae
    loop._SECONDS_BETWEEN_CHECKPOINTS = 0.02
    model = vae(checkpoint={file!r}, **LINEAR)
    model._on_progress = lambda *_: time.sleep(0.05)  # or it would be done before it is killed
    model.fit(X)
    """
)


def test_a_fit_that_is_killed_ends_with_the_same_weights(tmp_path: Path):
    file = tmp_path / "part"
    script = KILLED.format(folder=str(Path(__file__).parent), file=str(file))
    process = subprocess.Popen([sys.executable, "-c", script])
    whole = vae(**LINEAR).fit(X)
    while not file.exists() and process.poll() is None:
        time.sleep(0.002)
    time.sleep(np.random.default_rng().uniform(0.0, 0.3))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and file.exists()
    content = file.read_bytes()
    with pytest.raises(UsageError, match="other settings"):
        vae(checkpoint=str(file), beta=0.9, **LINEAR).fit(X)
    file.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(FileFormatError, match="damaged"):
        vae(checkpoint=str(file), **LINEAR).fit(X)
    file.write_bytes(content)
    shares: list[float] = []
    resumed = vae(checkpoint=str(file), **LINEAR)
    resumed._on_progress = lambda done, loss, left: shares.append(done)
    resumed.fit(X)
    assert shares[0] > 1.5 / LINEAR["max_epochs"]  # it did not begin anew
    assert resumed.report_.losses == whole.report_.losses and not file.exists()
    assert np.array_equal(resumed.sample(50)[0], whole.sample(50)[0])
    assert np.array_equal(resumed.score_samples(X), whole.score_samples(X))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "network"),
    [(gan, 1), (diffusion, 1), (lambda **options: vae(layers="M1+M2", hidden=(4,), **options), 2)],
    ids=["gan", "diffusion", "stack"],
)
def test_a_fit_that_is_interrupted_ends_with_the_same_weights(
    make: Callable[..., Any], network: int, tmp_path: Path
):
    """A stack trains two networks: it is interrupted in the second."""
    file = tmp_path / "part"
    whole = make().fit(X, CLASSES)
    broken, resumed = make(checkpoint=str(file)), make(checkpoint=str(file))

    def interrupt(done: float, loss: float, left: float) -> None:
        if broken._n_trained == network:
            raise KeyboardInterrupt

    broken._on_progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        broken.fit(X, CLASSES)
    assert len(list(tmp_path.iterdir())) == 1
    resumed.fit(X, CLASSES)
    assert np.array_equal(resumed.sample(20)[0], whole.sample(20)[0])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_checkpoint_of_other_labels_is_refused(tmp_path: Path):
    """With some labels missing, labelled rows are learned from beside the others."""
    file = tmp_path / "part"
    some = np.where(np.arange(len(X)) % 3 == 0, CLASSES, None)
    broken = vae(checkpoint=str(file))

    def interrupt(done: float, loss: float, left: float) -> None:
        raise KeyboardInterrupt

    broken._on_progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        broken.fit(X, some)
    names = np.unique(CLASSES)
    swapped = np.array([{names[0]: names[1], names[1]: names[0]}.get(c) for c in some])
    with pytest.raises(UsageError, match="other data, another model"):
        vae(checkpoint=str(file)).fit(X, swapped)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": 3}, "must be the name of a file, not 3"),
        ({"checkpoint": "."}, "is a folder"),
        ({"checkpoint": "no/such/folder/part"}, "no such folder"),
        ({"checkpoint": "part", "random_state": None}, "random_state"),
    ],
)
def test_checkpoints_that_could_not_be_gone_on_from(options: dict[str, Any], message: str):
    """Said before training, not after the first minutes of it."""
    with pytest.raises(UsageError, match=message):
        AutoregressiveModel(**{"random_state": 0, **options}).fit(["ab", "ba"])
    for make in MAKERS:
        with pytest.raises(UsageError, match=message):
            make(**options).fit(X)


# What cannot be learned from ----------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS)
def test_tables_that_cannot_be_learned_from(make: Callable[..., Any]):
    frame = pd.DataFrame(X, columns=list("abc"))
    frame.loc[7, "b"] = -np.inf
    with pytest.raises(DataError, match=r"Column 'b', row 8 .* is -inf"):
        make().fit(frame)
    with pytest.raises(DataError, match=r"row 8, column 1 is inf"):
        make().fit(np.where(np.isinf(frame), np.inf, frame))
    for unlabelled in (np.full(60, np.nan), np.full(60, -1), np.array([None] * 60)):
        with pytest.raises(DataError, match="No row of y has a label"):
            make().fit(X, unlabelled)
    with pytest.raises(DataError, match="inconsistent"):
        make().fit(X, CLASSES[:-1])
    for empty in (frame[:0], pd.DataFrame({"a": ["x"] * 9, "b": [2.5] * 9}), frame[:1]):
        with pytest.raises(DataError, match=r"no rows|nothing|can be modelled|inf"):
            make().fit(empty)
    with pytest.raises(ValueError, match=r"0 sample"):
        make().fit(X[:0])
    with pytest.raises(ValueError, match=r"0 feature"):
        make().fit(X[:, :0])


def test_a_generator_needs_every_class_and_others_one_label_of_each():
    some = np.where(np.arange(60) < 41, CLASSES, None)
    with pytest.raises(DataError, match=r"19 of 60 rows have no class, the first of them row 42"):
        gan().fit(X, some)


# What can -----------------------------------------------------------------------------------------


def odd_table() -> pd.DataFrame:
    """Every odd column at once, a row without cells, and labels of its own for the rows."""
    n = len(X)
    table = pd.DataFrame(
        {
            "size": X[:, 0],
            "kind": (["x", "y", "z"] * n)[:n],
            "one level": ["only"] * n,
            "constant": [2.5] * n,
            "nothing": [None] * n,
            "huge": X[:, 1] * 1e150,
            "tiny": X[:, 2] * 1e-150,
        },
        index=np.arange(n) + 100,
    )
    table.loc[105] = None
    return table


ODD = odd_table()


def asked_about(model: Any, classes: Any) -> Any:
    """Draws of a model of the odd table, after questions that it has to stand."""
    drawn, labels = model.sample(30, **({} if classes is None else {"y": classes}))
    assert list(drawn.columns) == list(ODD.columns) and drawn["nothing"].isna().all()
    assert set(drawn["one level"]) == {"only"} and set(drawn["constant"]) == {2.5}
    assert set(drawn["kind"]) <= {"x", "y", "z"}
    assert np.isfinite(drawn[["size", "huge", "tiny"]]).all(axis=None)
    assert drawn["huge"].abs().max() > 1e148 and 0 < drawn["tiny"].abs().max() < 1e-148
    new = ODD[3:8].copy()
    new.loc[104, "kind"] = "a level of tomorrow"
    filled = model.impute(new)
    assert filled.index.equals(new.index)
    assert filled.loc[104, "kind"] == "a level of tomorrow"
    assert filled.drop(columns="nothing").notna().all(axis=None)
    with pytest.raises(DataError, match="'a level of tomorrow' is none of its 3 levels"):
        model.sample(2, given={"kind": "a level of tomorrow"})
    for wrong in (True, 0, 2.0, None, "3"):
        with pytest.raises(UsageError, match="n_samples"):
            model.sample(wrong)
    return labels


def test_a_generator_of_odd_columns(tmp_path: Path):
    model = gan(batch_size=10_000).fit(ODD)
    asked_about(model, None)
    near = model.reconstruct(ODD[:4])
    assert near.index.equals(ODD.index[:4]) and list(near.columns) == list(ODD.columns)
    way = model.traverse(2, 5)
    latents = np.zeros((5, 3))
    latents[:, 2] = np.linspace(-2.5, 2.5, 5)
    assert way.equals(model.inverse_transform(latents)) and way["size"].nunique() == 5
    for wrong in (3, -1, 1.5):
        with pytest.raises(UsageError, match="no latent dimension"):
            model.traverse(wrong)
    with pytest.raises(UsageError, match="one row"):
        model.traverse(0, row=ODD[:2])
    file = tmp_path / "model.fabula"
    save(model, file)
    content = file.read_bytes()
    assert load(file).sample(5)[0].equals(model.sample(5)[0])
    for cut in range(0, len(content), len(content) // 23):
        file.write_bytes(content[:cut])
        with pytest.raises(FileFormatError, match=r"cut|damaged|empty|no fabula"):
            load(file)


@pytest.mark.slow
@pytest.mark.parametrize("make", [vae, diffusion])
def test_odd_columns_with_one_label_of_a_class(make: Callable[..., Any]):
    y = np.array(["often"] * 40 + ["once"] + [None] * 19, dtype=object)
    model = make(batch_size=10_000).fit(ODD, y)
    assert set(model.classes_) == {"often", "once"}
    labels = asked_about(model, "once" if make is diffusion else None)
    assert set(labels) <= {"often", "once"}
    np.testing.assert_allclose(model.predict_proba(ODD[:9]).sum(axis=1), 1.0)
    with np.errstate(over="raise"):
        scores = model.score_samples(ODD.assign(size=1e200)[:3])
    assert np.isfinite(scores).all()
    if make is vae:
        assert model.reconstruct(ODD[:4]).index.equals(ODD.index[:4])


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("shape", ["one row", "10,000 levels", "1,000 columns", "all the same"])
def test_tables_of_odd_shapes(make: Callable[..., Any], shape: str):
    rng = np.random.default_rng(1)
    tables: dict[str, Any] = {
        "one row": X[:1],
        "10,000 levels": pd.DataFrame(
            {"id": [f"level {i}" for i in range(10_000)], "x": rng.normal(size=10_000)}
        ),
        "1,000 columns": pd.DataFrame(
            {j: rng.normal(size=20) if j % 2 else ["a", "b"] * 10 for j in range(1000)}
        ).rename(columns=str),
        "all the same": np.full((20, 2), 3.0),
    }
    table = tables[shape]
    kinds = {"id": "category"} if shape == "10,000 levels" else None
    model = make(max_epochs=1, batch_size=4000, kinds=kinds).fit(table)
    drawn, _ = model.sample(6)
    assert np.shape(drawn) == (6, table.shape[1])
    if shape == "all the same":
        assert np.mean(drawn == 3.0) > 0.5  # anything else has a probability of about 1/n
    if make is gan and len(table) > 5:
        assert 0.0 <= model.mode_coverage(table[:100]).coverage <= 1.0
    if make is not gan:
        assert np.isfinite(model.score_samples(table[:5])).all()

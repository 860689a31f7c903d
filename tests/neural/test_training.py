"""The training loop: it finds minima, keeps the best, recovers, and resumes with the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fabula.core.errors import ConvergenceWarning, DataError, FileFormatError, UsageError
from fabula.neural.training.descent import Descent
from fabula.neural.training.loop import train
from fabula.neural.training.plan import Plan


def line(n: int = 1000, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    noise = 0.1 * rng.normal(size=n).astype(np.float32)
    return {"x": x, "y": x @ np.array([1.0, -2.0, 0.5], np.float32) + 3.0 + noise}


def squared(parameters, batch, key):
    residual = batch["x"] @ parameters["w"] + parameters["b"] - batch["y"]
    return residual**2, {}


def zeros(key):
    return {"w": jnp.zeros(3), "b": jnp.zeros(())}


def learner(**options) -> Descent:
    return Descent(zeros, squared, **{"learning_rate": 0.05, "weight_decay": 0.0, **options})


def test_it_finds_the_least_squares_solution():
    data = line()
    learned, report = train(learner(), data, Plan(batch_size=100, max_epochs=60))
    design = np.column_stack([data["x"], np.ones(len(data["y"]))])
    expected = np.linalg.lstsq(design, data["y"], rcond=None)[0]
    found = np.append(learned["w"], learned["b"])
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert report.reason == "all steps done" and report.n_steps == 600
    assert report.losses["loss"][-1] < 0.02 < report.losses["loss"][0]


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    runs = [train(learner(), line(), Plan(max_epochs=3, seed=s))[0]["w"] for s in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_the_state_that_is_best_on_held_out_rows_is_kept_and_patience_ends_training():
    few, held_out = line(4), line(500, seed=1)
    plan = Plan(max_epochs=4000, looks=4000, patience=30)
    learned, report = train(
        learner(learning_rate=0.02, averaging=0.0), few, plan, validation=held_out
    )
    residual = held_out["x"] @ np.asarray(learned["w"]) + learned["b"] - held_out["y"]
    assert report.reason == "no more progress"
    assert np.mean(residual**2) == pytest.approx(min(report.validation), rel=1e-5)
    assert report.best_step == report.steps[int(np.argmin(report.validation))]
    assert len(report.validation) == int(np.argmin(report.validation)) + 1 + 30


def test_time_is_kept():
    plan = Plan(max_epochs=10_000_000, max_time=2.0, patience=None)
    _, report = train(learner(), line(), plan, validation=line(50))
    assert report.seconds < 4.0
    assert report.reason in ("time is up", "all steps done")


def test_a_loss_that_is_no_number_is_undone_at_a_lower_rate():
    def explodes(parameters, batch, key):
        losses, others = squared(parameters, batch, key)
        return jnp.where(jnp.abs(parameters["w"]).max() > 2.5, jnp.nan, losses), others

    data = line()
    model = Descent(zeros, explodes, learning_rate=2.0, weight_decay=0.0, averaging=0.0)
    with pytest.warns(ConvergenceWarning, match="half the learning rate"):
        learned, report = train(model, data, Plan(batch_size=100, max_epochs=100))
    assert report.n_recoveries > 0
    np.testing.assert_allclose(learned["w"], [1, -2, 0.5], atol=0.2)


@pytest.mark.filterwarnings("ignore:The loss was no finite number")
def test_training_that_never_gets_under_way_says_so():
    data = line()
    data["y"][3] = np.inf
    with pytest.raises(DataError, match="does not get under way"):
        train(learner(), data, Plan(batch_size=1000))


class Breaks:
    """Better with every step, and no number at all after 450 of them."""

    def start(self, key):
        return {"w": jnp.zeros(()), "n": jnp.zeros(())}

    def step(self, state, batch, key, rate):
        n = state["n"] + 1
        loss = jnp.where(n > 450, jnp.nan, 1.0)
        return {"w": state["w"] + 1.0, "n": n}, {"loss": loss}

    def validate(self, state, batch, key):
        return jnp.full(len(batch["x"]), 1000.0 - state["w"])

    def learned(self, state):
        return state["w"]


@pytest.mark.filterwarnings("ignore:The loss was no finite number")
def test_what_was_learned_before_it_broke_is_kept():
    """The first look at held-out rows would have come after step 1,000."""
    data = {"x": np.zeros((1000, 1), np.float32)}
    with pytest.warns(ConvergenceWarning, match="broke off after 400 steps"):
        kept, report = train(
            Breaks(), data, Plan(batch_size=1, max_epochs=2), validation={"x": data["x"][:10]}
        )
    assert float(kept) == report.best_step == 400 and report.reason == "diverged"


def test_no_rows_are_refused():
    with pytest.raises(DataError, match="no rows"):
        train(learner(), line(0), Plan())


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"max_epochs": 0}, {"patience": 0}, {"max_time": 0.0}]
)
def test_plans_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Plan(**wrong)


class Stop(Exception):
    pass


def interrupted_after(share: float):
    def watch(done: float, loss: float, left: float) -> None:
        if done >= share:
            raise KeyboardInterrupt

    return watch


def test_interrupted_and_resumed_training_ends_with_the_same_bits(tmp_path: Path):
    plan, data, held_out = Plan(batch_size=10, max_epochs=7), line(), line(40, 5)
    whole, report = train(learner(), data, plan, validation=held_out)
    file = tmp_path / "training.part"
    for share in (0.3, 0.7):
        with pytest.raises(KeyboardInterrupt):
            train(
                learner(),
                data,
                plan,
                validation=held_out,
                checkpoint=file,
                on_progress=interrupted_after(share),
            )
        assert file.exists()
    resumed, again = train(learner(), data, plan, validation=held_out, checkpoint=file)
    assert jax.tree.all(jax.tree.map(np.array_equal, whole, resumed))
    assert again.validation == report.validation and again.losses == report.losses
    assert not file.exists()


KILLED = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import numpy as np
    sys.path.insert(0, {folder!r})
    from fabula.neural.training import loop
    from test_training import learner, line
    loop._SECONDS_BETWEEN_CHECKPOINTS = 0.05
    plan = loop.Plan(batch_size=2, max_epochs=100)
    learned, _ = loop.train(learner(), line(), plan, checkpoint=Path({file!r}))
    np.savez({result!r}, **learned)
    """
)


@pytest.mark.slow
def test_killed_training_resumes_to_the_same_bits(tmp_path: Path):
    file, result = tmp_path / "part", tmp_path / "result.npz"
    script = KILLED.format(folder=str(Path(__file__).parent), file=str(file), result=str(result))
    whole, _ = train(learner(), line(), Plan(batch_size=2, max_epochs=100))
    process = subprocess.Popen([sys.executable, "-c", script], env=dict(os.environ))
    while not file.exists() and process.poll() is None:
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([sys.executable, "-c", script], check=True)
    learned = np.load(result)
    assert np.array_equal(learned["w"], whole["w"]) and np.array_equal(learned["b"], whole["b"])


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path):
    file = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        train(learner(), line(), Plan(), checkpoint=file, on_progress=interrupted_after(0.1))
    with pytest.raises(UsageError, match="other data"):
        train(learner(), line(seed=9), Plan(), checkpoint=file)
    with pytest.raises(UsageError, match="other settings"):
        train(learner(), line(), Plan(), checkpoint=file, settings="another penalty")
    content = file.read_bytes()
    for cut in range(0, len(content), 37):
        file.write_bytes(content[:cut])
        with pytest.raises(FileFormatError, match="no checkpoint"):
            train(learner(), line(), Plan(), checkpoint=file)

"""Baum–Welch, Viterbi and posteriors at the sizes where speed matters, beside hmmlearn and dynamax.

Every contender makes the same number of passes from the same start in the same precision as it
would by default; the log likelihood that the last pass saw is compared, since speed means nothing
without it. dynamax works in single precision, is compiled before it is timed, and has weak priors
that cannot be turned off.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable

import numpy as np

from benchmarks.timing import print_table, race
from fabula.core.blocks import SequenceBlocks, Sequences
from fabula.core.threads import use_threads
from fabula.families import Categorical, NormalDiagonal
from fabula.learning.em import expectation_maximisation
from fabula.structures.chains.hidden_markov import HiddenMarkov

# Sequences, steps of each, columns (0: one column of 20 symbols), states, passes.
CASES = [
    (100, 1000, 10, 5, 10),
    (100, 1000, 10, 20, 10),
    (20, 1000, 10, 64, 3),
    (100, 1000, 0, 20, 10),
    (1, 100_000, 10, 20, 5),
]
SYMBOLS = 20

LONG = """
import sys, time
import numpy as np
from fabula.core.blocks import Block, Sequences
from fabula.core.threads import single_threaded_blas
from fabula.families import NormalDiagonal
from fabula.structures.chains.hidden_markov import HiddenMarkov

def peak():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) / 1024

n, k = int(sys.argv[2]), 20
rng = np.random.default_rng(0)
bank = NormalDiagonal(3.0 * rng.normal(size=(k, 2)), np.ones((k, 2)))
with np.errstate(divide="ignore"):
    a = 0.9 * np.eye(k) + 0.1 * rng.dirichlet(np.ones(k), size=k)
    story = HiddenMarkov(np.log(np.full(k, 1 / k)), np.log(a), bank)
x = Sequences(rng.normal(size=(n, 2)), np.array([0, n]))
began = time.perf_counter()
if sys.argv[1] == "log density":
    story.log_prob(x)
elif sys.argv[1] == "one pass of EM":
    with single_threaded_blas():
        story.maximise(story.statistics(Block(x)))
elif sys.argv[1] == "best path":
    story.viterbi(x)
elif sys.argv[1] == "posteriors":
    story.state_posterior(x)
print(time.perf_counter() - began, peak())
"""


def run() -> None:
    """Learning, then questions, then one very long sequence."""
    warnings.simplefilter("ignore")
    _learning()
    print()
    _questions()
    print()
    _one_long_sequence()


def _case(n: int, length: int, d: int, k: int) -> tuple[Sequences, HiddenMarkov]:
    """Draws of a chain, and a start that is neither the truth nor far from it."""
    rng = np.random.default_rng(0)
    a = 0.5 * np.eye(k) + 0.5 * rng.dirichlet(np.ones(k), size=k)
    start = np.full(k, 1.0 / k)
    flat = 0.5 * np.eye(k) + 0.5 / k
    if d:
        means = 1.5 * rng.normal(size=(k, d))
        truth: object = NormalDiagonal(means, np.ones((k, d)))
        guess: object = NormalDiagonal(means + 0.5 * rng.normal(size=(k, d)), np.full((k, d), 2.0))
    else:
        levels = rng.dirichlet(np.full(SYMBOLS, 0.3), size=k)
        slot = np.zeros((k, 1))
        truth = Categorical(np.concatenate([levels, slot], axis=1), (SYMBOLS,))
        mixed = 0.5 * levels + 0.5 / SYMBOLS
        guess = Categorical(np.concatenate([mixed, slot], axis=1), (SYMBOLS,))
    story = HiddenMarkov(np.log(start), np.log(a), truth)
    x, _ = story.sample(np.full(n, length), rng)
    return x, HiddenMarkov(np.log(start), np.log(flat), guess)


def _title(n: int, length: int, d: int, k: int) -> str:
    kind = f"{d} normal columns" if d else f"{SYMBOLS} symbols"
    return f"{n} x {length:,} steps, {kind}, K={k}"


def _hmmlearn(story: HiddenMarkov, implementation: str, passes: int):
    from hmmlearn import hmm

    settings = {
        "implementation": implementation,
        "n_iter": passes,
        "tol": -np.inf,
        "init_params": "",
    }
    if isinstance(story.emission, NormalDiagonal):
        model = hmm.GaussianHMM(
            story.n_states,
            covariance_type="diag",
            min_covar=0.0,
            means_weight=0.0,
            covars_prior=0.0,
            covars_weight=1.0,
            **settings,
        )
        model.means_ = story.emission.means.copy()
        model.covars_ = story.emission.variances.copy()
    else:
        model = hmm.CategoricalHMM(story.n_states, **settings)
        model.emissionprob_ = story.emission.probabilities[:, :-1].copy()
    model.n_features = story.n_columns if isinstance(story.emission, NormalDiagonal) else SYMBOLS
    model.startprob_ = np.exp(story.log_start)
    model.transmat_ = np.exp(story.log_transitions)
    return model


def _steps(x: Sequences, story: HiddenMarkov) -> np.ndarray:
    return x.steps if isinstance(story.emission, NormalDiagonal) else x.steps.astype(np.int64)


def _learning() -> None:
    rows: list[list[object]] = []
    for n, length, d, k, passes in CASES:
        x, story = _case(n, length, d, k)
        ends: dict[str, float] = {}

        def peer(
            implementation: str,
            x: Sequences = x,
            story: HiddenMarkov = story,
            passes: int = passes,
            ends: dict[str, float] = ends,
        ) -> None:
            model = _hmmlearn(story, implementation, passes)
            model.fit(_steps(x, story), x.lengths)
            ends[f"hmmlearn {implementation}"] = model.monitor_.history[-1]

        def ours(
            name: str,
            threads: int | None,
            x: Sequences = x,
            story: HiddenMarkov = story,
            passes: int = passes,
            ends: dict[str, float] = ends,
        ) -> None:
            blocks = SequenceBlocks(x, steps=story.steps_at_once)
            with use_threads(threads):
                _, report = expectation_maximisation(
                    story, blocks, max_iter=passes - 1, tol=-np.inf
                )
            ends[name] = report.trace[-1] * x.n_steps

        contenders: dict[str, Callable[[], object]] = {
            "hmmlearn log": lambda peer=peer: peer("log"),
            "hmmlearn scaling": lambda peer=peer: peer("scaling"),
            "fabula": lambda ours=ours: ours("fabula", None),
            "fabula, one core": lambda ours=ours: ours("fabula, one core", 1),
        }
        warm = _dynamax(x, story, passes, ends) if d else None
        if warm is not None:
            contenders["dynamax warm"] = warm
        ours("fabula", None)  # compiles, or loads what was compiled
        seconds = race(contenders, rounds=1 if k == 64 else 2)
        for name, time in seconds.items():
            gap = abs(ends[name] / ends["fabula"] - 1.0)
            assert gap < (1e-3 if "dynamax" in name else 1e-8), (name, ends)
            rows.append([_title(n, length, d, k), name, time, time / seconds["fabula"], ends[name]])
    print("Baum–Welch, the same number of passes\n")
    print_table(["data", "contender", "s", "times fabula", "log likelihood"], rows)


def _dynamax(
    x: Sequences, story: HiddenMarkov, passes: int, ends: dict[str, float]
) -> Callable[[], object] | None:
    try:
        import jax
        import jax.numpy as jnp
        from dynamax.hidden_markov_model import DiagonalGaussianHMM
    except ImportError:
        return None
    model = DiagonalGaussianHMM(story.n_states, story.n_columns)
    first, props = model.initialize(
        initial_probs=jnp.asarray(np.exp(story.log_start)),
        transition_matrix=jnp.asarray(np.exp(story.log_transitions)),
        emission_means=jnp.asarray(story.emission.means),
        emission_scale_diags=jnp.asarray(np.sqrt(story.emission.variances)),
    )
    emissions = jnp.asarray(x.steps.reshape(len(x), -1, story.n_columns))

    @jax.jit
    def step(params, state):
        statistics, log_prob = jax.vmap(lambda e: model.e_step(params, e))(emissions)
        params, state = model.m_step(params, props, statistics, state)
        return params, state, log_prob.sum()

    def climb() -> None:
        params, state = first, model.initialize_m_step_state(first, props)
        for _ in range(passes):
            params, state, total = step(params, state)
        ends["dynamax warm"] = float(total)

    climb()
    return climb


def _questions() -> None:
    rows: list[list[object]] = []
    for n, length, d, k, _ in CASES:
        x, story = _case(n, length, d, k)
        steps = _steps(x, story)
        peers = {name: _hmmlearn(story, name, 1) for name in ("log", "scaling")}
        best, path = peers["log"].decode(steps, x.lengths)
        mine, log_prob = story.viterbi(x)
        assert abs(log_prob.sum() / best - 1.0) < 1e-10 and np.mean(mine == path) > 0.999
        told, expected = peers["scaling"].score_samples(steps, x.lengths)
        log_evidence, posterior = story.state_posterior(x)
        assert abs(log_evidence.sum() / told - 1.0) < 1e-9
        assert np.abs(posterior - expected).max() < 1e-7
        questions: dict[str, tuple[Callable[[], object], dict[str, Callable[[], object]]]] = {
            "best path": (
                lambda x=x, story=story: story.viterbi(x),
                {"hmmlearn": lambda p=peers, s=steps, x=x: p["log"].decode(s, x.lengths)},
            ),
            "posteriors": (
                lambda x=x, story=story: story.state_posterior(x),
                {
                    f"hmmlearn {name}": lambda p=peer, s=steps, x=x: p.score_samples(s, x.lengths)
                    for name, peer in peers.items()
                },
            ),
        }
        for question, (ours, others) in questions.items():
            seconds = race({"fabula": ours, **others}, rounds=2 if k == 64 else 4)
            for name in others:
                ratio = seconds[name] / seconds["fabula"]
                rows.append(
                    [
                        _title(n, length, d, k),
                        question,
                        name,
                        seconds["fabula"],
                        seconds[name],
                        ratio,
                    ]
                )
    print("Questions of given parameters\n")
    print_table(["data", "question", "peer", "fabula, s", "peer, s", "times fabula"], rows)


def _one_long_sequence(n: int = 10_000_000) -> None:
    """Every question in a process of its own, whose peak memory the operating system reports."""
    rows: list[list[object]] = []
    for question in ("nothing", "log density", "one pass of EM", "best path"):
        out = subprocess.check_output([sys.executable, "-c", LONG, question, str(n)])
        seconds, megabytes = map(float, out.split())
        rows.append([question, seconds, 1e9 * seconds / n, megabytes])
    print(f"One sequence of {n:,} steps, 2 normal columns, 20 states (the data take 153 MiB)\n")
    print_table(["question", "s", "ns a step", "peak memory, MiB"], rows)

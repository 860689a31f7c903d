"""Steps a second of three networks, beside the same networks in PyTorch, eager and compiled.

All contenders take minibatches of 256 rows from memory, in single precision, with the same widths,
the same optimiser and a moving average of the weights. They take turns in one process; the fastest
of three turns counts. The first step includes compilation. The peak of memory is that of a process
of its own for each contender.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import print_table

N_ROWS, BATCH, STEPS, ROUNDS = 20_000, 256, 300, 3
N_COLUMNS = 20
RATE = 1e-3
Turn = Callable[[int], None]


def run() -> None:
    """All three networks."""
    try:
        import torch
    except ImportError:
        print("skipped: PyTorch is not installed")
        return
    torch.manual_seed(0)
    rows: list[list[object]] = []
    for name in _networks():
        rows += _race(name)
    header = ["network", "contender", "steps a second", "times eager", "first step, s", "peak MiB"]
    print_table(header, rows)


def _networks() -> dict[str, tuple[Callable[[], Turn], Callable[..., Turn]]]:
    """Ours and theirs."""
    return {
        "variational autoencoder, 784-500-500-50": (_our_autoencoder, _torch_autoencoder),
        "diffusion, 20 numbers, 3 blocks of 384": (_our_diffusion, _torch_diffusion),
        "adversarial, 20 numbers, 2 blocks of 256, R1 + R2": (_our_adversaries, _torch_adversaries),
    }


def _makers(name: str) -> dict[str, Callable[[], Turn]]:
    ours, theirs = _networks()[name]

    def compiled() -> Turn:
        import torch

        return theirs(torch.compile)

    return {"fabula": ours, "PyTorch, eager": theirs, "PyTorch, compiled": compiled}


def _race(name: str) -> list[list[object]]:
    contenders: dict[str, Turn] = {}
    first: dict[str, float] = {}
    for label, make in _makers(name).items():
        began = time.perf_counter()
        turn = make()
        turn(1)
        first[label], contenders[label] = time.perf_counter() - began, turn
    best = dict.fromkeys(contenders, 0.0)
    for _ in range(ROUNDS):
        for label, turn in contenders.items():
            began = time.perf_counter()
            turn(STEPS)
            best[label] = max(best[label], STEPS / (time.perf_counter() - began))
    return [
        [name, label, f"{speed:.0f}", best[label] / best["PyTorch, eager"], f"{first[label]:.1f}",
         _peak(name, label)]
        for label, speed in best.items()
    ]  # fmt: skip


def _peak(name: str, label: str) -> str:
    """Memory of a process in which this contender takes some steps, the libraries included."""
    program = f"from benchmarks import neural_speed; neural_speed.take_steps({name!r}, {label!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.stdout.split()[-1] if done.returncode == 0 else "failed"


def take_steps(name: str, label: str) -> None:
    """Some steps of one contender; prints the most memory that the process had, in MiB."""
    _makers(name)[label]()(STEPS)
    # Not ru_maxrss, which begins at what the parent has.
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    print(int(peak) // 1024)


# Ours ------------------------------------------------------------------------------------------


def _our_turns(learner: Any, data: dict[str, np.ndarray]) -> Turn:
    """So many steps of the loop that `fit` runs."""
    import jax

    from fabula.neural.training.loop import _Loop
    from fabula.neural.training.plan import Plan

    loop = _Loop(learner, data, Plan(batch_size=BATCH, max_epochs=10**6), None, None, "")
    per_epoch = loop.steps_per_epoch
    state, done = loop.at[0], 0

    def turn(steps: int) -> None:
        nonlocal state, done
        until = done + steps
        while done < until:
            stop = min(until, (done // per_epoch + 1) * per_epoch)
            order = loop._order_of(done // per_epoch)
            schedule = (loop.total, 0.02, 0.01, 1.0)
            state, _ = loop._run_steps(
                state, loop.data, order, loop.key, (done, stop, per_epoch), schedule
            )
            done = stop
        jax.block_until_ready(state)

    return turn


def _pixels() -> np.ndarray:
    return np.random.default_rng(0).random((N_ROWS, 784), dtype=np.float32)


def _numbers() -> np.ndarray:
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(N_ROWS, N_COLUMNS)) @ rng.normal(size=(N_COLUMNS, N_COLUMNS))
    return (mixed / mixed.std(0)).astype(np.float32)


def _our_autoencoder() -> Turn:
    from fabula.neural.forms.image import ImageForm
    from fabula.neural.variational.autoencoder import Autoencoder
    from fabula.neural.variational.laws import PixelLaw
    from fabula.neural.variational.learning import Bound, learner

    images = (255 * _pixels()).astype(np.uint8).reshape(-1, 28, 28)
    form = ImageForm.learned(images, None)
    arrays = form.encode(form.rows(images))
    shape = Autoencoder(PixelLaw(form, "bernoulli"), 50, (500, 500))
    descent, _ = learner(shape, Bound(), arrays, learning_rate=RATE, weight_decay=1e-4)
    return _our_turns(descent, arrays)


def _table() -> tuple[Any, dict[str, np.ndarray]]:
    from fabula.neural.forms.table import TableForm
    from fabula.tables.encoding import Field

    x = _numbers().astype(float)
    fields = [Field(j, "continuous") for j in range(x.shape[1])]
    form = TableForm.learned(x, fields, scaling="standard")
    return form, form.encode(x)


def _our_diffusion() -> Turn:
    from fabula.neural.diffusion.form import TableNoise
    from fabula.neural.diffusion.learning import Lesson, learner
    from fabula.neural.diffusion.network import DiffusionNetwork
    from fabula.neural.diffusion.schedule import Schedule

    form, arrays = _table()
    shape = DiffusionNetwork(TableNoise.learned(form, arrays), 384, 3)
    return _our_turns(learner(shape, Lesson(Schedule()), learning_rate=RATE)[0], arrays)


def _our_adversaries() -> Turn:
    from fabula.neural.adversarial.form import TableVectors
    from fabula.neural.adversarial.learning import Adversaries, Lesson
    from fabula.neural.adversarial.network import Critic, Generator

    form, _ = _table()
    x = _numbers().astype(float)
    vectors = TableVectors.learned(form, x)
    learner = Adversaries(
        Generator(vectors, 64, 256, 2), Critic(vectors, 256, 2), Lesson(), learning_rate=RATE
    )
    return _our_turns(learner, vectors.encode(x))


# The same in PyTorch -----------------------------------------------------------------------------


def _torch_turns(
    loss: Callable[[Any], Any], modules: Any, data: np.ndarray, compiler: Any = None
) -> Turn:
    """AdamW on minibatches, gradients of bounded length, and a moving average."""
    import torch

    rows = torch.from_numpy(data)
    weights = list(modules.parameters())
    average = [w.detach().clone() for w in weights]
    optimiser = torch.optim.AdamW(weights, lr=RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    loss = compiler(loss) if compiler else loss

    def turn(steps: int) -> None:
        for start in _starts(steps):
            optimiser.zero_grad()
            loss(rows[_order()[start : start + BATCH]]).backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, weights, 1e-3)

    return turn


def _starts(steps: int) -> list[int]:
    return [step * BATCH % (N_ROWS - BATCH) for step in range(steps)]


_ORDERS: list[Any] = []


def _order() -> Any:
    if not _ORDERS:
        import torch

        _ORDERS.append(torch.randperm(N_ROWS))
    return _ORDERS[0]


def _torch_autoencoder(compiler: Any = None) -> Turn:
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits

    def layers(*sizes: int) -> Any:
        found: list[Any] = []
        for n, m in pairwise(sizes):
            found += [nn.Linear(n, m), nn.SiLU()]
        return nn.Sequential(*found[:-1])

    encoder, decoder = layers(784, 500, 500, 100), layers(50, 500, 500, 784)

    def loss(shares: Any) -> Any:
        pixels = (torch.rand_like(shares) < shares).float()
        mean, log_width = encoder(pixels).chunk(2, dim=1)
        log_width = log_width.clamp(-8, 3)
        z = mean + log_width.exp() * torch.randn_like(mean)
        error = binary_cross_entropy_with_logits(decoder(z), pixels, reduction="none").sum(1)
        divergence = 0.5 * (mean**2 + (2 * log_width).exp() - 1 - 2 * log_width).sum(1)
        return (error + divergence).mean()

    return _torch_turns(loss, nn.ModuleList([encoder, decoder]), _pixels(), compiler)


def _torch_diffusion(compiler: Any = None) -> Turn:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width: int, told: int):
            super().__init__()
            self.norm = nn.LayerNorm(width)
            self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
            self.modulate = nn.Linear(told, 2 * width)

        def forward(self, x: Any, told: Any) -> Any:
            scale, shift = self.modulate(told).chunk(2, dim=1)
            h = self.norm(x) * (1 + scale) + shift
            return x + self.narrow(nn.functional.silu(self.widen(h)))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tell = nn.Linear(32, 128)
            self.enter, self.leave = nn.Linear(2 * N_COLUMNS, 384), nn.Linear(384, N_COLUMNS)
            self.blocks = nn.ModuleList(Block(384, 128) for _ in range(3))
            self.norm = nn.LayerNorm(384)
            waves = torch.linspace(np.log(0.15), np.log(6.0), 16).exp()
            self.register_buffer("waves", waves)

        def forward(self, x: Any, sigma: Any) -> Any:
            size = (sigma**2 + 1).sqrt()
            angles = sigma.log() * self.waves
            told = nn.functional.silu(self.tell(torch.cat([angles.sin(), angles.cos()], 1)))
            h = self.enter(torch.cat([x / size, 0.25 * sigma.log().expand_as(x)], 1))
            for block in self.blocks:
                h = block(h, told)
            out = self.leave(nn.functional.silu(self.norm(h)))
            return x / size**2 + sigma / size * out

    net = Net()

    def loss(rows: Any) -> Any:
        time_ = ((torch.arange(len(rows)) + torch.rand(len(rows))) / len(rows)).clamp(
            1e-6, 1 - 1e-6
        )
        sigma = (-0.5 + 1.3 * torch.special.ndtri(time_)).exp().clamp(0.01, 20)[:, None]
        said = net(rows + sigma * torch.randn_like(rows), sigma)
        return (((said - rows) ** 2) * (1 + 1 / sigma**2)).mean()

    return _torch_turns(loss, net, _numbers(), compiler)


def _torch_adversaries(compiler: Any = None) -> Turn:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width: int):
            super().__init__()
            self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

        def forward(self, x: Any) -> Any:
            bend = nn.functional.leaky_relu
            return x + self.narrow(bend(self.widen(bend(x, 0.2)), 0.2))

    def body(n: int, m: int) -> Any:
        return nn.Sequential(
            nn.Linear(n, 256), Block(256), Block(256), nn.LeakyReLU(0.2), nn.Linear(256, m)
        )

    generator, critic = body(64, N_COLUMNS), body(N_COLUMNS, 1)
    softplus = nn.functional.softplus
    rows = torch.from_numpy(_numbers())
    weights = list(generator.parameters())
    average = [w.detach().clone() for w in weights]
    optimisers = [torch.optim.Adam(m.parameters(), RATE, (0.0, 0.99)) for m in (generator, critic)]

    # The slopes of the critic have slopes of their own, which torch.compile does not do: only the
    # networks are compiled, and fall back to eager steps where it refuses.
    make, look = (compiler(generator), critic) if compiler else (generator, critic)

    def turn(steps: int) -> None:
        for start in _starts(steps):
            real = rows[_order()[start : start + BATCH]].requires_grad_(True)
            made = make(torch.randn(BATCH, 64))
            fake = made.detach().requires_grad_(True)
            said_real, said_fake = look(real), look(fake)
            (slope_real,) = torch.autograd.grad(said_real.sum(), real, create_graph=True)
            (slope_fake,) = torch.autograd.grad(said_fake.sum(), fake, create_graph=True)
            steep = (slope_real**2).sum(1) + (slope_fake**2).sum(1)
            optimisers[1].zero_grad()
            (softplus(said_fake - said_real).mean() + 0.5 * steep.mean()).backward()
            optimisers[0].zero_grad()
            for w in critic.parameters():
                w.requires_grad_(False)
            softplus(look(real).detach() - look(made)).mean().backward()
            for w in critic.parameters():
                w.requires_grad_(True)
            for optimiser in optimisers:
                optimiser.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, weights, 1e-3)

    return turn

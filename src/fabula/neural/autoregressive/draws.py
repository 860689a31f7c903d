"""Drawing sequences symbol by symbol, many at a time, with what was read kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from fabula.core.errors import DataError
from fabula.neural.autoregressive.chain import SpeakingChain
from fabula.neural.autoregressive.windows import SymbolCodes, boundary_of, log_shares, window_start

__all__ = ["Draws", "Rule"]

_MOST_ROWS = 256


@dataclass(frozen=True)
class Rule:
    """Among which symbols to draw, and how.

    Parameters
    ----------
    temperature, top_k, top_p
        As in `Autoregressive.sample_codes`.
    allowed : (S, C + 1) array of bool or callable, optional
        What may stand at each place, with the end in the last column; or what says so of the codes
        of a sequence so far.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    allowed: NDArray[np.bool_] | Callable[[SymbolCodes], NDArray[np.bool_]] | None = None


@dataclass(frozen=True)
class Draws:
    """A network, what it reads, and the rule by which symbols are drawn from what it tells.

    A chain may speak beside it.
    """

    module: Any
    n_symbols: int
    ends: bool
    context: int
    rule: Rule
    beside: SpeakingChain | None = None

    def go_on(
        self,
        begun: Sequence[SymbolCodes],
        max_lengths: NDArray[np.intp],
        told: NDArray[np.float32] | None,
        seed: int,
    ) -> list[SymbolCodes]:
        """The sequences with what was drawn after them, each no longer than its ``max_lengths``.

        Each sequence has random numbers of its own, whichever others are drawn beside it.
        """
        key = jax.random.key(seed)
        found: list[SymbolCodes] = []
        for low in range(0, len(begun), _MOST_ROWS):
            part = slice(low, low + _MOST_ROWS)
            rows = [np.asarray(codes, dtype=np.int64) for codes in begun[part]]
            found += self._go_on(
                rows, max_lengths[part], None if told is None else told[part], key, low
            )
        return found

    def _go_on(
        self,
        rows: list[SymbolCodes],
        max_lengths: NDArray[np.intp],
        told: NDArray[np.float32] | None,
        key: jax.Array,
        first: int,
    ) -> list[SymbolCodes]:
        done = np.array([len(row) for row in rows]) >= max_lengths
        while not done.all():
            live = np.flatnonzero(~done)
            window = self._window([rows[i] for i in live], max_lengths[live])
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(
                _fill(live + first, len(window["inputs"]))
            )
            condition = None
            if told is not None:
                condition = jnp.asarray(_fill(told[live], len(window["inputs"])))
            drawn, ended = self._run(
                window, keys, condition, [rows[i] for i in live], live + first + 1
            )
            for i, more, end in zip(live, drawn, ended, strict=True):
                rows[i] = np.concatenate([rows[i], more])
                done[i] = end or len(rows[i]) >= max_lengths[i]
        return rows

    def _window(self, rows: list[SymbolCodes], max_lengths: NDArray[np.intp]) -> dict[str, Any]:
        """What the network reads again of each sequence, before it goes on."""
        n = 1 << (len(rows) - 1).bit_length()  # few shapes have to be compiled
        inputs = np.zeros((n, self.context), dtype=np.int32)
        given, starts = np.ones(n, np.int32), np.zeros(n, np.int32)
        limits = np.zeros(n, np.int32)
        for i, row in enumerate(rows):
            start = window_start(len(row), self.context)
            begins = self.ends and not start
            inside = row[start:]
            inputs[i, 0] = boundary_of(self.n_symbols) if begins else self.n_symbols
            inputs[i, 1 : len(inside) + 1] = inside
            given[i], starts[i] = len(inside) + 1, start
            limits[i] = min(int(max_lengths[i]) - start, self.context)
        return {"inputs": inputs, "given": given, "starts": starts, "limits": limits}

    def _run(
        self,
        window: dict[str, Any],
        keys: jax.Array,
        told: jax.Array | None,
        rows: list[SymbolCodes],
        numbers: NDArray[np.intp],
    ) -> tuple[list[SymbolCodes], list[bool]]:
        """What was drawn until the window is full, and whether an end was.

        Errors speak of the sequences by their ``numbers``.
        """
        n_symbols, rule = self.n_symbols, self.rule
        settings = {
            "temperature": np.float32(rule.temperature),
            "top_k": np.int32(rule.top_k or n_symbols + 2),
            "top_p": np.float32(rule.top_p),
        }
        drawn: Any
        if callable(rule.allowed) or self.beside is not None:
            drawn, stuck = self._run_asking(window, keys, told, rows, settings)
        else:
            drawn, stuck = _run_window(
                self.module,
                window,
                keys,
                told,
                settings,
                _masks(rule.allowed, n_symbols),
                n_symbols,
                self.ends,
            )
        codes = np.asarray(drawn, dtype=np.int64)
        found, ended = [], []
        for i, row in enumerate(rows):
            new = codes[i][codes[i] >= 0]
            end = bool(len(new)) and new[-1] == boundary_of(n_symbols)
            new = new[: len(new) - end]
            if bool(stuck[i]):
                raise DataError(_nothing_allowed(int(numbers[i]), len(row) + len(new) + 1))
            found.append(new)
            ended.append(end)
        return found, ended

    def _run_asking(
        self,
        window: dict[str, Any],
        keys: jax.Array,
        told: jax.Array | None,
        rows: list[SymbolCodes],
        settings: dict[str, Any],
    ) -> tuple[Any, Any]:
        """The same, where a function or a chain has to be asked at each step."""
        n, context = window["inputs"].shape
        kept = self.module.begin(n, context)
        walk = None if self.beside is None else self.beside.walk(rows, n)
        masks_at = self._asked if callable(self.rule.allowed) else self._stated()
        so_far = list(rows)
        drawn = np.full((n, context), -1)
        done, stuck = np.arange(n) >= len(rows), np.zeros(n, dtype=bool)
        last = np.zeros(n, np.int32)
        for t in range(context):
            forced = t < window["given"]
            entering = np.where(forced, window["inputs"][:, t], last).astype(np.int32)
            live = ~done & (t + 1 >= window["given"]) & (t < window["limits"])
            if done.all() or not (live | forced).any():
                break
            masks = masks_at(window["starts"] + t, live, so_far)
            beside = None if walk is None else (np.float32(walk.share), walk.shares(live))
            kept, chosen, none_is_possible = _one_step(
                self.module,
                kept,
                np.int32(t),
                entering,
                told,
                keys,
                window["starts"] + t,
                settings,
                masks,
                self.n_symbols,
                self.ends,
                beside,
            )
            last, nothing = np.array(chosen), np.array(none_is_possible)
            stuck |= live & nothing
            done |= stuck
            live &= ~nothing
            drawn[live, t] = last[live]
            done |= live & (last == boundary_of(self.n_symbols))
            done |= live & (t + 1 >= window["limits"])
            for i in np.flatnonzero(live & ~done):
                so_far[i] = np.append(so_far[i], last[i])
                if walk is not None:
                    walk.go_on(int(i), int(last[i]))
        return drawn, stuck

    def _stated(self) -> Callable[..., NDArray[np.bool_]]:
        """What says which symbols are allowed (n, C + 2) at places, where that was said before."""
        masks = _masks(self.rule.allowed, self.n_symbols)
        return lambda places, live, so_far: masks[np.minimum(places, len(masks) - 1)]

    def _asked(
        self, places: NDArray[np.int32], live: NDArray[np.bool_], so_far: list[SymbolCodes]
    ) -> NDArray[np.bool_]:
        """The same, where each sequence has to be asked about."""
        allowed = self.rule.allowed
        assert callable(allowed)
        masks = np.ones((len(live), self.n_symbols + 1), dtype=bool)
        for i in np.flatnonzero(live):
            masks[i] = allowed(so_far[i])
        return _columns(masks)


@eqx.filter_jit
def _run_window(
    module: Any,
    window: dict[str, Any],
    keys: jax.Array,
    told: Any,
    settings: dict[str, Any],
    masks: Any,
    n_symbols: int,
    ends: bool,
) -> tuple[jax.Array, jax.Array]:
    """Draw until all rows ended or the window is full: codes (n, T), -1 where none was drawn."""
    n, context = window["inputs"].shape
    given, starts, limits = (jnp.asarray(window[key]) for key in ("given", "starts", "limits"))
    inputs = jnp.asarray(window["inputs"])

    def go_on(state: Any) -> Any:
        t, _, _, _, done, _ = state
        return (t < context) & ~done.all()

    def one(state: Any) -> Any:
        t, kept, last, drawn, done, stuck = state
        entering = jnp.where(t < given, inputs[:, t], last)
        rows = masks[jnp.minimum(starts + t, masks.shape[0] - 1)]
        kept, chosen, nothing = _step(
            module, kept, t, entering, told, keys, starts + t, settings, rows, n_symbols, ends
        )
        live = ~done & (t + 1 >= given)
        stuck = stuck | (live & nothing)
        drawn = drawn.at[:, t].set(jnp.where(live & ~nothing, chosen, -1))
        ended = (chosen == boundary_of(n_symbols)) | nothing | (t + 1 >= limits)
        return t + 1, kept, chosen, drawn, done | (live & ended), stuck

    start = (
        jnp.int32(0),
        module.begin(n, context),
        jnp.zeros(n, jnp.int32),
        jnp.full((n, context), -1, jnp.int32),
        limits <= 0,
        jnp.zeros(n, bool),
    )
    _, _, _, drawn, _, stuck = jax.lax.while_loop(go_on, one, start)
    return drawn, stuck


def _step(
    module: Any,
    kept: Any,
    t: Any,
    entering: Any,
    told: Any,
    keys: Any,
    places: Any,
    settings: dict[str, Any],
    masks: Any,
    n_symbols: int,
    ends: bool,
    beside: Any = None,
) -> tuple[Any, jax.Array, jax.Array]:
    """What is kept after one more symbol; the next one, and whether nothing was possible."""
    kept, scores = module.advance(kept, t, entering, told)
    logs = log_shares(scores, n_symbols, ends)
    if beside is not None:
        share, others = beside
        logs = jnp.log((1.0 - share) * jnp.exp(logs) + share * others)
    logs = jnp.where(masks, logs, -jnp.inf)
    nothing = ~jnp.isfinite(logs).any(axis=-1)
    keys = jax.vmap(jax.random.fold_in)(keys, places)
    return kept, _choose(logs, keys, settings), nothing


_one_step = eqx.filter_jit(_step)


def _choose(logs: jax.Array, keys: jax.Array, settings: dict[str, Any]) -> jax.Array:
    """A symbol for each row of log probabilities (n, V) that need not add up to 1."""
    temperature = settings["temperature"]
    best = jnp.argmax(logs, axis=-1)
    logs = jax.nn.log_softmax(logs / jnp.where(temperature > 0, temperature, 1.0), axis=-1)
    order = jnp.argsort(-logs, axis=-1, stable=True)
    shares = jnp.exp(jnp.take_along_axis(logs, order, axis=-1))
    rank = jnp.arange(logs.shape[-1])
    before = jnp.cumsum(shares, axis=-1) - shares
    kept = (rank < settings["top_k"]) & (before < settings["top_p"]) & (shares > 0)
    kept = kept.at[:, 0].set(True)
    sorted_logs = jnp.where(kept, jnp.take_along_axis(logs, order, axis=-1), -jnp.inf)
    place = jax.vmap(jax.random.categorical)(keys, sorted_logs)
    drawn = jnp.take_along_axis(order, place[:, None], axis=-1)[:, 0]
    return jnp.where(temperature > 0, drawn, best).astype(jnp.int32)


def _masks(allowed: Any, n_symbols: int) -> NDArray[np.bool_]:
    if allowed is None:
        allowed = np.ones((1, n_symbols + 1), dtype=bool)
    return _columns(np.asarray(allowed, dtype=bool))


def _columns(allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(S, C + 1) → (S, C + 2): a symbol that is not known is never drawn."""
    return np.insert(allowed, -1, False, axis=1)


def _fill(values: Any, n: int) -> Any:
    """``values`` with the first of them repeated, so that there are ``n``."""
    return np.concatenate([values, np.repeat(values[:1], n - len(values), axis=0)])


def _nothing_allowed(sequence: int, place: int) -> str:
    return (
        f"Nothing can be drawn at symbol {place} of sequence {sequence} (counting from 1): what is "
        "allowed there holds no symbol that the model knows, and no end that it could take."
    )

"""Questions about sequences: what `score`, `predict`, `forecast` and `sample` say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.cli._console import note, working
from fabula.cli._models import LoadedModel
from fabula.cli._output import TABLE_ENDINGS, check_output, write_frame, write_json, write_text
from fabula.cli._sequence_data import SequenceData, SequenceSource
from fabula.core.errors import CannotAnswerError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from fabula.cli._options import Reading

__all__ = [
    "forecast_sequences",
    "impute_sequences",
    "predict_sequences",
    "read_like",
    "sample_sequences",
    "score_sequences",
]

_LETTERS_IN_LINE = 60
_FASTA_ENDINGS = (".fa", ".fas", ".fasta", ".fna", ".ffn", ".faa")


def read_like(
    loaded: LoadedModel, source: SequenceSource, path: str, reading: Reading
) -> SequenceData:
    """Sequences in the form that the model was fitted to; a class they may have is left out."""
    data = source.read(path, reading)
    target = loaded.notes.get("target")
    if source.form == "table" and isinstance(target, str) and target in data.x.columns:
        data = source.read(path, reading, target=target)
    return data


def score_sequences(
    loaded: LoadedModel, source: SequenceSource, data: SequenceData, *, steps: bool
) -> pl.DataFrame:
    """Log density of each sequence, or with ``steps`` the surprise at each step."""
    import polars as pl

    if not steps:
        scores = np.asarray(loaded.estimator.score_samples(data.x))
        total, n = float(scores.sum()), data.n_steps
        note(
            f"Log density of {len(data.names):,} sequences: {total:.6g} nats, "
            f"{total / max(n, 1):.6g} a step."
        )
        return pl.DataFrame({"sequence": data.names, "steps": data.lengths, "log_density": scores})
    if not hasattr(loaded.estimator, "anomaly_scores"):
        raise CannotAnswerError(
            "score --steps",
            type(loaded.estimator).__name__,
            "each class has a chain of its own",
            ("hmm", "markov-chain", "autoregressive"),
        )
    surprise = loaded.estimator.anomaly_scores(data.x)
    return _with_steps(data, source, {"surprise": _flat(surprise)})


def predict_sequences(
    loaded: LoadedModel, source: SequenceSource, data: SequenceData, *, keep: bool
) -> pl.DataFrame:
    """The state of each step; of a model that knows classes, the class of each sequence."""
    import polars as pl

    estimator = loaded.estimator
    if loaded.classifies:
        probabilities = estimator.predict_proba(data.x)
        labels = [estimator.classes_.tolist()[k] for k in probabilities.argmax(axis=1)]
        columns: dict[str, Any] = {"sequence": data.names, f"predicted_{loaded.target}": labels}
        for k, name in enumerate(loaded.class_names):
            columns[f"p_{name}"] = probabilities[:, k]
        _say_how_good(loaded, data, labels)
        return pl.DataFrame(columns)
    if not hasattr(estimator, "decode"):
        raise CannotAnswerError(
            "predict",
            type(estimator).__name__,
            "it has no hidden states, and was fitted without classes",
            ("hmm",),
        )
    states, posterior = _flat(estimator.predict(data.x)), _flat(estimator.predict_proba(data.x))
    names = estimator.state_names_ or range(posterior.shape[1])
    columns = {"state": states.tolist()}
    columns.update({f"p_{name}": posterior[:, k] for k, name in enumerate(names)})
    if keep and source.form == "table":
        frame: pl.DataFrame = data.x.hstack(pl.DataFrame(columns))
        return frame
    return _with_steps(data, source, columns)


def forecast_sequences(
    loaded: LoadedModel, data: SequenceData, steps: int, interval: float
) -> pl.DataFrame:
    """Means and intervals of the next steps of each sequence; of symbols, probabilities."""
    import polars as pl

    if not hasattr(loaded.estimator, "forecast"):
        raise CannotAnswerError(
            "forecast",
            type(loaded.estimator).__name__,
            "it is about what follows in a sequence of numbers",
            ("hmm",),
        )
    told = loaded.estimator.forecast(data.x, steps, interval=interval)
    columns: dict[str, Any] = {
        "sequence": np.repeat(np.array(data.names, dtype=object), steps).tolist(),
        "ahead": np.tile(np.arange(1, steps + 1), len(data.names)),
    }
    for j, name in enumerate(told.columns):
        if np.isnan(told.mean[..., j]).all():
            continue  # a category, whose levels follow
        columns[str(name)] = told.mean[..., j].ravel()
        columns[f"{name}_low"] = told.lower[..., j].ravel()
        columns[f"{name}_high"] = told.upper[..., j].ravel()
    for name, shares in told.probabilities.items():
        for c, level in enumerate(told.levels[name]):
            label = str(level) if name == "symbols" else f"{name}={level}"
            columns[f"p_{label}"] = shares[..., c].ravel()
    return pl.DataFrame(columns)


def sample_sequences(
    loaded: LoadedModel,
    source: SequenceSource,
    *,
    n: int,
    steps: int | None,
    choice: Mapping[str, Any],
    given: list[str] | None,
    states: bool,
    output: str | None,
    seed: int | None,
    json: bool,
    force: bool,
) -> None:
    """Draw sequences, and write them in the form in which they came.

    Parameters
    ----------
    choice
        Options of models of symbols: prefix, temperature, top_p, top_k.
    given
        Of a network that was told classes: class=value.
    """
    tables = source.form in ("table", "sound") and not json
    check_output(output, force=force, endings=TABLE_ENDINGS if tables else ())
    estimator = loaded.estimator
    chain = hasattr(estimator, "predict_next")
    if not chain and choice:
        raise UsageError(
            "--prefix, --temperature, --top-p and --top-k go with --model markov-chain and "
            "autoregressive."
        )
    told = chain and loaded.classifies
    if given and not told:
        raise UsageError(
            "--given is for tables of independent rows, and for --model autoregressive with "
            "classes."
        )
    members: Any = None
    with working("Drawing"):
        options: dict[str, Any]
        if chain:
            options = {**choice} if steps is None else {**choice, "max_length": steps}
            if told:
                members = _classes_to_draw(loaded, n, given, seed)
                options["condition"] = members.tolist()
            drawn = estimator.sample(n, random_state=seed, **options)
        elif loaded.classifies:
            options = {"n_steps": 100 if steps is None else steps}
            if all(getattr(story, "ends", False) for story in loaded.storyteller.story_.stories):
                options = {} if steps is None else {"max_length": steps}
            drawn, members = estimator.sample(n, seed, **options)
        else:
            drawn, members = estimator.sample(n, 100 if steps is None else steps, random_state=seed)
    if source.form in ("text", "letters"):
        texts = [part if isinstance(part, str) else "".join(part) for part in drawn]
        labels = None if members is None or not loaded.classifies else members.tolist()
        _write_texts(texts, labels, source, output, json, force)
        return
    frame, lengths = _as_frame(drawn, source, n)
    if loaded.classifies:
        frame = _with_column(frame, loaded.target, np.repeat(members, lengths).tolist())
    elif states:
        frame = _with_column(frame, "state", _flat(members).tolist())
    write_frame(frame, output, force=force, json=json)


def _classes_to_draw(
    loaded: LoadedModel, n: int, given: list[str] | None, seed: int | None
) -> np.ndarray:
    """The class that was given, or one for each sequence as frequent as in the data."""
    estimator, classes = loaded.estimator, loaded.estimator.classes_
    if not given:
        rng = np.random.default_rng(seed)
        return np.asarray(rng.choice(classes, n, p=estimator.story_.class_prior))
    name, sign, value = given[0].partition("=")
    if len(given) > 1 or not sign or name != loaded.target or value not in loaded.class_names:
        raise UsageError(
            f"--given {' '.join(given)}: of these sequences only the class can be given, as "
            f"{loaded.target}=… with one of {', '.join(loaded.class_names)}."
        )
    return np.repeat(classes[loaded.class_names.index(value)], n)


def impute_sequences(
    loaded: LoadedModel,
    source: SequenceSource,
    path: str,
    reading: Reading,
    *,
    how: str,
    draws: int | None,
    seed: int | None,
    output: str | None,
    json: bool,
    force: bool,
) -> None:
    """Fill unknown letters, and write FASTA; what was known stays as it stands in the file."""
    if source.form != "letters":
        raise UsageError(
            "Empty cells of tables and unknown letters of FASTA can be filled in; "
            f"{'lines of text have' if source.form == 'text' else 'sound has'} neither."
        )
    if not hasattr(loaded.estimator, "impute"):
        raise CannotAnswerError(
            "impute",
            type(loaded.estimator).__name__,
            "it needs every symbol before a step, so it cannot look across a gap",
            ("hmm",),
        )
    check_output(output, force=force, endings=() if json else _FASTA_ENDINGS)
    data = source.read(path, reading)
    assert data.texts is not None
    with working("Filling in"):
        filled = loaded.estimator.impute(data.x, how, draws, random_state=seed)
    n_unknown = sum(part.count(None) for part in data.x)
    note(f"Filled {n_unknown:,} of {data.n_steps:,} letters, which were {data.unknown}.")
    texts, names = [], []
    for i, parts in enumerate([filled] if draws is None else filled):
        texts += [_filled(*each) for each in zip(data.texts, data.x, parts, strict=True)]
        names += [name if draws is None else f"{name}_draw{i + 1}" for name in data.names]
    if json:
        rows = [{"name": name, "text": t} for name, t in zip(names, texts, strict=True)]
        write_json(rows, output, force=force)
        return
    lines: list[str] = []
    for name, text in zip(names, texts, strict=True):
        lines += _fasta_lines(name, text)
    write_text("\n".join(lines), output, force=force)


def _write_texts(
    texts: list[str],
    labels: list[Any] | None,
    source: SequenceSource,
    output: str | None,
    json: bool,
    force: bool,
) -> None:
    tags = [""] * len(texts) if labels is None else [str(label) for label in labels]
    if json:
        rows = [{"text": t, "class": c or None} for t, c in zip(texts, tags, strict=True)]
        write_json(rows, output, force=force)
        return
    if source.form == "text":
        lines = [t if labels is None else f"{c}\t{t}" for t, c in zip(texts, tags, strict=True)]
    else:
        lines = []
        for i, (text, tag) in enumerate(zip(texts, tags, strict=True)):
            lines += _fasta_lines(f"sample_{i + 1} {tag}".rstrip(), text)
    write_text("\n".join(lines), output, force=force)


def _filled(text: str, letters: list[str | None], found: Any) -> str:
    """What was known as it stood, in its own case; what was not, in that of its place-holder."""
    return "".join(
        here if letter is not None else (new.lower() if here.islower() else new)
        for here, letter, new in zip(text, letters, found, strict=True)
    )


def _fasta_lines(header: str, text: str) -> list[str]:
    rows = range(0, len(text), _LETTERS_IN_LINE)
    return [f">{header}", *(text[at : at + _LETTERS_IN_LINE] for at in rows)]


def _as_frame(drawn: Any, source: SequenceSource, n: int) -> tuple[pl.DataFrame, list[int]]:
    """The steps of ``n`` sequences that were drawn, and how many there are of each."""
    import polars as pl

    if isinstance(drawn, pl.DataFrame):
        if source.sequence is not None:
            sizes = drawn.group_by(source.sequence, maintain_order=True).len()["len"]
            return drawn, sizes.to_list()
        frame, lengths = drawn, [len(drawn) // n] * n
        if n == 1:
            return frame, lengths
    else:
        if isinstance(drawn, np.ndarray):
            drawn = np.split(drawn, n)  # of one length all
        lengths = [len(part) for part in drawn]
        if isinstance(drawn[0], pl.DataFrame):
            frame = pl.concat(drawn)
        else:
            steps = np.concatenate([np.asarray(part).reshape(len(part), -1) for part in drawn])
            frame = pl.DataFrame(steps, schema=[f"feature_{j + 1}" for j in range(steps.shape[1])])
    number = pl.Series("sequence", np.repeat(np.arange(1, n + 1), lengths))
    return frame.select(number, pl.all()), lengths


def _with_column(frame: pl.DataFrame, name: str, values: list[Any]) -> pl.DataFrame:
    import polars as pl

    while name in frame.columns:
        name = f"{name}_"
    return frame.with_columns(pl.Series(name, values))


def _with_steps(
    data: SequenceData, source: SequenceSource, columns: dict[str, Any]
) -> pl.DataFrame:
    """Answers a step, with what says which step it is: the table's own columns, or numbers."""
    import polars as pl

    if source.form == "table":
        own = [name for name in (source.sequence, source.time) if name is not None]
        steps = data.x.select(own) if own else pl.DataFrame({"step": range(1, data.n_steps + 1)})
        frame: pl.DataFrame = steps.hstack(pl.DataFrame(columns))
        return frame
    places = {
        "sequence": np.repeat(np.array(data.names, dtype=object), data.lengths).tolist(),
        "step": np.concatenate([np.arange(1, length + 1) for length in data.lengths]),
    }
    return pl.DataFrame({**places, **columns})


def _flat(values: Any) -> np.ndarray:
    """One array of all steps."""
    return np.concatenate(values) if isinstance(values, list) else np.asarray(values)


def _say_how_good(loaded: LoadedModel, data: SequenceData, predicted: list[Any]) -> None:
    from fabula.report import as_text, percent, plural

    pairs = [
        (truth, label)
        for truth, label in zip(data.labels or (), predicted, strict=False)
        if truth is not None
    ]
    if pairs:
        right = sum(as_text(truth) == as_text(label) for truth, label in pairs)
        note(
            f"{plural(len(pairs), 'sequence')} of DATA have a label; the prediction agrees with "
            f"{percent(right / len(pairs))} of them."
        )

"""``fabula align``: pairs of related sequences, and how sure their alignments are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from fabula.cli._console import note, working
from fabula.cli._models import load_model, save_model
from fabula.cli._options import Force, Seed, Threads, limited_threads
from fabula.cli._output import check_output, write_text
from fabula.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from fabula.sequences import Record

__all__ = ["align"]

_PICTURES = (".png", ".svg", ".pdf")
# Distance between two sequences of which nothing was said: a middling one aligns near and far.
_DISTANCE = 0.2
_MOST_CELLS = 100_000_000


def align(
    a: str,
    b: str,
    /,
    *,
    model: Annotated[
        str | None,
        Parameter(help="Model file from an earlier `fabula align --train --save`, or from Python."),
    ] = None,
    alphabet: Annotated[
        Literal["dna", "rna", "protein"], Parameter(help="What the letters are.")
    ] = "dna",
    substitution: Annotated[
        Literal["jc69", "k80", "hky85", "none"] | None,
        Parameter(
            help="How letters change: Jukes-Cantor, Kimura, Hasegawa-Kishino-Yano; or none, to "
            "learn every probability (with --train). hky85 for DNA by default."
        ),
    ] = None,
    distance: Annotated[
        float | None,
        Parameter(help="Substitutions per site between the two, where it is not learned; 0.2."),
    ] = None,
    train: Annotated[
        bool,
        Parameter(show_default=False, help="Learn the model from these pairs, unaligned, first."),
    ] = False,
    save: Annotated[str | None, Parameter(help="File to write the trained model to.")] = None,
    ends: Annotated[
        Literal["global", "read", "local", "overlap"],
        Parameter(
            help="What may lie outside: nothing; ends of A (B is a read); of both at both ends; "
            "of one of them at either end."
        ),
    ] = "global",
    method: Annotated[
        Literal["viterbi", "posterior"],
        Parameter(
            help="The most probable alignment, or the one with most columns expected to be right."
        ),
    ] = "posterior",
    format: Annotated[
        Literal["text", "fasta", "cigar", "paf", "json"], Parameter(help="How to write it.")
    ] = "text",
    posterior: Annotated[
        str | None,
        Parameter(
            help="Picture (.png, .svg, .pdf) of the posterior of all matches, of the first pair."
        ),
    ] = None,
    samples: Annotated[
        int | None,
        Parameter(help="Draw so many alignments, and say in how many of them each column stands."),
    ] = None,
    rotate: Annotated[
        bool,
        Parameter(
            show_default=False,
            help="The sequences are circles: turn those of A to begin where those of B do.",
        ),
    ] = False,
    band: Annotated[
        int | None,
        Parameter(help="Only alignments within so many letters of the diagonal: long sequences."),
    ] = None,
    output: Annotated[
        str | None, Parameter(("--output", "-o"), help="File to write; standard output without.")
    ] = None,
    seed: Seed = 0,
    threads: Threads = None,
    force: Force = False,
) -> None:
    """Align the sequences of two FASTA or FASTQ files, and say how sure every column is.

    Record 1 of A goes with record 1 of B, and so on; where one file has a single record, it goes
    with all of the other. How probable it is that the two are related at all is said on standard
    error, with the distance between them where the model knows evolution.

    Parameters
    ----------
    a, b
        Files of sequences, compressed or not.
    """
    check_output(output, force=force)
    check_output(posterior, force=force, endings=_PICTURES, binary=True)
    check_output(save, force=force, binary=True)
    _check_options(model, train, save, substitution, distance, samples, alphabet)
    with limited_threads(threads):
        xs, ys = _paired(a, b)
        if rotate:
            xs = [_turned(x, y) for x, y in zip(xs, ys, strict=True)]
        length = sum(len(record.sequence) for record in (*xs, *ys)) / (2 * len(xs))
        estimator = _model(model, alphabet, substitution, distance, train, ends, band, length)
        if train:
            with working("Learning"):
                estimator.fit(xs, ys)
            _say_estimates(estimator)
        if save is not None:
            save_model(
                estimator,
                save,
                {"data": f"{a} and {b}", "rows": len(xs), "unit": "pairs"},
                force=force,
            )
            note(f"Wrote {save}.")
        with working("Aligning"):
            alignments = [estimator.align(x, y, method) for x, y in zip(xs, ys, strict=True)]
            odds = estimator.log_odds(xs, ys)
        drawn: list[list[Any]] = []
        for i, alignment in enumerate(alignments):
            _say(alignment, float(odds[i]))
            if samples is not None:
                with working("Sampling"):
                    paths = estimator.sample_alignments(xs[i], ys[i], samples, random_state=seed)
                _say_samples(alignment, paths)
                drawn.append(paths)
        if posterior is not None:
            _draw(
                estimator, xs[0], ys[0], alignments[0], drawn[0] if drawn else [], posterior, force
            )
    between = "\n\n" if format == "text" else "\n"
    write_text(
        between.join(_written(alignment, format) for alignment in alignments), output, force=force
    )


def _check_options(
    model: str | None,
    train: bool,
    save: str | None,
    substitution: str | None,
    distance: float | None,
    samples: int | None,
    alphabet: str,
) -> None:
    if model is not None and (train or substitution is not None or distance is not None):
        raise UsageError("--model is a model that is ready: it does not go with what makes one.")
    if save is not None and not train:
        raise UsageError("--save writes what --train learned: give both.")
    if train and distance is not None:
        raise UsageError("--distance is for models that are not learned; --train finds it.")
    if distance is not None and not 0 < distance < 10:
        raise UsageError(f"--distance is {distance}, expected substitutions per site above 0.")
    if samples is not None and samples < 1:
        raise UsageError(f"--samples is {samples}, expected 1 or more.")
    if alphabet == "protein" and substitution not in (None, "none"):
        raise UsageError(f"--substitution {substitution} is for DNA and RNA.")
    if substitution == "none" and not train:
        raise UsageError("--substitution none knows nothing before --train.")


def _paired(a: str, b: str) -> tuple[list[Record], list[Record]]:
    from fabula.sequences import read_sequences

    xs, ys = read_sequences(a), read_sequences(b)
    if len(xs) == 1:
        xs = xs * len(ys)
    if len(ys) == 1:
        ys = ys * len(xs)
    if len(xs) != len(ys):
        raise DataError(
            f"{a} has {len(xs)} records and {b} {len(ys)}: expected as many in both, or one in one."
        )
    return xs, ys


def _turned(x: Record, y: Record) -> Record:
    from dataclasses import replace

    from fabula.sequences.rotation import best_rotation, rotate

    found = best_rotation(x.sequence, y.sequence)
    note(f"{x.name} begins at its letter {found.offset + 1:,} to meet {y.name}.")
    return replace(x, sequence=rotate(x.sequence, found.offset), qualities=None)


def _model(
    path: str | None,
    alphabet: str,
    substitution: str | None,
    distance: float | None,
    train: bool,
    ends: Any,
    band: int | None,
    length: float,
) -> Any:
    from fabula.estimators.pair_hidden_markov_model import PairHiddenMarkovModel

    if path is not None:
        found = load_model(path, pairs=True).estimator
        if not isinstance(found, PairHiddenMarkovModel):
            raise UsageError(f"{path} holds a {type(found).__name__}, no model of pairs.")
        return found
    options: dict[str, Any] = {"alphabet": alphabet, "ends": ends, "band": band}
    if alphabet == "protein":
        if train:
            return PairHiddenMarkovModel(**options)
        return PairHiddenMarkovModel.from_scores(5.0, -2.0, -10.0, -1.0, length=length, **options)
    if substitution == "none":
        return PairHiddenMarkovModel(**options)
    name: Any = substitution or "hky85"
    if train:
        return PairHiddenMarkovModel(substitution=name, **options)
    stated = _DISTANCE if distance is None else distance
    return PairHiddenMarkovModel.from_evolution(name, distance=stated, length=length, **options)


def _say_estimates(estimator: Any) -> None:
    for name, (value, low, high) in getattr(estimator, "estimates_", {}).items():
        note(f"{name}: {value:.4g}, 95 % interval {low:.4g} to {high:.4g}.")


def _say(alignment: Any, log_odds: float) -> None:
    from fabula.report import percent
    from fabula.sequences.alignment import MATCH

    x, y = alignment.names
    related = "related" if log_odds > 0 else "independent"
    said = "no letters are aligned"
    if len(alignment):
        said = f"{len(alignment):,} column" + "s" * (len(alignment) > 1)
    if (alignment.path == MATCH).any():
        said += f", {percent(alignment.identity)} of the letters that stand together are the same"
    note(f"{x}, {y}: {said}; log odds {log_odds:+.4g} nats, so rather {related}.")


def _say_samples(alignment: Any, drawn: Any) -> None:
    import numpy as np

    from fabula.estimators.pairs.alignments import shared_columns
    from fabula.report import percent

    different = len({(each.starts, each.cigar()) for each in drawn})
    said = f"Of {len(drawn):,} sampled alignments {different:,} differ"
    if len(alignment):
        with_it = np.asarray(shared_columns([alignment, *drawn])[0].confidence)
        share = (with_it * (len(drawn) + 1) - 1) / len(drawn)
        said += (
            f"; a column of this one stands in {percent(float(share.mean()))} of them on average, "
            f"the least certain in {percent(float(share.min()))}"
        )
    note(f"{said}.")


def _draw(
    estimator: Any, x: Any, y: Any, alignment: Any, drawn: list[Any], path: str, force: bool
) -> None:
    from fabula.plots.alignment import alignment_posterior
    from fabula.plots.files import save

    cells = len(x) * len(y)
    if cells > _MOST_CELLS:
        raise UsageError(
            f"--posterior: {cells:,} pairs of letters are more than can be drawn ({_MOST_CELLS:,})."
        )
    with working("Drawing"):
        matrix = estimator.posterior_matrix(x, y)
        title = f"{alignment.names[0]} and {alignment.names[1]}"
        save(alignment_posterior(matrix, alignment, samples=drawn, title=title), path, force)
    note(f"Wrote {path}.")


def _written(alignment: Any, format: str) -> str:
    match format:
        case "fasta":
            return str(alignment.to_fasta()).rstrip("\n")
        case "cigar":
            return str(alignment.cigar()) or "*"
        case "paf":
            return str(alignment.to_paf())
        case "json":
            return str(alignment.to_json())
        case _:
            return str(alignment.to_text()) or f"{' and '.join(alignment.names)}: not aligned"

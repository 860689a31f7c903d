"""Images on the command line: fitted, asked about, drawn and written."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.cli._console import note, working
from fabula.cli._models import LoadedModel, make_estimator
from fabula.cli._output import check_output, write_frame
from fabula.core.errors import CannotAnswerError, DataError, UsageError

if TYPE_CHECKING:
    from fabula.tables.images import Images

__all__ = [
    "IMAGE_MODELS",
    "draw_images",
    "fit_images",
    "is_of_images",
    "predict_images",
    "rate_draws",
    "read_images_for",
    "sample_images",
    "score_images",
    "takes_images",
    "tell_progress",
]

IMAGE_MODELS = ("vae", "gan", "diffusion")
"""Models that take images as well as tables."""

_ARRAYS = (".npz",)
_PICTURES = (".png", ".svg", ".pdf")

# Fewer rows have too few neighbours to say what draws leave out.
_FEWEST_TO_COVER = 5
_MOST_RATED = 1000


def takes_images(data: str, model: str) -> bool:
    """Whether ``data`` are images; UsageError where the model is for something else."""
    from fabula.tables.images import is_image_path

    if data == "-" or not is_image_path(data):
        return False
    if model not in IMAGE_MODELS:
        raise UsageError(
            f"{data} holds images: say --model {' or '.join(IMAGE_MODELS)}, which take them."
        )
    return True


def is_of_images(loaded: LoadedModel) -> bool:
    """Whether a model is one of images."""
    return bool(getattr(loaded.estimator, "images_", False))


def fit_images(
    model: str,
    data: str,
    *,
    with_classes: bool,
    components: int | None,
    seed: int | None,
    settings: Sequence[str],
    further: Mapping[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """A model of the images in a file or folder, and what there is to say about it."""
    from fabula.report.parameters import name_model
    from fabula.tables.images import read_images

    with working("Reading"):
        images = read_images(data)
    labels = images.labels
    if with_classes and labels is None:
        raise DataError(
            f"{data} names no classes: expected an array 'labels' beside the images, or a folder "
            "for each class."
        )
    estimator = make_estimator(
        model, numeric=True, components=components, seed=seed, settings=settings, further=further
    )
    start = time.perf_counter()
    with working("Fitting") as say:
        estimator._on_progress = tell_progress(say)
        estimator.fit(images.pixels, np.array(labels) if with_classes else None)
    known = np.array(labels)[:_MOST_RATED] if with_classes else None
    scored = rate_draws(estimator, images.pixels[:_MOST_RATED], known)
    classes = None
    if with_classes:
        names, counts = np.unique(np.array(labels), return_counts=True)
        classes = {str(name): int(k) for name, k in zip(names, counts, strict=True)}
    return estimator, {
        "model": name_model(estimator),
        "why": None,
        "rows": len(images.pixels),
        "missing_cells": 0,
        "cells": int(images.pixels.size),
        "classes": classes,
        "unlabelled": 0 if with_classes else None,
        **scored,
        "columns": len(estimator.columns_.names),
        "components": None,
        "states": None,
        "n_parameters": estimator.n_parameters,
        "converged": bool(estimator.report_.converged),
        "iterations": int(estimator.report_.n_iterations),
        "seconds": round(time.perf_counter() - start, 3),
    }


def rate_draws(estimator: Any, X: Any, labels: Any) -> dict[str, Any]:
    """How well a model tells rows: their mean log density, or what its draws leave out of them.

    ``labels`` are the classes of the rows, None where there are no classes.
    """
    kind = estimator.density_kind
    if kind != "implicit":
        mean = float(estimator.score_samples(X).mean())
        return {"mean_log_density": mean, "density_kind": kind}
    found: dict[str, Any] = {"mean_log_density": None, "density_kind": kind}
    if len(X) <= _FEWEST_TO_COVER:
        return found
    coverage = estimator.mode_coverage(X, labels)
    return {**found, "mode_coverage": coverage.to_dict(), "draws": str(coverage)}


def tell_progress(say: Any) -> Any:
    """What the training loop calls: how far it is, the loss, and the time left."""

    def tell(done: float, loss: float, left: float) -> None:
        rest = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
        say(f"{done:.0%} of the steps, loss {loss:.4g}, {rest} left")

    return tell


def read_images_for(loaded: LoadedModel, data: str) -> Images:
    """Images that a model is asked about."""
    from fabula.tables.images import is_image_path, read_images

    if not is_image_path(data):
        raise UsageError(
            f"The model is one of images, and {data} is none: expected .npz, .npy or a folder of "
            "pictures."
        )
    return read_images(data)


def score_images(loaded: LoadedModel, data: str, output: str | None, **options: bool) -> None:
    """Write the bound of the log density of each image, and its bits per pixel."""
    import polars as pl

    images = read_images_for(loaded, data)
    with working("Scoring"):
        scores = loaded.estimator.score_samples(images.pixels)
    pixels = int(np.prod(images.pixels.shape[1:]))
    bits = -scores / np.log(2.0) / pixels
    note(
        f"Mean bound of the log density of {len(scores):,} images: {scores.mean():.6g} nats "
        f"({bits.mean():.4g} bits a pixel)."
    )
    table = {"image": images.names, "log_density": scores, "bits_per_pixel": bits}
    write_frame(pl.DataFrame(table), output, **options)


def predict_images(loaded: LoadedModel, data: str, output: str | None, **options: bool) -> None:
    """Write the class of each image, or the component of the prior, and how sure it is."""
    import polars as pl

    images = read_images_for(loaded, data)
    with working("Predicting"):
        probabilities = loaded.estimator.predict_proba(images.pixels)
    best = probabilities.argmax(axis=1)
    columns: dict[str, Any] = {"image": images.names}
    columns[f"predicted_{loaded.target}"] = [loaded.labels[k] for k in best]
    for k, name in enumerate(loaded.class_names):
        columns[f"p_{name}"] = probabilities[:, k]
    if loaded.classifies and images.labels is not None:
        known = [str(loaded.labels[k]) for k in best]
        right = np.mean([a == str(b) for a, b in zip(known, images.labels, strict=True)])
        note(f"{data} has labels; the prediction agrees with {right:.1%} of them.")
    write_frame(pl.DataFrame(columns), output, **options)


def sample_images(loaded: LoadedModel, n: int, output: str | None, seed: Any, force: bool) -> None:
    """Draw images, and write them as arrays or as a picture."""
    if output is None or not output.lower().endswith((*_ARRAYS, *_PICTURES)):
        raise UsageError(
            "The model draws images: say where to, with --output FILE that ends in "
            f"{', '.join((*_ARRAYS, *_PICTURES))}."
        )
    check_output(output, force=force, binary=True)
    with working("Drawing"):
        images, members = loaded.estimator.sample(n, seed)
    if output.lower().endswith(_ARRAYS):
        from pathlib import Path

        from fabula.core.files import whole_file

        extra = {"labels": members} if loaded.classifies else {}
        with whole_file(Path(output), force=force) as stream:
            np.savez_compressed(stream, images=images, **extra)
    else:
        from fabula.plots import save
        from fabula.plots.neural import image_grid

        save(image_grid(images), output, force)
    note(f"Wrote {output} ({os.path.getsize(output):,} bytes).")


def draw_images(
    loaded: LoadedModel, data: str | None, kind: str, output: str, seed: int, force: bool
) -> None:
    """Pictures of a network, most of them of one of images.

    Raises
    ------
    UsageError
        The model is no network or not one of images, or the images it is about are not named.
    """
    from fabula.plots import save
    from fabula.plots.neural import (
        image_grid,
        latent_map,
        loss_traces,
        reconstructions,
        traversal,
    )

    model = loaded.estimator
    if not hasattr(model, "_on_progress") or (kind != "losses" and not is_of_images(loaded)):
        what = "a network" if kind == "losses" else "images"
        raise UsageError(f"--kind {kind} is for models of {what} (--model vae, gan or diffusion).")
    if kind not in ("samples", "losses") and not hasattr(model, "transform"):
        raise CannotAnswerError(
            f"plot --kind {kind}", type(model).__name__, "it has no latents", ("vae",)
        )
    if kind == "latent" and model.density_kind == "implicit":
        raise CannotAnswerError(
            f"plot --kind {kind}", type(model).__name__, "it has no encoder", ("vae",)
        )
    if data is None and kind not in ("samples", "losses"):
        raise UsageError(f"--kind {kind} needs DATA, the images that it is about.")
    data = data or ""
    with working("Drawing"):
        if kind == "samples":
            figure = image_grid(model.sample(64, seed)[0], title="Images drawn from the model")
        elif kind == "losses":
            report = model.report_
            figure = loss_traces(
                report.losses, report.steps, report.validation, report.best_step, title="Training"
            )
        elif kind == "traversal":
            values = np.linspace(-2.5, 2.5, 9)
            told, of_class = {}, ""
            if loaded.classifies:
                most = int(np.argmax(model.class_prior_))
                told, of_class = {"y": loaded.labels[most]}, f", class {loaded.class_names[most]}"
            spread = _uses(loaded, data, told)
            used = [int(j) for j in np.argsort(-spread)[:10] if spread[j] > 0.1 * spread.max()]
            figure = traversal(
                [model.traverse(int(j), len(values), **told) for j in used],
                values.tolist(),
                [f"latent {j + 1}" for j in used],
                title=f"Along the latent dimensions that are used most{of_class}",
            )
        else:
            images = read_images_for(loaded, data)
            if kind == "reconstructions":
                some = images.pixels[:12]
                classes = {}
                if images.labels is not None and _has_to_be_told(loaded):
                    classes = {"y": images.labels[:12]}
                kept = model.reconstruct(some, **classes)
                figure = reconstructions(some, kept, title="What is kept")
            else:
                pixels = images.pixels[:2000]
                labels = None if images.labels is None else images.labels[:2000]
                figure = latent_map(model.transform(pixels), labels, title="Latents of the images")
        save(figure, output, force)
    note(f"Wrote {output}.")


def _has_to_be_told(loaded: LoadedModel) -> bool:
    """A generator has to be told the class of what it looks for."""
    return bool(loaded.classifies and loaded.estimator.density_kind == "implicit")


def _uses(loaded: LoadedModel, data: str, told: Mapping[str, Any]) -> np.ndarray:
    """How much each latent dimension is used, (Z,)."""
    model = loaded.estimator
    if model.density_kind == "implicit":
        n = model.story_.shape.n_latent
        ends = [np.asarray(model.traverse(j, 2, **told), dtype=np.float64) for j in range(n)]
        return np.array([np.abs(high - low).mean() for low, high in ends])
    # What the encoder says of a latent that is not used is the same for every image.
    latents = model.transform(read_images_for(loaded, data).pixels[:1000])
    return np.asarray(np.std(latents, axis=0))

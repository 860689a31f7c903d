"""What a network is, for people: its latents, its layers, and how it was trained."""

from __future__ import annotations

from typing import Any

from fabula.report.sentences import number, plural

__all__ = ["describe_network"]


def describe_network(model: Any) -> list[str]:
    """Lines about a fitted estimator whose story is a network."""
    shape, report = model.story_.network.architecture, model.report_
    lines = []
    if hasattr(shape, "n_latent") and not hasattr(shape, "prior"):
        lines.append(f"{plural(shape.n_latent, 'latent')} with the prior a standard normal")
    elif hasattr(shape, "n_latent"):
        prior = (
            "a standard normal"
            if shape.prior == "normal"
            else (
                f"{plural(shape.n_components, 'normal')} that "
                f"{'were' if shape.n_components > 1 else 'was'} learned"
                if shape.prior == "mixture"
                else f"the posteriors of {plural(shape.n_components, 'pseudo-row')}"
            )
        )
        widths = " - ".join(str(width) for width in shape.widths) or "none"
        lines.append(f"{plural(shape.n_latent, 'latent')} with the prior {prior}; layers {widths}")
    beside = getattr(model.story_, "beside", None)
    if beside is not None:
        lines.append(
            f"a Markov chain of order {beside.chain.order} speaks beside it, with a share of "
            f"{beside.share:.0%}"
        )
    kept = f", kept after {report.best_step:,}" if report.best_step != report.n_steps else ""
    lines.append(
        f"trained for {plural(report.n_steps, 'step')}{kept}, {number(report.seconds, 3)} s: "
        f"{report.reason}"
    )
    if report.validation:
        lines.append(f"loss on held-out rows: {number(min(report.validation), 4)} nats")
    lines.append(f"density: {model.density_kind}")
    return lines

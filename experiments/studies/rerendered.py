r"""Programs drawn again, larger and with other brushes (S6).

  python -m experiments.studies.rerendered --max_minutes=60
  python -m experiments.studies.rerendered --notrain --runs=runs/unconditional_mnist

Trains one unconditional MNIST agent, or takes that of the study unconditional_mnist, and
draws what it drew again at 256 px, with its own brush and with libmypaint's. The picture
shows the canvases as the agent left them, enlarged, and each of these below; the bars how
crisp they are: of what is not paper, the share that is neither paper nor ink.
"""

from typing import Any

import numpy as np
from PIL import Image

from experiments.curves import make_figure, plot_curve
from experiments.drawings import redraw
from experiments.studies.study import (
    COLUMNS,
    Options,
    Study,
    Trained,
    run_study,
    save_rows,
)
from spiral_jax.renderers.mypaint import SHIPPED_BRUSHES
from spiral_jax.sampling import programs_of, sample_drawings

STUDY = Study(name="rerendered", preset="mnist_small", variants={"agent": {}})
WIDTH = 256


def enlarged(canvases: np.ndarray, width: int) -> np.ndarray:
    """Enlarges canvases `[N, H, W, 1]` to `[N, width, width, 1]`, bicubically."""
    size, how = (width, width), Image.Resampling.BICUBIC
    images = [Image.fromarray(canvas[..., 0]).resize(size, how) for canvas in canvases]
    return np.clip(np.stack(images), 0, 1)[..., None]


def blurred_share(canvases: np.ndarray) -> float:
    """Returns, of px darker than 0.9, the share of those lighter than 0.1."""
    return float(np.mean(canvases[canvases < 0.9] > 0.1))


def extend(result: dict[str, Any], agents: dict[str, Trained], options: Options) -> None:
    """Adds how crisp drawings are, and writes a picture of them."""
    (label, (system, params, _)), *_ = agents.items()
    seed = system.seed("evaluation")
    drawings = sample_drawings(system, params, COLUMNS, seed)
    programs = programs_of(system, drawings)
    rows = {"enlarged": enlarged(drawings.canvases[-1], WIDTH)}
    for brush in (system.config.brush, *SHIPPED_BRUSHES):
        rows[brush] = redraw(programs, WIDTH, brush)
    shares = {name: blurred_share(row) for name, row in rows.items()}
    result["variants"][label]["blurred_share"] = shares
    save_rows(STUDY, options, list(rows.values()), ", ".join(rows))


def draw(result: dict[str, Any]):
    """Draws the curve of the agent, and how crisp each way of drawing is."""
    figure, axes = make_figure(share_y=False)
    agent = result["variants"]["agent"]
    plot_curve(axes[0], agent["curve"], "frames")
    axes[0].set_ylabel(agent["label"])
    axes[0].set_yscale("log")
    shares = agent["blurred_share"]
    axes[1].barh(list(shares), list(shares.values()), color="tab:blue")
    axes[1].invert_yaxis()
    axes[1].set_xlabel(f"neither paper nor ink, at {WIDTH} px")
    axes[1].grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    run_study(STUDY, draw, extend)

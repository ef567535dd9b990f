"""Curves of runs: read from metrics.jsonl, and drawn by matplotlib.

Needs `pip install 'spiral_jax[plot]'`, imported when a figure is made.
"""

import io
from collections.abc import Callable
from pathlib import Path

from spiral_jax.metrics import FILE, read_records
from spiral_jax.paths import write_file

# What a curve goes along: its unit, and how many of the record's that is.
UNITS = {"frames": ("million frames", 1e6), "minutes": ("minutes", 1.0)}


def read_curve(run_dir: Path, metric: str, untrained: float) -> dict[str, list[float]]:
    """Reads how a metric of a run went, from the untrained agent on.

    Args:
      run_dir: folder with a metrics.jsonl.
      metric: its name there.
      untrained: its value before the first update.

    Returns:
      `"updates"`, `"frames"`, `"minutes"` and `"values"`, of one length. An update that
      was evaluated twice, as it is if a finished run is started again, counts once.

    Raises:
      ValueError: a line is no record, or holds something else than a number; names it.
      OSError: the file cannot be read.
    """
    points = {0: (0, 0.0, untrained)}
    for record in read_records(run_dir / FILE):
        if metric in record:
            if type(record[metric]) not in (int, float):
                raise ValueError(
                    f"{run_dir / FILE}: {metric!r} is {record[metric]!r} after "
                    f"{record['updates']:,} updates; expected a number."
                )
            point = (record["frames"], record["minutes"], record[metric])
            points.setdefault(record["updates"], point)
    frames, minutes, values = map(list, zip(*points.values()))
    return {
        "updates": list(points),
        "frames": frames,
        "minutes": minutes,
        "values": values,
    }


def make_figure(share_y: bool = True):
    """Makes a figure with two panels side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(1, 2, figsize=(9, 3.4), sharey=share_y)


def plot_curve(axis, curve: dict[str, list[float]], key: str, **style) -> None:
    """Draws a curve, as `read_curve` returns it, along `"frames"` or `"minutes"`."""
    unit, scale = UNITS[key]
    axis.plot([x / scale for x in curve[key]], curve["values"], marker=".", **style)
    axis.set_xlabel(unit)
    axis.grid(alpha=0.3)


def plot_curves(axes, variants: dict[str, dict], style: Callable) -> None:
    """Draws curves of a study's variants along both units, one panel each.

    Args:
      axes: two panels.
      variants: by label, as a study's JSON has them.
      style: function from a variant's label to how its curve looks.
    """
    for axis, key in zip(axes, UNITS):
        for label, variant in variants.items():
            plot_curve(axis, variant["curve"], key, label=label, **style(label))


def draw_curve(curve: dict[str, list[float]], label: str, floor: tuple[str, float]):
    """Draws a run's distance along both units.

    Args:
      curve: as `read_curve` returns it.
      label: what the distance is called.
      floor: name and value of a line to compare with.
    """
    figure, axes = make_figure()
    for axis, key in zip(axes, UNITS):
        plot_curve(axis, curve, key)
        axis.axhline(floor[1], color="grey", linestyle=":")
        axis.set_yscale("log")
    axes[0].set_ylabel(label)
    axes[1].legend(["agent", floor[0]])
    return figure


def save_figure(figure, path: Path) -> None:
    """Writes a figure as PNG."""
    figure.tight_layout()
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    write_file(path, file.getvalue())

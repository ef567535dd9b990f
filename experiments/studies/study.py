r"""What studies have in common: variants of a preset, trained, measured and compared.

A study is a `Study`, a function that draws its figure, and perhaps one that adds to its
results; `run_study` makes a program of them:

  python -m experiments.studies.NAME --max_minutes=60

trains one variant after the other into RUNS/LABEL, and writes OUT/NAME.json and
OUT/NAME.png. Interrupted, the same command goes on. Variants may be trained side by side
as well, each in a process or on a machine of its own,

  python -m experiments.studies.NAME --max_minutes=60 --only=LABEL

and compared once they are done, or before, from what is in RUNS:

  python -m experiments.studies.NAME --notrain
"""

import dataclasses
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from experiments.cli import define_path, run
from experiments.curves import read_curve, save_figure
from experiments.memory import keep_memory
from experiments.settings import define_settings, short_help
from spiral_jax.agents import load_agent
from spiral_jax.config import Config, preset
from spiral_jax.data import Dataset
from spiral_jax.data.registry import load_dataset
from spiral_jax.images import save_png, sheet
from spiral_jax.paths import check_utf8, local_path, write_file
from spiral_jax.reconstruction import ReconstructionEvaluator, make_evaluator
from spiral_jax.system import System
from spiral_jax.train import train

flags.disclaim_key_flags()  # they are flags of the study, whose --help lists them

COLUMNS = 12  # of pictures of drawings

# Whether everything runs: no figure of it means anything.
TINY: dict[str, Any] = {
    "canvas_width": 32,
    "grid_width": 8,
    "batch_size": 4,
    "critic_width": 8,
    "num_scenes": 20,
    "max_updates": 4,
    "log_updates": 2,
    "evaluate_minutes": 0.0,
}


@dataclasses.dataclass(frozen=True)
class Study:
    """What is compared.

    Attributes:
      name: of the module, and of the files that it writes.
      preset: what all variants start from.
      variants: label, which names the run's folder, to the settings that make it.
    """

    name: str
    preset: str
    variants: Mapping[str, Mapping[str, Any]]

    def config(self, label: str, changes: Mapping[str, Any]) -> Config:
        """Returns the settings of a variant.

        Args:
          label: which.
          changes: settings of all variants that differ from the preset's.

        Raises:
          ValueError: the variants are what decides a setting; or it is impossible.
        """
        own = self.variants[label]
        for name in sorted(set(changes) & set(own)):
            raise ValueError(
                f"{name}={changes[name]!r}: that is what the variants of {self.name} "
                "differ in; leave it out."
            )
        return dataclasses.replace(preset(self.preset), **changes, **own)


class Trained(NamedTuple):
    """An agent and what it is measured on."""

    system: System
    params: Any
    data: Dataset


class Options(NamedTuple):
    """What the command line says.

    Attributes:
      runs: folder of the variants' runs.
      out: folder of the figure and the JSON.
      only: the one variant to train, and not to compare; None: all.
      train: whether to train at all.
      tiny: whether only to see if everything runs.
      changes: settings of all variants.
    """

    runs: Path
    out: Path
    only: str | None
    train: bool
    tiny: bool
    changes: dict[str, Any]


def define_options(study: Study) -> Callable[[], Options]:
    """Makes the flags of a study; returns what reads them."""
    labels = list(study.variants)
    runs = define_path(
        "runs",
        None,
        f"Folder of the runs, one a variant; runs/{study.name} if not given.",
    )
    out = define_path("out", None, "Where to write; --runs if not given.")
    only = flags.DEFINE_enum("only", None, labels, "Train this variant, and no more.")
    training = flags.DEFINE_bool(
        "train", True, "Train first; --notrain compares what is in --runs as it is."
    )
    tiny = flags.DEFINE_bool("tiny", False, "Some updates only: does everything run?")
    settings = define_settings()

    def read() -> Options:
        name = f"runs/{study.name}{'_tiny' * tiny.value}"
        folder = runs.value or local_path(name)
        check_utf8(folder, "runs")
        return Options(
            runs=folder,
            out=out.value or folder,
            only=only.value,
            train=training.value,
            tiny=tiny.value,
            changes={**(TINY if tiny.value else {}), **settings()},
        )

    return read


def train_variants(study: Study, options: Options) -> bool:
    """Trains, or goes on training, what the command line asks for.

    Returns:
      Whether all was finished; False after Ctrl-C.
    """
    labels = [options.only] if options.only else list(study.variants)
    configs = {label: study.config(label, options.changes) for label in labels}
    for label, config in configs.items():
        print(f"{study.name}: {label}, into {options.runs / label}", flush=True)
        if train(config, options.runs / label) is None:
            return False
    return True


def load_variants(
    study: Study, runs: Path, data_dir: str | None = None
) -> dict[str, Trained]:
    """Loads the agents of a study; leaves out those that there are not, and says so.

    Args:
      study: whose variants to load.
      runs: folder of their runs.
      data_dir: where their data are now; None: where they were.

    Raises:
      FileNotFoundError: there are none.
    """
    agents = {}
    for label in study.variants:
        try:
            agent = load_agent(runs / label, data_dir)
        except FileNotFoundError as error:
            print(f"{study.name}: without {label!r}: {error}")
            continue
        data = load_dataset(agent.system.config)
        agents[label] = Trained(agent.system, agent.params, data)
    if not agents:
        raise FileNotFoundError(
            f"{runs} has no run of {study.name} yet: its folders are to be called "
            f"{', '.join(study.variants)}. Without --notrain they are trained."
        )
    return agents


def measure(agent: Trained, run_dir: Path) -> dict[str, Any]:
    """Measures an agent as its run did, and reads the run's curve.

    Returns:
      As JSON can hold it: `"metric"`; its value `"now"`, and the untrained agent's,
      `"untrained"`; whatever else the evaluator's table has; `"blank_share"`, the share
      of its drawings that are blank; `"curve"` (see `read_curve`); `"config"`.
    """
    config = agent.system.config
    evaluator = make_evaluator(agent.system, agent.data)
    measures, drawings = evaluator.measure(agent.params)
    untrained, _ = evaluator.measure(agent.system.initial_policy())
    if config.conditional:
        drawings = drawings[1::2]  # beside their targets
    change = np.abs(drawings - agent.system.blank)
    metric = evaluator.metric
    return {
        "metric": metric,
        "label": evaluator.label,
        "now": measures[metric],
        "untrained": untrained[metric],
        **evaluator.table(measures)._asdict(),
        "blank_share": float((change < 1 / 255).all(axis=(1, 2, 3)).mean()),
        "curve": read_curve(run_dir, metric, untrained[metric]),
        "config": dataclasses.asdict(config),
    }


def redrawn(agent: Trained) -> tuple[np.ndarray, np.ndarray]:
    """Returns held-out targets and what a conditional agent draws of them."""
    evaluator = ReconstructionEvaluator(agent.system, agent.data)
    _, pairs = evaluator.measure(agent.params)
    return pairs[::2], pairs[1::2]


def save_rows(
    study: Study, options: Options, rows: Sequence[np.ndarray], what: str
) -> None:
    """Writes OUT/NAME_drawings.png, and says so.

    Args:
      study, options: where.
      rows: pictures `[N, H, W, C]` each, of one shape; the first `COLUMNS` are shown.
      what: the rows' names.
    """
    path = options.out / f"{study.name}_drawings.png"
    rows = [row[:COLUMNS] for row in rows]
    page = sheet(np.concatenate(rows), columns=len(rows[0]))
    save_png(path, page, scale=max(1, 64 // rows[0].shape[1]))
    print(f"{path}: rows of {what}")


def run_study(
    study: Study,
    draw: Callable[[dict[str, Any]], Any],
    extend: Callable[[dict[str, Any], dict[str, Trained], Options], None] | None = None,
) -> None:
    """Runs a study as a program, with the flags of its variants' settings.

    Args:
      study: what to compare.
      draw: makes a figure of what is written as JSON: `"study"`, and `"variants"`, which
        maps labels to what `measure` returns.
      extend: adds to that, before it is drawn.
    """
    read = define_options(study)

    def main(argv: list[str]) -> None:
        keep_memory()
        options = read()
        compares = options.only is None
        if compares and importlib.util.find_spec("matplotlib") is None:
            raise ValueError("no matplotlib: pip install 'spiral_jax[plot]'.")
        if options.train and not train_variants(study, options):
            raise SystemExit(1)  # the run has said what to do
        if not compares:
            return
        agents = load_variants(study, options.runs, options.changes.get("data_dir"))
        options.out.mkdir(parents=True, exist_ok=True)
        result = {
            "study": study.name,
            "variants": {
                label: measure(agent, options.runs / label)
                for label, agent in agents.items()
            },
        }
        if extend is not None:
            extend(result, agents, options)
        path = options.out / f"{study.name}.json"
        write_file(path, json.dumps(result, indent=1) + "\n")
        save_figure(draw(result), path.with_suffix(".png"))
        print(
            f"{summary(result)}\nThis is in {path} and {path.with_suffix('.png').name}."
        )

    run(
        main,
        study.name,
        short_help=lambda script: short_help(preset(study.preset), script),
    )


def summary(result: dict[str, Any]) -> str:
    """Writes a line for each variant."""
    lines = []
    for label, variant in result["variants"].items():
        curve = variant["curve"]
        lines.append(
            f"{label:16s} {variant['label']} {variant['now']:8.4g} after "
            f"{curve['updates'][-1]:,} updates, {curve['frames'][-1]:,} frames, "
            f"{curve['minutes'][-1]:.1f} min; {variant['blank_share']:.1%} blank"
        )
    return "\n".join(lines)

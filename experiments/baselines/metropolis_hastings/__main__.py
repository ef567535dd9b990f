r"""Rebuilds held-out scenes by blocked Metropolis-Hastings, the paper's baseline.

  python -m experiments.baselines.metropolis_hastings --preset=scenes_small \
      --num_images=100 --renderer_calls=10000

Prints l2 against renderer calls and how far the scenes agree with the true ones, and
writes the same to --out. Flags of the data, such as --canvas_width, are those of
experiments.launch; all others of its flags have no effect. Ctrl-C ends the chains early.
"""

import dataclasses
import json
from typing import Any

from absl import flags

from experiments.baselines.metropolis_hastings.baseline import run_baseline
from experiments.cli import define_path, run
from experiments.settings import define_settings, short_help
from spiral_jax.config import preset
from spiral_jax.paths import write_file
from spiral_jax.scene_accuracy import SceneAccuracy

_PRESET = flags.DEFINE_string("preset", "scenes_small", "Whose scenes to rebuild.")
_NUM_IMAGES = flags.DEFINE_integer("num_images", 100, "How many held-out pictures.")
_RENDERER_CALLS = flags.DEFINE_integer(
    "renderer_calls", 3000, "Scenes to render for each picture.", lower_bound=1
)
_OUT = define_path("out", "runs/metropolis_hastings.json", "JSON file to write.")
_SETTINGS = define_settings()


def table(result: dict[str, Any]) -> str:
    """Writes what `run_baseline` returns for readers."""
    curve = result["curve"]
    lines = [
        f"{result['settings']['num_images']} held-out scenes; {result['accepted']:.1%} "
        "of the proposals were accepted",
        "  renderer calls   l2, current      best",
    ]
    for calls, now, best in zip(curve["renderer_calls"], curve["current"], curve["best"]):
        lines.append(f"  {calls:14,d}   {now:11.3f} {best:9.3f}")
    for name, parse in result["parse"].items():
        lines.append(f"  right in the {name} scenes: {SceneAccuracy(**parse)}")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    config = dataclasses.replace(preset(_PRESET.value), **_SETTINGS())
    if config.dataset != "scenes":
        raise ValueError(
            f"preset={_PRESET.value!r}: expected one whose data are scenes, such as "
            "scenes_small."
        )
    out = _OUT.value
    out.parent.mkdir(parents=True, exist_ok=True)
    result = run_baseline(
        config, _NUM_IMAGES.value, _RENDERER_CALLS.value, seed=config.seed
    )
    write_file(out, json.dumps(result, indent=1) + "\n")
    print(f"{table(result)}\nThis is in {out}.")


if __name__ == "__main__":
    run(
        main,
        "metropolis_hastings",
        short_help=lambda script: short_help(preset(_PRESET.value), script),
    )

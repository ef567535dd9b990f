"""Trained agents in use: load one, sample from it, let it redraw pictures."""

import dataclasses
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from spiral_jax.checkpoint import read_newest
from spiral_jax.config import Config, launch_command
from spiral_jax.data import to_float
from spiral_jax.data.arrays import check_pictures, check_range, image_of
from spiral_jax.data.decoding import as_shown
from spiral_jax.parameters import check_fits, load_params, save_params
from spiral_jax.paths import check_utf8, local_path, write_file
from spiral_jax.programs import Program
from spiral_jax.reconstruction import redraw
from spiral_jax.run_folder import CONFIG_FILE
from spiral_jax.sampling import programs_of, sample_drawings
from spiral_jax.system import MakePolicy, System, make_system
from spiral_jax.tiles import Mosaic, Tiling, join_programs

# Agents that come with the package, by the names of their folders.
_SHIPPED = Path(str(resources.files("spiral_jax") / "agents"))
PARAMS_FILE = "params.npz"


class TrainedAgent(NamedTuple):
    """An agent that draws, from `load_agent`.

    Attributes:
      system: the parts of the run that it comes from, its settings among them.
      params: the policy's parameters, averaged over the run's last updates.
      num_updates: policy updates behind them.
    """

    system: System
    params: Any
    num_updates: int

    def sample(
        self, num_drawings: int, seed: int = 0
    ) -> tuple[list[Program], np.ndarray]:
        """Draws pictures that the agent makes up.

        Args:
          num_drawings: N.
          seed: the same number and seed draw the same.

        Returns:
          N programs, and the finished canvases `[N, H, W, C]` float32 in 0..1.

        Raises:
          ValueError: the agent is conditional, or there is nothing to draw.
        """
        if self.system.config.conditional:
            raise ValueError(
                "A conditional agent draws what it is shown: call reconstruct(images)."
            )
        if num_drawings < 1:
            raise ValueError(f"num_drawings={num_drawings}: expected at least 1.")
        drawings = sample_drawings(self.system, self.params, num_drawings, seed)
        return programs_of(self.system, drawings), drawings.canvases[-1]

    def reconstruct(
        self, images: np.ndarray, seed: int = 0, num_samples: int = 1, tiles: int = 1
    ) -> tuple[list[Program | Mosaic], np.ndarray]:
        """Redraws pictures, each in a program of its own.

        The agent sees them as `as_targets` makes them of its canvas' size and colours;
        what is transparent shows its paper. Ink and paper are not guessed: agents that
        were trained on a white background expect dark lines on white.

        Args:
          images: `[N, H, W, C]` of any size, uint8 or float in 0..1, with C = 1 (grey), 3
            (RGB) or 4 (RGBA); or `[N, H, W]`.
          seed: of the sampling; the same images and seed draw the same.
          num_samples: drawings of each picture, of which the nearest by l2 is kept.
          tiles: how many tiles a side a picture is painted in, see `tiles.Tiling`; each
            is as large as the agent's canvas.

        Returns:
          N programs, of several tiles `Mosaic`s, and the finished canvases `[N, H, W, C]`
          float32 in 0..1.

        Raises:
          ValueError: the agent is not conditional, the images are of another form, or
            tiles cannot be joined.
        """
        if not self.system.config.conditional:
            raise ValueError(
                "This agent never learnt to look at a picture: call "
                "sample(num_drawings), or take one that did, such as "
                "load_agent('mnist_conditional')."
            )
        _, width, channels = self.system.blank.shape
        if tiles > 1 and self.system.config.dataset == "scenes":
            raise ValueError(f"tiles={tiles}: only paintings are joined; leave it out.")
        tiling = Tiling(tiles, width)
        background = self.system.config.background
        targets = as_targets(images, tiling.side, channels, background)
        programs, canvases = redraw(
            self.system, self.params, tiling.split(targets), seed, num_samples
        )
        return join_programs(programs, tiles), tiling.join(canvases)


def as_targets(
    images: np.ndarray, width: int, channels: int, background: str = "white"
) -> np.ndarray:
    """Makes pictures what an agent's canvas could show.

    As of picture files (`data.decoding.decode`), the square in the middle is taken and
    resized (bilinear, antialiased), and what is transparent shows the background. Grey
    becomes equal RGB, and RGB its luma.

    Args:
      images: `[N, H, W, C]`, C = 1, 3 or 4, or `[N, H, W]`; uint8 or float in 0..1.
      width, channels: of the canvas.
      background: "white" or "black".

    Returns:
      `[N, width, width, channels]` float32 in 0..1, of 256 levels.

    Raises:
      ValueError: says what the images are and what was expected.
    """
    images = np.asarray(images)
    check_pictures(images, "images")
    if images.dtype != np.uint8:
        check_range(images.min(), images.max(), "images")
    shown = [
        as_shown(image_of(image), width, channels=channels, background=background)
        for image in images
    ]
    return to_float(np.stack(shown))


def shipped_agents() -> list[str]:
    """Returns the names of the agents that come with the package."""
    return sorted(folder.name for folder in _SHIPPED.glob("*"))


def shipped_agent(name: str) -> Path:
    """Returns the folder of an agent that comes with the package."""
    return _SHIPPED / name


def is_shipped(folder: Path) -> bool:
    """Says whether a folder is that of an agent that comes with the package."""
    return folder in map(shipped_agent, shipped_agents())


def agent_folder(name: str | Path) -> Path:
    """Returns the folder of an agent, named as in `load_agent`.

    Raises:
      ValueError: the name is no path of this machine.
    """
    folder = local_path(name, "agent")
    if not isinstance(name, str) or name not in shipped_agents():
        return folder
    if not (folder / CONFIG_FILE).exists():
        return shipped_agent(name)
    logging.warning(
        "%r is the run in %s, not the agent of that name that comes with the package, "
        "which is in %s.",
        *(name, folder, shipped_agent(name)),
    )
    return folder


def load_agent(
    name: str | Path,
    data_dir: str | Path | None = None,
    *,
    policy: MakePolicy | None = None,
) -> TrainedAgent:
    """Loads a trained agent.

    Args:
      name: an agent that comes with the package: "mnist", which makes up digits;
        "mnist_conditional", "characters" and "emoji", which redraw digits, line drawings
        and colour pictures that they are shown; or the folder of a run, or of an exported
        agent, which comes first where it has such a name. A `Path` is always a folder.
      data_dir: where the run's data are now; None: where they were.
      policy: what the run's policy network was built by, if it was trained with its own.

    Raises:
      FileNotFoundError: there is no such agent, or the run has no checkpoint yet.
      ValueError: its settings are not of this version, or its files are damaged; if an
        earlier checkpoint is good, it is named.
    """
    folder = agent_folder(name)
    path = folder / CONFIG_FILE
    if not path.exists():
        raise FileNotFoundError(_no_run(repr(str(name))))
    config = Config.load(path)
    if data_dir is not None:
        moved = str(local_path(data_dir, "data_dir"))
        config = dataclasses.replace(config, data_dir=moved)
    try:
        system = make_system(config, policy=policy)
    except ValueError as error:  # its brush has gone, say
        raise ValueError(f"{path}: {error}") from error
    params, num_updates = _read_params(folder)
    check_fits(f"The agent in {folder}", params, _wanted(system))
    return TrainedAgent(system, params, num_updates)


def _read_params(folder: Path) -> tuple[Any, int]:
    """Reads the policy's averaged parameters, and how many updates are behind them."""
    if (folder / PARAMS_FILE).exists():
        params, numbers = load_params(folder / PARAMS_FILE, ("num_updates",))
        return params, int(numbers["num_updates"])
    check_utf8(folder, "agent")
    learner = read_newest(folder / "checkpoints")["learner"]
    return learner["average"], int(learner["num_updates"])


def _wanted(system: System) -> Any:
    """Returns the shapes of the parameters that the system's policy has."""
    return jax.eval_shape(system.policy.init, jax.random.key(0))


def _no_run(name: str) -> str:
    return (
        f"{name} holds no run (no config.json): expected the folder of one, or one of "
        f"{shipped_agents()}. Train one with `spiral-jax train`."
    )


def starting_from(system: System, name: str | Path) -> System:
    """Lets training start from an agent's policy instead of a random one.

    Only the policy's parameters are taken over: no critic, no optimiser, no settings.

    Args:
      system: of the run that is to begin.
      name: of the agent, as in `load_agent`.

    Raises:
      FileNotFoundError: there is no such agent.
      ValueError: its networks do not fit; names the first array that differs.
    """
    folder = agent_folder(name)
    if not (folder / CONFIG_FILE).exists():
        raise FileNotFoundError(_no_run(f"init_from={str(name)!r}"))
    params, _ = _read_params(folder)
    remedy = (
        "Take over what shapes the networks (policy, conditional, canvas_width, "
        f"grid_width, brush_sizes, use_color, ...) from {folder / CONFIG_FILE}."
    )
    check_fits(f"init_from={str(name)!r}", params, _wanted(system), remedy)
    params = jax.tree.map(np.asarray, params)
    return system._replace(policy=system.policy._replace(init=lambda key: params))


def export_agent(agent: TrainedAgent, folder: Path) -> None:
    """Writes what `load_agent` needs of an agent, and how it was trained.

    Args:
      agent: the agent.
      folder: where config.json, params.npz and README.md go, and the brush, if that is a
        file; made if absent.
    """
    config = agent.system.config
    if Path(config.data_dir).is_absolute():  # of one machine, and nobody else's business
        config = dataclasses.replace(config, data_dir="")
    frames = agent.num_updates * config.frames_per_update
    folder.mkdir(parents=True, exist_ok=True)
    config.save(folder / CONFIG_FILE)
    save_params(folder / PARAMS_FILE, agent.params, num_updates=agent.num_updates)
    write_file(
        folder / "README.md",
        f"# An agent of spiral_jax\n\nTrained by\n\n    {launch_command(config)}\n\n"
        f"for {agent.num_updates:,} updates ({frames:,} frames). {PARAMS_FILE} holds the "
        f"averaged parameters\nof the policy, arrays only; {CONFIG_FILE} all settings.\n",
    )

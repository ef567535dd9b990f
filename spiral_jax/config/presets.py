"""Presets: settings that are known to work, each with its command and what it reached."""

import dataclasses
import difflib
from typing import Any

from spiral_jax.config.config import Config

# Networks that CPUs carry. Faster than the paper's rates, and hardly any replay: with a
# delay of ten updates policy and critic circle each other.
_SMALL: dict[str, Any] = {
    "policy": "small",
    "policy_learning_rate": 6e-4,
    "critic_learning_rate": 1e-3,
    "replay_batches": 3,
}
_MNIST_SMALL = Config(
    canvas_width=32,
    grid_width=16,
    episode_length=7,
    brush_sizes=(2.5, 4.0),
    use_pressure=False,
    critic_width=32,
    **_SMALL,
)
_FOLDER_SMALL = dataclasses.replace(
    _MNIST_SMALL,
    dataset="folder",
    use_color=True,
    episode_length=13,
    brush_sizes=(2.0, 4.0, 8.0, 16.0),
)
# Omniglot's lines are 1.5 px thin at 32 px, and its characters have more strokes.
_OMNIGLOT_SMALL = dataclasses.replace(
    _MNIST_SMALL, dataset="omniglot", episode_length=10, brush_sizes=(1.5, 2.5)
)

# Many commands: at the rates of `_SMALL` all canvases turn black, then blank, and back;
# a small change of what each command does is a large one of what all of them draw. And
# deep networks: at a rate of 6e-4 the LSTM's gates saturate within 20 updates.
_LONG_EPISODES: dict[str, Any] = {
    "policy_learning_rate": 2e-4,
    "entropy_cost": 0.05,
    "critic_learning_rate": 1e-3,
    "replay_batches": 3,
}
# The paper's size: 19 commands, 1,024 places for each. Undiscounted, what a command is
# paid hangs on all that later ones happen to do: after 440 updates places were as random
# as at first (6.9 of 6.93 nats). So they were at an entropy cost of 0.01 and a rate of
# 6e-4. With 0.5 they were learnt from update 200 on.
_PAPER_EPISODES = {**_LONG_EPISODES, "entropy_cost": 0.02, "discount": 0.5}
# With 12 and 24 px as well, untrained agents' canvases are six times as dark as digits.
_BRUSH_SIZES = (1.0, 2.0, 4.0, 8.0)
_PAPER = Config(critic_width=32, brush_sizes=_BRUSH_SIZES, **_PAPER_EPISODES)
# Backgrounds are painted with the large brushes.
_PAPER_COLOR = Config(
    dataset="celeba", use_color=True, critic_width=32, **_PAPER_EPISODES
)
# For CPUs: batches half as large give twice as many updates in the same time, and a
# critic that scores 20 canvases for each drawing would be most of the arithmetic.
_LIGHT_64 = Config(
    policy="small",
    critic_width=16,
    batch_size=32,
    brush_sizes=_BRUSH_SIZES,
    **{**_PAPER_EPISODES, "policy_learning_rate": 3e-4},
)

# Colour at the paper's size, for CPUs.
_COLOR_64 = dataclasses.replace(
    _LIGHT_64,
    dataset="emoji",
    use_color=True,
    use_pressure=False,
    episode_length=21,
    brush_sizes=(2.0, 4.0, 8.0, 16.0),
)
# What is shown says where to paint, and in which colour, and l2 at once what a stroke
# brings. To lift the pen pays with the next stroke only: at a discount of 0.5, agents
# begin with a stroke from the corner. Without the floor only the largest brush was left
# after 60 updates; with one scale for all steps the first strokes alone decided what was
# learnt.
_REDRAW: dict[str, Any] = {
    "conditional": True,
    "policy": "painter",
    "reward_source": "l2",
    "policy_learning_rate": 6e-4,
    "entropy_cost": 0.001,
    "entropy_floor": 0.2,
    "advantage_scale": "step",
    "discount": 0.8,
}

# Each opens with its command, `python -m experiments.launch` left out, and with what was
# reached in what time; the figures' own commands, and more, are in docs/presets.md.
PRESETS: dict[str, Config] = {
    # --preset=mnist_small --max_minutes=60
    # Digits, 32 px, 6 commands. In an hour on one core precision 0.74 (real digits:
    # 0.86).
    "mnist_small": _MNIST_SMALL,
    # --preset=mnist_long_small --max_minutes=60
    # Digits in 48 commands: what SPIRAL++ does with hundreds. In 12 minutes on one core
    # half-way to digits.
    "mnist_long_small": dataclasses.replace(
        _MNIST_SMALL,
        episode_length=49,
        unroll_length=12,
        discount=0.95,
        **_LONG_EPISODES,
    ),
    # --preset=mnist_compound_small --max_minutes=60
    # Digits in strokes of several points each. In 26 minutes on one core half-way to
    # digits.
    "mnist_compound_small": dataclasses.replace(
        _MNIST_SMALL, compound=True, episode_length=10
    ),
    # --preset=mnist_conditional_small --max_minutes=60
    # Digits, shown and to be redrawn. Held-out l2 4.5 in 18 minutes on one core (blank
    # canvas: 8.8).
    "mnist_conditional_small": dataclasses.replace(
        _MNIST_SMALL, conditional=True, policy="pointer"
    ),
    # --preset=mnist_pen --max_minutes=60
    # Digits, 64 px, 19 commands, libmypaint's pen. In 30 minutes on one core no digits
    # yet.
    "mnist_pen": dataclasses.replace(_LIGHT_64, brush="classic/pen"),
    # --preset=scenes_small --max_minutes=92
    # One or two objects, three commands: one may be spent on mending. 0.43 of a blank
    # picture's l2, 98 % of objects in their cell.
    "scenes_small": dataclasses.replace(
        _MNIST_SMALL,
        dataset="scenes",
        conditional=True,
        grid_width=8,
        episode_length=4,
        max_objects=2,
        shadows=False,
        policy="pointer",
        entropy_cost=0.05,
        # What a command improves has to count although a later one may change it again.
        # Undiscounted, agents rebuilt one object only, with the last command.
        discount=0.5,
    ),
    # --preset=emoji_small --max_minutes=60
    # Emoji in colour, 32 px, 12 commands, shown and to be redrawn. With earlier settings
    # in 5 minutes on one core 0.70 of a blank canvas's l2.
    "emoji_small": dataclasses.replace(
        _FOLDER_SMALL,
        dataset="emoji",
        **_REDRAW,
    ),
    # --preset=emoji --max_minutes=180
    # The same at 64 px, in 20 commands. In an hour on one core 0.48 of a blank canvas's
    # l2.
    "emoji": dataclasses.replace(_COLOR_64, **_REDRAW),
    # --preset=emoji_unconditional --max_minutes=180
    # Made up, not redrawn. Not yet run.
    "emoji_unconditional": _COLOR_64,
    # The next ones read the user's own files, see docs/data.md.
    #
    # --preset=omniglot_small --data_dir=data/omniglot
    # Characters, 32 px, 9 commands. Not yet run.
    "omniglot_small": _OMNIGLOT_SMALL,
    # --preset=omniglot_conditional_small --data_dir=data/omniglot --max_minutes=50
    # The same, shown what to draw; measured on alphabets that it has never seen: 0.75 of
    # a blank canvas's l2.
    "omniglot_conditional_small": dataclasses.replace(
        _OMNIGLOT_SMALL,
        conditional=True,
        policy="pointer",
        # Undiscounted, hardly any canvas was painted on after 400 updates: the first
        # strokes cannot tell what they bring from what the next nine do to it.
        discount=0.5,
    ),
    # --preset=characters --data_dir=data/omniglot --max_minutes=25
    # The same in 20 commands, paid by l2; the network sees where lines are missing. In 25
    # minutes on one core 0.61 of a blank canvas's l2.
    "characters": dataclasses.replace(
        _OMNIGLOT_SMALL,
        episode_length=21,
        batch_size=32,
        **{**_REDRAW, "discount": 0.7},
    ),
    # --preset=celeba_conditional_small --data_dir=data/celeba
    # Faces, 32 px, 12 commands, shown and to be redrawn. Not yet run.
    "celeba_conditional_small": dataclasses.replace(
        _FOLDER_SMALL,
        dataset="celeba",
        conditional=True,
        policy="pointer",
        discount=0.5,  # as for characters
    ),
    # --preset=folder_small --data_dir=pictures
    # Any pictures in colour, 32 px, 12 commands. Not yet run.
    "folder_small": _FOLDER_SMALL,
    # --preset=faces --data_dir=data/faces/open_peeps_96.zip, or faces_conditional
    # Cartoon faces in colour, 64 px, 20 commands, made up, or redrawn. Not yet run.
    "faces": dataclasses.replace(_COLOR_64, dataset="faces"),
    "faces_conditional": dataclasses.replace(_COLOR_64, **_REDRAW, dataset="faces"),
    # The paper's size: 64 px, 19 commands.
    #
    # --preset=mnist_64 --max_minutes=400
    # Its environment with light networks, for CPUs. After 163 minutes on one slow core
    # most drawings are like digits. From 2,300 updates on with less of an entropy cost.
    "mnist_64": _LIGHT_64,
    # The released agent's network from here on. On accelerators, add --actors=device
    # --fuse=20.
    #
    # --preset=mnist
    "mnist": _PAPER,
    # --preset=mnist_conditional
    # Not yet run.
    "mnist_conditional": dataclasses.replace(_PAPER, conditional=True),
    # --preset=scenes, without these two flags
    # 1 to 5 objects, 20 commands. Not yet trained.
    "scenes": dataclasses.replace(
        _PAPER, dataset="scenes", conditional=True, grid_width=16, episode_length=21
    ),
    # --preset=omniglot --data_dir=data/omniglot, or omniglot_conditional
    # Not yet run.
    "omniglot": dataclasses.replace(_PAPER, dataset="omniglot"),
    "omniglot_conditional": dataclasses.replace(
        _PAPER, dataset="omniglot", conditional=True
    ),
    # --preset=celeba --data_dir=data/celeba, or celeba_conditional
    # Not yet run. SPIRAL++ trained on faces for 3.3 billion frames.
    "celeba": _PAPER_COLOR,
    "celeba_conditional": dataclasses.replace(_PAPER_COLOR, conditional=True),
    # --preset=folder --data_dir=pictures
    # Any pictures in colour. Not yet run.
    "folder": dataclasses.replace(_PAPER_COLOR, dataset="folder"),
}


def preset(name: str) -> Config:
    """Returns a preset by name.

    Raises:
      ValueError: unknown; the nearest name is suggested.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"preset={name!r}: expected one of {tuple(PRESETS)}.{hint}")
    return PRESETS[name]

"""All settings of a run: a frozen dataclass whose fields explain themselves, and presets.

`experiments.launch` makes one flag of each field; this file is where defaults live.
"""

import dataclasses
import difflib
import json
import math
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

from spiral_jax.data.registry import DATASETS
from spiral_jax.data.registry import OURS as OUR_DATASETS
from spiral_jax.documents import parse_json
from spiral_jax.environments.on_device import DevicePainting
from spiral_jax.environments.painting import find_brush
from spiral_jax.environments.pens import BACKGROUNDS
from spiral_jax.environments.rerender import ENVIRONMENTS
from spiral_jax.environments.rerender import OURS as OUR_ENVIRONMENTS
from spiral_jax.extensions import registered_name
from spiral_jax.losses import REGULARISERS
from spiral_jax.networks.policy import PRESETS as POLICIES
from spiral_jax.parallel import MODES
from spiral_jax.paths import write_file
from spiral_jax.renderers.mypaint import read_brush_text
from spiral_jax.rewards import FORMS, SOURCES

ALGORITHMS = ("vtrace", "a2c")
DTYPES = ("float32", "bfloat16")
ACTORS = ("threads", "device")
FILE_DATASETS = ("omniglot", "celeba", "folder")
# What a run's brush is called in its folder, if it is a file.
BRUSH_FILE = "brush.myb"
BRUSH_ENDING = ".myb"
_ELSEWHERE = (
    "What is registered elsewhere needs that module to be imported first; scripts do it "
    "where they are given module:name."
)
# Beyond any setting, and within all arithmetic with them: float32's, of numbers.
_LARGEST = {int: 2**53, float: 2.0**127}


def _setting(
    default: Any,
    help: str,
    choices: Collection[str] = (),
    minimum: float | None = None,
) -> Any:
    """A field with its explanation, the values it may have, and the least of them.

    The values may be a registry, which may know of more later.
    """
    if choices:
        help = f"{help} One of: {', '.join(choices)}."
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "kind": type(default),
    }
    return dataclasses.field(default=default, metadata=metadata)


def _check_kind(name: str, value: Any, kind: type) -> None:
    """Refuses a value that is not of a setting's kind, whatever wrote it."""
    expected = {
        bool: "True or False",
        int: "an integer",
        float: "a finite number",
        str: "text",
        tuple: "numbers",
        dict: "names, each with its value as JSON has it",
    }[kind]
    parts = [value]
    if kind is dict and isinstance(value, dict):
        try:
            same = json.loads(json.dumps(value, allow_nan=False)) == value
        except (TypeError, ValueError, RecursionError):
            same = False
        if not same:
            raise ValueError(f"{name}={value!r}: expected {expected}.")
    if kind is tuple and isinstance(value, tuple):
        parts, kind = value, float
    for part in parts:
        good = isinstance(part, (int, float) if kind is float else kind)
        good = good and (kind is bool or not isinstance(part, bool))
        if not good or (kind in (int, float) and not abs(part) < _LARGEST[kind]):
            raise ValueError(f"{name}={value!r}: expected {expected}.")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a training run; impossible values are refused with the reason."""

    # Data.
    dataset: str = _setting(
        "mnist",
        "What the agent learns to draw; scenes are built in MuJoCo, all else painted. "
        "module:name is one of your own, see docs/extending.md.",
        DATASETS,
    )
    data_dir: str = _setting(
        "",
        "Folder of the data. mnist: of the four idx files; empty for the embedded "
        "10,000 digits. omniglot: of its zips. celeba: of img_align_celeba and "
        "list_eval_partition.txt. folder: of any pictures, or a zip, .npy or .npz of "
        "them. scenes: where they are cached; empty for .cache/spiral_jax in your home.",
    )
    invert: bool = _setting(
        False,
        "Data set folder: black becomes white, so that ink is dark as on the canvas.",
    )
    strict: bool = _setting(
        False, "Refuse the data if a picture file cannot be read; else leave it out."
    )
    max_objects: int = _setting(5, "Objects of a scene in the data, at most.", minimum=1)
    num_scenes: int = _setting(50_000, "Training scenes to generate.", minimum=1)
    conditional: bool = _setting(
        False, "Show the policy and the critic a picture that is to be drawn."
    )
    own: dict[str, Any] = dataclasses.field(
        default_factory=dict,
        hash=False,  # that of all else will do
        metadata={
            "help": "Settings of an environment or a data set of your own, by name.",
            "choices": (),
            "minimum": None,
            "kind": dict,
        },
    )

    # Environment (spec, section 3).
    environment_name: str = _setting(
        "",
        "What executes the commands: an environment of your own, as module:name, see "
        "docs/adding_a_renderer.md; empty: painting, or scenes for that data set.",
    )
    canvas_width: int = _setting(64, "Canvas width and height in px.")
    grid_width: int = _setting(
        32, "Locations lie on a grid of that many points a side.", minimum=2
    )
    episode_length: int = _setting(
        20,
        "Time steps of an episode, the reset included: one more than commands.",
        minimum=2,
    )
    brush: str = _setting(
        "soft",
        "Which brush paints: soft, classic/dry_brush, classic/pen or a path of a .myb.",
    )
    brush_sizes: tuple[float, ...] = _setting(
        (1.0, 2.0, 4.0, 8.0, 12.0, 24.0),
        "Brush radii in px at a canvas of 64 px, comma-separated; they scale with it.",
    )
    use_color: bool = _setting(False, "RGB canvases and colour components.")
    use_pressure: bool = _setting(True, "Whether commands choose a pressure.")
    compound: bool = _setting(
        False,
        "Compound strokes: each command adds a point, or paints the stroke, a spline "
        "through its points, and begins the next one.",
    )
    background: str = _setting("white", "Colour of the paper.", tuple(BACKGROUNDS))
    shadows: bool = _setting(
        True, "Whether objects of scenes cast shadows; three quarters of their cost."
    )

    # Networks (spec, section 5).
    policy: str = _setting("paper", "Size of the policy network.", POLICIES)
    blind: bool = _setting(
        False, "Conditional agents: hide the canvas, so that it sees the target only."
    )
    compute_dtype: str = _setting(
        "float32", "Of the convolutions of the policy's torso.", DTYPES
    )
    critic_width: int = _setting(
        64,
        "Channels of the critic's first layer; each further one has twice as many.",
        minimum=1,
    )

    # Objective (spec, section 1).
    algorithm: str = _setting("vtrace", "Advantage estimation.", ALGORITHMS)
    discount: float = _setting(
        1.0, "Gamma, the discount of what is paid a command later."
    )
    unroll_length: int = _setting(
        0,
        "Commands of an episode that an update learns from, a divisor of all; the next "
        "one goes on with the LSTM's state carried over, and the episodes of a batch are "
        "at different stages. For hundreds of commands; take a discount below 1 with it. "
        "0: whole episodes.",
        minimum=0,
    )
    entropy_cost: float = _setting(0.01, "Weight of the entropy bonus.", minimum=0)
    value_cost: float = _setting(0.5, "Weight of the value loss.", minimum=0)
    normalise_advantages: bool = _setting(
        True, "Standardise rewards and advantages over the batch."
    )
    reward: str = _setting(
        "delta", "Score at the end, or its change at each command.", FORMS
    )
    reward_source: str = _setting(
        "critic",
        "What scores: the critic, or, of conditional agents, the negative l2 distance to "
        "the target, with no critic at all.",
        SOURCES,
    )
    stroke_start_cost: float = _setting(
        0.0,
        "Subtracted from the reward each time the pen is put down; of compound strokes, "
        "at each command that paints.",
        minimum=0,
    )
    blank_cost: float = _setting(
        0.0, "Subtracted from the reward if the finished canvas is blank.", minimum=0
    )
    complement: bool = _setting(
        False,
        "Conditional agents: the critic sees each half of a drawing completed by the "
        "other half of its target, instead of both side by side.",
    )
    critic_regulariser: str = _setting(
        "gp",
        "What keeps the critic smooth: gp, a gradient penalty (Wasserstein loss), or "
        "spectral, layers of norm 1 (standard GAN loss; the score is the logit).",
        REGULARISERS,
    )
    gradient_penalty_cost: float = _setting(10.0, "Lambda of WGAN-GP.", minimum=0)
    offset_cost: float = _setting(
        1e-3, "Weight of the pin of the critic's free constant.", minimum=0
    )

    # Optimisation (spec, section 2).
    batch_size: int = _setting(
        64, "Episodes, and pictures, per update, of all processes together.", minimum=1
    )
    policy_learning_rate: float = _setting(3e-4, "Adam learning rate of the policy.")
    critic_learning_rate: float = _setting(1e-4, "Adam learning rate of the critic.")
    max_gradient_norm: float = _setting(
        0.0,
        "Scale the policy's gradients down to this norm if it is larger; 0: never.",
        minimum=0,
    )
    critic_steps: int = _setting(1, "Critic updates per policy update.", minimum=1)
    replay_batches: int = _setting(20, "Capacity of the replay, in batches.", minimum=1)
    average_updates: int = _setting(
        300,
        "Updates over which the policy's parameters are averaged for evaluation and "
        "sampling (exponentially); 1: the latest.",
        minimum=1,
    )

    # Running.
    actors: str = _setting(
        "threads",
        "Where episodes are played: threads step environments on the CPU; device plays "
        "the soft brush on the accelerator.",
        ACTORS,
    )
    fuse: int = _setting(
        0,
        "With actors=device: that many whole iterations (rollout, critic and policy "
        "update) in one program; 0: programs apart.",
        minimum=0,
    )
    devices: int = _setting(
        1,
        "Accelerators of each process that learn, and with actors=device play; 0: all.",
        minimum=0,
    )
    actor_devices: int = _setting(
        0,
        "With actors=threads: how many of these devices run the policy for actors only, "
        "so that all others do nothing but learn; 0: actors share the first one.",
        minimum=0,
    )
    parallel: str = _setting("jit", "How learners use several devices.", MODES)
    num_actors: int = _setting(
        1,
        "Actor threads of each process, with an environment each: of as many canvases as "
        "the process has of a batch.",
        minimum=1,
    )
    queue_capacity: int = _setting(
        1, "Batches that wait for the learner before actors pause.", minimum=1
    )
    synchronous: bool = _setting(
        False,
        "One actor in lock step with the learner: the same seed gives the same run.",
    )
    seed: int = _setting(0, "Seed of every random stream.", minimum=0)
    max_updates: int = _setting(
        1_000_000,
        "Stop after that many policy updates, earlier sessions included.",
        minimum=1,
    )
    max_minutes: float = _setting(
        0.0,
        "Stop after that many minutes, earlier sessions included; 0: no limit.",
        minimum=0,
    )

    stuck_seconds: float = _setting(
        45.0,
        "Of several processes: end the run if one sends no heartbeat, or none makes "
        "progress, for that many seconds.",
    )

    # What is kept.
    resume: bool = _setting(True, "Go on from the newest checkpoint in the run folder.")
    log_updates: int = _setting(
        20, "Updates between two lines of metrics.jsonl.", minimum=1
    )
    checkpoint_minutes: float = _setting(2.0, "Minutes between checkpoints.", minimum=0)
    evaluate_minutes: float = _setting(
        5.0,
        "Minutes between evaluations (precision, Fréchet distance, l2) and sample "
        "sheets; 0: only at the end.",
        minimum=0,
    )

    def __post_init__(self):
        """Refuses impossible values: names the value, what was expected, what to do."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            _check_kind(field.name, value, field.metadata["kind"])
            least = field.metadata["minimum"]
            if least is not None and value < least:
                raise ValueError(f"{field.name}={value}: expected at least {least}.")
            choices = field.metadata["choices"]
            if choices is DATASETS and registered_name(value) not in choices:
                raise ValueError(
                    f"dataset={value!r}: expected one of {tuple(choices)}. {_ELSEWHERE}"
                )
            if choices and choices is not DATASETS and value not in choices:
                raise ValueError(
                    f"{field.name}={value!r}: expected one of {tuple(choices)}."
                )
        if self.stuck_seconds < 10:
            raise ValueError(
                f"stuck_seconds={self.stuck_seconds}: expected at least 10; processes "
                "are heard of every second, if their machines are not overloaded."
            )
        if not all(0 < size < math.inf for size in self.brush_sizes):
            raise ValueError(f"brush_sizes={self.brush_sizes}: expected positive radii.")
        for name in ("policy_learning_rate", "critic_learning_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"{name}={getattr(self, name)}: expected between 0 and 1."
                )
        if not 0 < self.discount <= 1:
            raise ValueError(f"discount={self.discount}: expected above 0, at most 1.")
        find_brush(self.brush)
        if self.unroll_length and self.num_commands % self.unroll_length:
            raise ValueError(
                f"unroll_length={self.unroll_length} with episode_length="
                f"{self.episode_length}, which is {self.num_commands} commands: expected "
                "a divisor of these, or 0 for whole episodes."
            )
        if self.batch_size % self.unrolls_per_episode:
            raise ValueError(
                f"batch_size={self.batch_size} with {self.unrolls_per_episode} unrolls "
                "per episode: as many episodes are to be at each stage; expected a "
                "multiple of them."
            )
        width = self.canvas_width
        if width < 8 or width & (width - 1):
            raise ValueError(
                f"canvas_width={width}: the networks halve it repeatedly; expected a "
                "power of two, at least 8, such as 32 or 64."
            )
        if self.dataset in ("mnist", "omniglot") and self.use_color:
            raise ValueError(
                f"use_color=True with dataset={self.dataset!r}: its pictures are grey, "
                "the critic would tell them by colour alone; set use_color=False."
            )
        for name, datasets in (("invert", ("folder",)), ("strict", FILE_DATASETS)):
            if getattr(self, name) and self.dataset not in datasets:
                raise ValueError(
                    f"{name}=True with dataset={self.dataset!r}: it is for "
                    f"{', '.join(datasets)}; set {name}=False."
                )
        for name in ("blind", "complement", "reward_source"):
            value = getattr(self, name)
            if not self.conditional and value in (True, "l2"):
                raise ValueError(
                    f"{name}={value!r} needs a target; set conditional=True with it."
                )
        if self.complement and self.reward_source == "l2":
            raise ValueError(
                "complement=True with reward_source='l2': there is no critic; set "
                "complement=False."
            )
        if self.dataset == "scenes":
            if not self.conditional:
                raise ValueError(
                    "conditional=False with dataset='scenes': agents rebuild scenes that "
                    "they are shown; set conditional=True."
                )
            if self.max_objects > self.grid_width**2:
                raise ValueError(
                    f"max_objects={self.max_objects} with grid_width={self.grid_width}: "
                    "each needs a cell of its own; expected at most "
                    f"{self.grid_width**2}."
                )
        if self._kind not in ENVIRONMENTS:
            raise ValueError(
                f"environment_name={self.environment_name!r}: expected one of "
                f"{tuple(ENVIRONMENTS)}, or empty. {_ELSEWHERE}"
            )
        ours = self._kind in OUR_ENVIRONMENTS
        if self.own and ours and registered_name(self.dataset) in OUR_DATASETS:
            raise ValueError(
                f"own={self.own!r}: these are for environments and data sets of your "
                "own, and here is neither; leave them out."
            )
        if (self._kind == "scenes") != (self.dataset == "scenes"):
            raise ValueError(
                f"environment_name={self.environment_name!r} with dataset="
                f"{self.dataset!r}: scenes belong to each other; leave it empty."
            )
        for name in ("stroke_start_cost", "compound"):
            if getattr(self, name) and self._kind != "painting":
                raise ValueError(
                    f"{name}={getattr(self, name)} with {self._kind}: no strokes there; "
                    "leave it out."
                )
        if self.actors == "device":
            if self.actor_devices:
                raise ValueError(
                    f"actor_devices={self.actor_devices} with actors='device': there the "
                    "devices that learn play as well; set actor_devices=0."
                )
            DevicePainting(self.environment())  # refuses what it cannot play
        elif self.fuse:
            raise ValueError(
                f"fuse={self.fuse} with actors='threads': only rollouts on the "
                "accelerator can be part of a program; set actors='device'."
            )
        if self.synchronous and self.num_actors != 1:
            raise ValueError(
                f"synchronous=True with num_actors={self.num_actors}: lock step has "
                "one actor; set num_actors=1."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Reads what `dataclasses.asdict` and JSON wrote.

        Raises:
          ValueError: a setting is unknown to this version, or impossible.
        """
        if not isinstance(values, dict):
            raise ValueError("expected an object, each setting with its value.")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"Unknown settings {unknown}: made by another version.")
        return cls(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        )

    def save(self, path: Path) -> None:
        """Writes the settings as JSON, and beside it the brush, if that is a file.

        Raises:
          OSError: it cannot be written.
        """
        settings = dataclasses.asdict(self)
        if self.brush.endswith(BRUSH_ENDING):
            text = read_brush_text(self.brush)
            settings["brush"] = BRUSH_FILE
            if path.with_name(BRUSH_FILE) != Path(self.brush):
                write_file(path.with_name(BRUSH_FILE), text)
        write_file(path, json.dumps(settings, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Config":
        """Reads what `save` wrote, wherever it has been moved.

        Raises:
          OSError: it cannot be read.
          ValueError: the file is no such JSON, or of another version; names the file and
            the setting.
        """
        values = parse_json(path.read_bytes(), str(path))
        if isinstance(values, dict) and values.get("brush") == BRUSH_FILE:
            values["brush"] = str(path.absolute().with_name(BRUSH_FILE))
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def environment(self) -> dict[str, Any]:
        """Returns the settings for `make_environment` that this run fixes."""
        names = ("canvas_width", "grid_width", "episode_length")
        if self._kind == "scenes":
            names += ("shadows",)
        else:
            names += ("use_color", "background")
        if self._kind == "painting":
            names += ("brush", "brush_sizes", "use_pressure", "compound")
            return {name: getattr(self, name) for name in names}
        own = {} if self._kind in OUR_ENVIRONMENTS else self.own
        return {
            "environment": self._kind,
            **{name: getattr(self, name) for name in names},
            **own,
        }

    @property
    def _kind(self) -> str:
        scenes = self.dataset == "scenes"
        name = registered_name(self.environment_name)
        return name or ("scenes" if scenes else "painting")

    @property
    def num_commands(self) -> int:
        """Commands per episode; what counts as a frame."""
        return self.episode_length - 1

    @property
    def unrolls_per_episode(self) -> int:
        """Into how many parts the commands of an episode are cut."""
        return self.num_commands // (self.unroll_length or self.num_commands)

    @property
    def frames_per_update(self) -> int:
        """Commands that an update learns from, of all its episodes together."""
        return self.batch_size * self.num_commands // self.unrolls_per_episode


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
    # The paper's size: 64 px, 19 commands.
    #
    # --preset=mnist_64 --max_minutes=135
    # Its environment with light networks, for CPUs. After 46 minutes on one slow core
    # drawings have gathered and thinned to strokes of digits, not yet digits.
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


def flag_value(value: Any) -> str:
    """Writes a setting as its flag takes it."""
    if isinstance(value, tuple):
        return ",".join(f"{x:g}" for x in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def launch_command(config: Config) -> str:
    """Returns the command that trains with these settings, from the nearest preset."""
    settings = dataclasses.asdict(config)
    changes = {
        name: {k: v for k, v in settings.items() if v != getattr(start, k)}
        for name, start in PRESETS.items()
    }
    name = min(changes, key=lambda name: len(changes[name]))
    given = [f"--preset={name}"]
    for key, value in changes[name].items():
        if isinstance(value, dict):
            given += [shlex.quote(f"--set={k}={json.dumps(v)}") for k, v in value.items()]
            continue
        if key == "brush" and value.endswith(BRUSH_ENDING):
            value = BRUSH_FILE  # as it is called beside the settings
        given.append(shlex.quote(f"--{key}={flag_value(value)}"))
    return " ".join(["python -m experiments.launch", *given])

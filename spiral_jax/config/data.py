"""Settings of the data."""

import dataclasses
from typing import Any

from spiral_jax.config.fields import setting
from spiral_jax.extensions import registered_name
from spiral_jax.names import DATASETS, OUR_DATASETS

FILE_DATASETS = ("omniglot", "celeba", "faces", "folder")
ELSEWHERE = (
    "What is registered elsewhere needs that module to be imported first; scripts do it "
    "where they are given module:name."
)


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """What is learnt from."""

    dataset: str = setting(
        "mnist",
        "What the agent learns to draw; scenes are built in MuJoCo, all else painted. "
        "module:name is one of your own, see docs/howto/dataset.md.",
    )
    data_dir: str = setting(
        "",
        "Folder of the data. mnist: of the four idx files; empty for the embedded "
        "10,000 digits. omniglot: of its zips. celeba: of img_align_celeba and "
        "list_eval_partition.txt. emoji: nothing. faces: a zip of cartoon faces. folder: "
        "of any pictures, or a zip, .npy or .npz of them. scenes: where they are cached; "
        "empty for .cache/spiral_jax in your home.",
    )
    invert: bool = setting(
        False,
        "Data set folder: black becomes white, so that ink is dark as on the canvas.",
    )
    strict: bool = setting(
        False, "Refuse the data if a picture file cannot be read; else leave it out."
    )
    max_objects: int = setting(5, "Objects of a scene in the data, at most.", minimum=1)
    num_scenes: int = setting(50_000, "Training scenes to generate.", minimum=1)
    conditional: bool = setting(
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

    def check_data(self) -> None:
        """Refuses settings of the data that do not fit each other."""
        if registered_name(self.dataset) not in DATASETS:
            raise ValueError(
                f"dataset={self.dataset!r}: expected one of {tuple(DATASETS)}. "
                f"{ELSEWHERE}"
            )
        for name, datasets in (("invert", ("folder",)), ("strict", FILE_DATASETS)):
            if getattr(self, name) and self.dataset not in datasets:
                raise ValueError(
                    f"{name}=True with dataset={self.dataset!r}: it is for "
                    f"{', '.join(datasets)}; set {name}=False."
                )
        if self.dataset == "scenes" and not self.conditional:
            raise ValueError(
                "conditional=False with dataset='scenes': agents rebuild scenes that "
                "they are shown; set conditional=True."
            )

    @property
    def has_own_dataset(self) -> bool:
        """Whether the data set is not one of this package."""
        return registered_name(self.dataset) not in OUR_DATASETS

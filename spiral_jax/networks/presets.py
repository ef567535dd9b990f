"""Sizes of the policy network.

`paper` is the agent that DeepMind released, with layer normalisation in front of the
LSTM; `small` is for CPUs: a narrow strided torso, LSTM 128 behind layer normalisation,
and linear location heads. `pointer` is `small` with location heads that point at the
torso's map, for agents that rebuild what they are shown; `painter` is `pointer` with
heads that see the target's colours, where the canvas differs from them, and what a
stroke would bring.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class PolicyPreset:
    """Sizes of a policy.

    Attributes:
      first_stride: 1 opens with a 5x5 convolution at full resolution, 2 with a 4x4 of
        stride 2.
      torso: channels of the first layer, then of the stride-2 layers after it.
      residual_blocks: behind the strided layers, with a 3x3 convolution before them.
      condition: the MLPs of the previous command and of the noise (before the last
        linear map to `torso[0]` channels).
      core: size of the LSTM and of the linear map before it.
      core_activation: whether a ReLU follows that linear map.
      core_norm: whether layer normalisation follows them, in front of the LSTM.
      core_norm_affine: whether that has a scale and an offset of its own.
      from_blank: whether the canvas is seen as its difference from a blank one.
      convolutional_heads: whether locations are decoded by upsampling.
      pointing_heads: whether locations are pointed at on the layer of the torso that is
        as wide as the grid, see `PointingLocationHead`.
      told_by_target: whether colours are told from the target's colours where the stroke
        goes, locations from `location_hints` and `place_gains`, and sizes from
        `curve_gains`; conditional agents with pointing heads only.
      he_weights: whether the torso's initial weights keep the signal's power.
      centred_gradients: whether what all canvases push alike is kept from core and torso,
        see `centre_gradients`.
    """

    first_stride: int
    torso: tuple[int, ...]
    residual_blocks: int
    condition: tuple[int, ...]
    core: int
    core_activation: bool
    from_blank: bool
    convolutional_heads: bool
    pointing_heads: bool = False
    told_by_target: bool = False
    core_norm: bool = False
    core_norm_affine: bool = True
    centred_gradients: bool = False
    he_weights: bool = False


PRESETS = {
    "paper": PolicyPreset(
        first_stride=1,
        torso=(32, 32, 32, 32),
        residual_blocks=8,
        condition=(64, 32),
        core=256,
        core_activation=False,
        from_blank=False,
        convolutional_heads=True,
        # Neither changes the function that the released agent computes. Without them
        # the LSTM sees a hundredth of what its gates need, and the first thing that
        # the critic learns drowns that.
        he_weights=True,
        centred_gradients=True,
        # This is ours, and has no parameters. Without it the residual blocks grow on each
        # other until the gates saturate: they saw 5 after 200 updates, 1,700 after 480.
        core_norm=True,
        core_norm_affine=False,
    ),
    # Without the ReLU and the difference, both ours, it learns half as fast: on mostly
    # blank canvases the blank drowns the strokes.
    "small": PolicyPreset(
        first_stride=2,
        torso=(16, 32, 32),
        residual_blocks=0,
        condition=(64, 32),
        core=128,
        core_activation=True,
        from_blank=True,
        convolutional_heads=False,
        # While the critic is new, all canvases push the policy the same way; what the
        # torso says grows to a hundred times what it was, the LSTM's gates saturate, and
        # it says the same of whatever it sees, for good: value and flag no longer depend
        # on the picture. Heads that point hide it, as they see the torso's map past the
        # LSTM.
        core_norm=True,
        # At 64 px and 19 commands the torso went blind all the same: 1 % of its output
        # varied after 60 updates, against 44 %.
        centred_gradients=True,
    ),
}
PRESETS["pointer"] = dataclasses.replace(PRESETS["small"], pointing_heads=True)
PRESETS["painter"] = dataclasses.replace(PRESETS["pointer"], told_by_target=True)

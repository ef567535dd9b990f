import functools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.network_speed import flop_of_products
from spiral_jax.language import painting_language
from spiral_jax.losses import hindsight_loss
from spiral_jax.networks import convolutions, make_discriminator, make_policy
from spiral_jax.networks.layers import (
    Convolution,
    Downsample,
    Pointwise,
    Upsample,
    largest_singular_value,
)
from spiral_jax.networks.likelihood import (
    command_log_prob_and_entropy,
    component_entropies,
    shortfall_bonus,
)
from spiral_jax.types import PolicyOutput, Trajectory


def count(params) -> int:
    return sum(x.size for x in jax.tree.leaves(params))


def linear(inputs, outputs):
    return (inputs + 1) * outputs


def conv(kernel, inputs, outputs):
    return (kernel**2 * inputs + 1) * outputs


def test_paper_policy_has_the_released_agents_parameters():
    """Spec, section 5, summed by hand; 64x64 RGB, grid 32, eight components."""
    sizes = {"flag": 2, "end": 1024, "control": 1024, "size": 6, "pressure": 10}
    sizes |= {"red": 20, "green": 20, "blue": 20}
    width = {k: 2 if k in ("end", "control") else n for k, n in sizes.items()}
    mlp = lambda n: linear(n, 64) + linear(64, 32) + linear(32, 32)
    residual = 8 * (conv(3, 32, 32) + conv(1, 32, 32))
    torso = conv(5, 3 + 2, 32) + 3 * conv(4, 32, 32) + conv(3, 32, 32) + residual
    torso += linear(8 * 8 * 32, 256)
    condition = sum(linear(n, 16) for n in width.values()) + mlp(8 * 16) + mlp(10)
    lstm = linear(256 + 256, 4 * 256)
    location = conv(3, 16, 32) + residual + 3 * conv(4, 32, 32) + conv(3, 32, 1)
    heads = 2 * location + sum(
        linear(256, n) for k, n in sizes.items() if k not in ("end", "control")
    )
    # Nothing follows the last component, so nothing needs to be told about it.
    told = [k for k in sizes if k != "blue"]
    updates = len(told) * (linear(256 + 16, 16) + linear(16, 32) + linear(32, 256))
    updates += sum(linear(width[k], 16) for k in told)
    expected = torso + condition + lstm + heads + updates + linear(256, 1)

    language = painting_language(32, 6, use_pressure=True, use_color=True)
    policy = make_policy(language, (64, 64, 3), "paper", 1.0)
    assert count(jax.eval_shape(policy.init, jax.random.key(0))) == expected


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_sampled_and_replayed_log_probs_are_equal(preset, rng):
    language = painting_language(8, 2, use_pressure=True, use_color=False)
    policy = make_policy(language, (16, 16, 1), preset, 1.0)
    params = policy.init(jax.random.key(0))
    state = policy.initial_state(jax.random.key(1), 3)
    start = state._replace(key=None)
    outputs, canvases, masks = [], [], []
    step = jax.jit(policy.step)
    for _ in range(3):
        canvases.append(rng.random([3, 16, 16, 1]).astype(np.float32))
        masks.append(
            {k: rng.integers(2, size=3).astype(np.float32) for k in language.names}
        )
        observation = {"canvas": canvases[-1], "action_mask": masks[-1]}
        output, state = step(params, observation, state)
        outputs.append(output)
    sampled = jax.tree.map(lambda *x: jnp.stack(x), *outputs)
    trajectory = Trajectory(
        canvases=np.stack([*canvases, canvases[-1]]),
        action_masks=jax.tree.map(lambda *x: np.stack(x), *masks),
        actions=sampled.actions,
        behaviour_log_prob=jnp.zeros([3, 3]),
        rewards=jnp.zeros([3, 3]),
        discounts=jnp.zeros([3, 3]),
        start=start,
    )
    replayed, _, _ = jax.jit(policy.unroll)(params, trajectory)
    for name in language.names:
        np.testing.assert_allclose(
            sampled.log_probs[name], replayed.log_probs[name], atol=2e-5
        )
        np.testing.assert_allclose(
            sampled.entropies[name], replayed.entropies[name], atol=2e-5
        )
    np.testing.assert_allclose(sampled.value, replayed.value, atol=2e-5)


def test_later_components_depend_on_earlier_ones(rng):
    language = painting_language(8, 2, use_pressure=False, use_color=False)
    policy = make_policy(language, (16, 16, 1), "small", 1.0)
    params = policy.init(jax.random.key(0))

    def score(actions):
        zeros = jnp.zeros([1, 1])
        masks = {k: zeros for k in language.names}
        canvases = jnp.ones([2, 1, 16, 16, 1])
        start = policy.initial_state(jax.random.key(0), 1)._replace(key=None)
        trajectory = Trajectory(canvases, masks, actions, zeros, zeros, zeros, start)
        return policy.unroll(params, trajectory)[0].log_probs

    actions = language.random([1, 1], rng)
    other = {**actions, "end": (actions["end"] + 30) % 64}
    assert score(actions)["flag"] == score(other)["flag"]
    assert score(actions)["control"] != score(other)["control"]


def test_unused_components_count_for_nothing(rng):
    language = painting_language(8, 2, use_pressure=False, use_color=False)
    actions = {k: np.zeros(2, np.int32) for k in language.names}
    actions["flag"] = np.array([0, 1])
    ones = {k: np.full(2, -1.0) for k in language.names}
    output = PolicyOutput(actions, ones, {k: -v for k, v in ones.items()}, None)
    log_prob, entropy = command_log_prob_and_entropy(language, output)
    assert log_prob.tolist() == [-2, -4]
    assert entropy.tolist() == [2, 4]


def test_entropy_has_the_joint_distributions_gradient():
    """Over both flags: E[H(flag) + used H(rest)] and its gradient, by enumeration."""
    language = painting_language(8, 2, use_pressure=False, use_color=False)
    rest = {"end": 1.5, "control": 2.0, "size": 0.3}

    def estimate(logit, flag):
        """What the loss sees when `flag` was sampled."""
        log_p = jax.nn.log_softmax(jnp.stack([0.0, logit]))
        actions = {k: jnp.full([1], flag) for k in language.names}
        log_probs = {k: jnp.full([1], log_p[flag]) for k in language.names}
        entropies = {k: jnp.full([1], v) for k, v in rest.items()}
        entropies["flag"] = -jnp.sum(jnp.exp(log_p) * log_p)[None]
        output = PolicyOutput(actions, log_probs, entropies, None)
        return command_log_prob_and_entropy(language, output)[1][0]

    def exact(logit):
        p = jax.nn.sigmoid(logit)
        flag = -p * jnp.log(p) - (1 - p) * jnp.log(1 - p)
        return flag + rest["end"] + p * (rest["control"] + rest["size"])

    logit = 0.7
    p = [1 - jax.nn.sigmoid(logit), jax.nn.sigmoid(logit)]
    value = sum(p[f] * estimate(logit, f) for f in (0, 1))
    gradient = sum(p[f] * jax.grad(estimate)(logit, f) for f in (0, 1))
    assert float(value) == pytest.approx(float(exact(logit)), rel=1e-5)
    assert float(gradient) == pytest.approx(float(jax.grad(exact)(logit)), rel=1e-4)


def test_narrow_components_are_paid_for_their_entropy():
    """By hand: half the floor is lacking of sizes, and nothing of other components."""
    language = painting_language(8, 2, use_pressure=False, use_color=False)
    floor = 0.4
    open_ = {c.name: np.log(c.num_values) * floor for c in language.components}
    entropies = {k: jnp.full([1, 3], v) for k, v in open_.items()}
    entropies["size"] = jnp.full([1, 3], open_["size"] / 2)
    actions = {k: jnp.ones([1, 3], jnp.int32) for k in language.names}
    actions["flag"] = jnp.array([[1, 1, 0]])  # a move has no size

    def bonus(size):
        output = PolicyOutput(actions, {}, {**entropies, "size": size}, None)
        means = component_entropies(language, output)
        return shortfall_bonus(language, output, means, floor)

    expected = [[open_["size"] / 4, open_["size"] / 4, 0]]
    np.testing.assert_allclose(bonus(entropies["size"]), expected, atol=1e-6)
    # What is lacking weighs the entropy, and has no gradient of its own.
    gradient = jax.grad(lambda size: jnp.sum(bonus(size)))(entropies["size"])
    np.testing.assert_allclose(gradient, [[0.5, 0.5, 0]], atol=1e-6)


def test_hindsight_shows_the_agent_what_it_drew(rng):
    """Minus the likelihood of its commands with the finished canvas as the target."""
    language = painting_language(8, 2, use_pressure=False, use_color=False)
    policy = make_policy(language, (16, 16, 1), "small", 1.0, conditional=True)
    params = policy.init(jax.random.key(0))
    zeros, actions = jnp.zeros([2, 3]), language.random([2, 3], rng)
    masks = {k: zeros for k in language.names}
    canvases = rng.random([3, 3, 16, 16, 1]).astype(np.float32)
    start = policy.initial_state(jax.random.key(0), 3)._replace(key=None)
    shown = Trajectory(canvases, masks, actions, zeros, zeros, zeros, start, canvases[2])
    output, _, _ = jax.jit(policy.unroll)(params, shown)
    expected = -command_log_prob_and_entropy(language, output)[0].sum(0).mean()
    other = shown._replace(targets=1 - canvases[2])
    loss = functools.partial(hindsight_loss, policy, language)
    found = jax.jit(loss)(params, other)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def assert_same_function(ours, theirs, arranged, images):
    """Compares two layers: outputs, gradients, and the gradients of gradients' norms.

    Args:
      ours: makes a layer, which takes the images.
      theirs: makes Haiku's, which takes them side by side as channels.
      arranged: weights `w` as `theirs` has them to `w` as `ours` has them.
      images: arrays `[N or 1, H, W, C]`.
    """
    together = lambda xs: jnp.concatenate(
        [jnp.broadcast_to(x, (len(images[0]), *x.shape[1:])) for x in xs], axis=-1
    )
    own = hk.without_apply_rng(hk.transform(lambda *xs: ours()(*xs)))
    other = hk.without_apply_rng(hk.transform(lambda *xs: theirs()(together(xs))))
    ((layer, params),) = other.init(jax.random.key(0), *images).items()
    params["b"] += 0.5
    (name,) = own.init(jax.random.key(0), *images)

    def of(network, to_params):
        output = lambda p, xs: network.apply(to_params(p), *xs)
        loss = lambda p, xs: jnp.sum(jnp.tanh(output(p, xs)))
        penalty = lambda p, xs: jnp.sum(jax.grad(loss, 1)(p, xs)[0] ** 2)
        second = lambda p, xs: jnp.sum(jax.grad(loss)(p, xs)["w"] ** 2)
        # Of the gradient of one and the other by both of them.
        derived = [jax.grad(f, (0, 1)) for f in (loss, penalty, second)]
        return jax.jit(lambda p, xs: (output(p, xs), [f(p, xs) for f in derived]))

    found = of(own, lambda p: {name: {"w": arranged(p["w"]), "b": p["b"]}})
    expected = of(other, lambda p: {layer: p})(params, images)
    found = found(params, images)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
        # Sums of many terms: to 1e-5 of an array's largest number.
        np.testing.assert_allclose(x, y, atol=1e-5 * max(1, np.abs(y).max()))


def in_blocks(w):
    """`[4, 4, C, M]` by position in the window -> 2x2 blocks of 2x2 px: `[16 C, M]`."""
    c, m = w.shape[2:]
    blocks = w.reshape(2, 2, 2, 2, c, m).transpose(0, 2, 1, 3, 4, 5)
    return blocks.reshape(16 * c, m)


# The ways in which a function and its gradients are computed are chosen by shape.
@pytest.mark.parametrize(
    ("size", "channels", "num_channels"),
    [(8, 3, 5), (8, 1, 40), (8, 8, 32), (8, 8, 72), (16, 1, 4), (16, 6, 4), (32, 8, 4)],
)
def test_downsample_is_a_strided_convolution(
    size, channels, num_channels, rng, monkeypatch
):
    monkeypatch.setattr(convolutions, "PIXELS_IN_CACHE", size**2 // 4)
    images = rng.random([2, size, size, channels]).astype(np.float32)
    assert_same_function(
        lambda: Downsample(num_channels),
        lambda: hk.Conv2D(num_channels, 4, 2),
        in_blocks,
        [images],
    )


@pytest.mark.parametrize(
    ("size", "channels", "num_channels"), [(4, 8, 8), (4, 72, 3), (16, 3, 8)]
)
def test_upsample_is_a_transposed_convolution(size, channels, num_channels, rng):
    images = rng.random([2, size, size, channels]).astype(np.float32)
    assert_same_function(
        lambda: Upsample(num_channels),
        lambda: hk.Conv2DTranspose(num_channels, 4, 2),
        # Haiku's is a convolution of the images with zeros between the pixels.
        lambda w: in_blocks(w[::-1, ::-1]),
        [images],
    )


@pytest.mark.parametrize(
    ("kernel", "channels", "num_channels"),
    [(3, 8, 4), (5, 1, 4), (5, 3, 4), (3, 9, 1), (5, 1, 1), (1, 9, 4)],
)
def test_convolution_is_haikus(kernel, channels, num_channels, rng, monkeypatch):
    monkeypatch.setattr(convolutions, "PIXELS_IN_CACHE", 36)  # two parts of one picture
    images = rng.random([2, 6, 6, channels]).astype(np.float32)
    assert_same_function(
        lambda: Convolution(num_channels, kernel),
        lambda: hk.Conv2D(num_channels, kernel),
        lambda w: w,
        [images],
    )


def test_gradients_in_many_parts_are_as_precise_in_bfloat16(rng, monkeypatch):
    monkeypatch.setattr(convolutions, "PIXELS_IN_CACHE", 64)  # 512 parts
    images = rng.random([512, 16, 16, 1]).astype(np.float32)
    w = rng.random([16, 4]).astype(np.float32)
    gradient = jax.grad(lambda w, x: jnp.sum(convolutions.halve(x, w), dtype="float32"))
    rounded = gradient(*(jnp.asarray(x, jnp.bfloat16) for x in (w, images)))
    assert rounded.dtype == jnp.bfloat16
    # A sum of 512 that is kept in bfloat16 would end at half of it.
    np.testing.assert_allclose(rounded.astype(np.float32), gradient(w, images), rtol=0.01)


def test_pointwise_is_a_convolution_of_single_pixels(rng):
    images = rng.random([2, 4, 4, 3]).astype(np.float32)
    assert_same_function(
        lambda: Pointwise(5), lambda: hk.Conv2D(5, 1), lambda w: w[0, 0], [images]
    )


@pytest.mark.parametrize("channels", [1, 4])
def test_channels_that_all_images_share_are_convolved_once(channels, rng):
    images = rng.random([3, 8, 8, channels]).astype(np.float32)
    shared = rng.random([1, 8, 8, 2]).astype(np.float32)
    for ours, theirs, arranged in (
        (lambda: Convolution(4, 5), lambda: hk.Conv2D(4, 5), lambda w: w),
        (lambda: Downsample(4), lambda: hk.Conv2D(4, 4, 2), in_blocks),
    ):
        assert_same_function(ours, theirs, arranged, [images, shared])
    # Once: 3 images of `channels`, and one picture of two more.
    network = hk.without_apply_rng(hk.transform(lambda *xs: Convolution(4, 5)(*xs)))
    params = network.init(jax.random.key(0), images, shared)
    flop = flop_of_products(lambda: network.apply(params, images, shared))
    assert flop == 2 * 64 * 25 * 4 * (3 * channels + 2)


def test_discriminator_scores_pictures_alone_or_in_pairs(rng):
    discriminator = make_discriminator(8)
    images = rng.random([3, 32, 32, 1]).astype(np.float32)
    params = discriminator.init(jax.random.key(0), images)
    scores = discriminator.apply(params, images)
    assert scores.shape == (3,)
    alone = discriminator.apply(params, images[1:2])
    np.testing.assert_allclose(scores[1:2], alone, atol=1e-5)
    params = discriminator.init(jax.random.key(0), images, images)
    pairs = discriminator.apply(params, images, images[::-1])
    assert pairs[0] != discriminator.apply(params, images, images)[0]
    with pytest.raises(ValueError, match="power of two"):
        discriminator.init(jax.random.key(0), images[:, :31, :31])


@pytest.mark.thorough
def test_what_pointers_lstm_sees_does_not_grow_with_the_torso(rng):
    """In training it grows a hundredfold; saturated gates see no difference."""
    language = painting_language(16, 2, use_pressure=False, use_color=False)
    policy = make_policy(language, (32, 32, 1), "pointer", 1.0, conditional=True)
    params = policy.init(jax.random.key(0))
    canvas, target = rng.random([2, 8, 32, 32, 1]).astype(np.float32)
    mask = {name: np.zeros([8]) for name in language.names}
    observation = {"canvas": canvas, "target": target, "action_mask": mask}
    state = policy.initial_state(jax.random.key(1), 8)
    grown = {
        module: jax.tree.map(lambda x: 100.0 * x, p) if "torso/linear" in module else p
        for module, p in params.items()
    }
    values = [policy.step(p, observation, state)[0].value for p in (params, grown)]
    np.testing.assert_allclose(*values, atol=1e-3)


def test_spectral_critics_have_layers_of_norm_one(rng):
    for shape in [(16, 32), (512, 64), (2048, 1)]:
        matrix = rng.normal(size=shape).astype(np.float32)
        matrix[:, 0] *= 3.0
        exact = np.linalg.norm(matrix, ord=2)
        assert 0.95 * exact < largest_singular_value(matrix) < 1.0001 * exact
        gradient = jax.grad(largest_singular_value)(matrix)
        # The gradient of a norm has the norm 1, and points along the matrix.
        assert np.linalg.norm(gradient) == pytest.approx(1.0, rel=1e-4)
        found = float(largest_singular_value(matrix))
        assert np.sum(gradient * matrix) == pytest.approx(found, rel=1e-4)
    images = rng.random([3, 16, 16, 1]).astype(np.float32)
    spectral = make_discriminator(8, spectral=True)
    params = spectral.init(jax.random.key(0), images)
    scaled = jax.tree.map(lambda x: 5.0 * x if x.ndim == 2 else x, params)
    np.testing.assert_allclose(
        spectral.apply(scaled, images), spectral.apply(params, images), rtol=1e-4
    )
    divided = jax.tree.map(
        lambda x: x / largest_singular_value(x) if x.ndim == 2 else x, params
    )
    np.testing.assert_allclose(
        make_discriminator(8).apply(divided, images),
        spectral.apply(params, images),
        rtol=1e-5,
    )


def test_presets_and_grids_that_do_not_exist_are_refused():
    language = painting_language(12, 2, use_pressure=False, use_color=False)
    with pytest.raises(ValueError, match="policy='large'"):
        make_policy(language, (16, 16, 1), "large", 1.0)
    with pytest.raises(ValueError, match="grid_width=12"):
        make_policy(language, (16, 16, 1), "paper", 1.0).init(jax.random.key(0))

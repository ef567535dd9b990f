import pytest

from spiral_jax.collapse import CollapseWatch

HEALTHY = {
    "policy/torso_variation": 0.2,
    "policy/entropy_end": 3.0,
    "policy/entropy_control": 3.0,
    "policy/entropy_flag": 0.0,  # no location: a policy may well always paint
}


@pytest.mark.parametrize(
    ("name", "low", "text"),
    [
        ("policy/torso_variation", 0.004, "gone blind"),
        ("policy/entropy_end", 0.04, "stopped to explore"),
        ("policy/entropy_control", 0.0, "stopped to explore"),
    ],
)
def test_a_collapse_is_named_once_after_200_updates(tiny_system, name, low, text):
    watch = CollapseWatch(tiny_system.config, tiny_system.language)
    collapsed = {**HEALTHY, name: low}
    assert watch.observe(20, HEALTHY) is None
    said = [watch.observe(n, collapsed) for n in range(40, 241, 20)]
    assert said[:-1] == [None] * 10
    assert f"{name} = {low:.2g} since update 40" in said[-1]
    assert text in said[-1]
    assert "--policy_learning_rate" in said[-1]
    assert "--entropy_cost" in said[-1]
    assert all(watch.observe(n, collapsed) is None for n in range(260, 700, 20))


def test_a_policy_that_recovers_is_not_named(tiny_system):
    watch = CollapseWatch(tiny_system.config, tiny_system.language)
    for n in range(20, 1000, 20):
        low = 0.001 if n % 200 else 0.006
        assert watch.observe(n, {**HEALTHY, "policy/torso_variation": low}) is None

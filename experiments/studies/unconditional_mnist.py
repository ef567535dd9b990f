r"""How near to real digits an unconditional agent comes, in frames and in time (S1).

  python -m experiments.studies.unconditional_mnist --max_minutes=60

Trains one unconditional MNIST agent. The figure shows the Fréchet distance of its
drawings against frames and minutes, beside that of real digits.
"""

from typing import Any

from experiments.curves import draw_curve
from experiments.studies.study import Study, run_study

STUDY = Study(name="unconditional_mnist", preset="mnist_small", variants={"agent": {}})


def draw(result: dict[str, Any]):
    """Draws distance against frames, and against minutes."""
    agent = result["variants"]["agent"]
    floor = ("real digits", agent["real"][agent["metric"]])
    return draw_curve(agent["curve"], agent["label"], floor)


if __name__ == "__main__":
    run_study(STUDY, draw)

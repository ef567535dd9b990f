"""A run from beginning to end, small enough for whoever has just cloned this."""

import dataclasses

import numpy as np

from spiral_jax import Program, load_agent
from spiral_jax.metrics import read_records
from spiral_jax.train import train
from spiral_jax.training import evaluations


class OneDrawing:
    """Measures nothing; the real evaluators have tests of their own."""

    num_drawings = 1

    def __init__(self, system, data):
        self._blank = system.blank

    def measure(self, params, stopped):
        return {"frechet/distance": 1.0}, self._blank[None]

    def in_short(self, measures):
        return "one drawing"

    def table(self, measures):
        return measures


def test_an_agent_learns_is_kept_and_draws(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluations, "make_evaluator", OneDrawing)
    config = dataclasses.replace(tiny_config, max_updates=6, log_updates=2)
    assert train(config, tmp_path) == {"frechet/distance": 1.0}
    records = [r for r in read_records(tmp_path / "metrics.jsonl") if "policy/loss" in r]
    assert [record["updates"] for record in records] == [2, 4, 6]
    agent = load_agent(tmp_path)
    programs, canvases = agent.sample(2, seed=0)
    assert agent.num_updates == 6
    assert canvases.shape == (2, 16, 16, 1)
    programs[0].save(tmp_path / "drawing.json")
    again = Program.from_json((tmp_path / "drawing.json").read_text(encoding="utf-8"))
    np.testing.assert_allclose(again.render(), canvases[0], atol=1e-6)

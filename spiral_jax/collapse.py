"""Notices a policy that has gone blind, or that has stopped to explore."""

from collections.abc import Mapping

from spiral_jax.config import Config
from spiral_jax.language import CommandLanguage

LEAST_VARIATION = 0.005
LEAST_ENTROPY = 0.05
PATIENCE = 200


class CollapseWatch:
    """Says so, once a run, when the policy's signals have been dead for 200 updates.

    It watches `policy/torso_variation`, below 0.005 of which the policy draws the same
    whatever it sees, and the entropy of each location, below 0.05 nats of which all
    strokes go to the same place. Neither comes back by itself: what is seen no more has
    no gradient.
    """

    def __init__(self, config: Config, language: CommandLanguage):
        self._config = config
        self._limits = {"policy/torso_variation": LEAST_VARIATION} | {
            f"policy/entropy_{component.name}": LEAST_ENTROPY
            for component in language.components
            if component.is_location
        }
        self._low_since: dict[str, int] = {}
        self._said = False

    def observe(self, num_updates: int, metrics: Mapping[str, float]) -> str | None:
        """Takes the metrics of a logged line; returns the warning when it is due.

        Args:
          num_updates: of the run so far.
          metrics: means since the line before, as `Metrics.flush` returns them.
        """
        for name, limit in self._limits.items():
            value = metrics[name]
            if value >= limit:
                self._low_since.pop(name, None)
                continue
            since = self._low_since.setdefault(name, num_updates)
            if num_updates - since >= PATIENCE and not self._said:
                self._said = True
                return self._warning(name, value, limit, since)
        return None

    def _warning(self, name: str, value: float, limit: float, since: int) -> str:
        what = "stopped to explore"
        if name == "policy/torso_variation":
            what = "gone blind: it draws the same whatever it sees"
        return (
            f"WARNING: {name} = {value:.2g} since update {since}; a policy that learns "
            f"has {limit} or more. This one has {what}, and will hardly recover. Begin "
            "again in another folder, with a lower --policy_learning_rate (this run: "
            f"{self._config.policy_learning_rate:g}) or a higher --entropy_cost (this "
            f"run: {self._config.entropy_cost:g})."
        )

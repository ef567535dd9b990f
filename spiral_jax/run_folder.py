"""The settings in a run's folder, and those that it had before."""

import json
from pathlib import Path
from typing import Any

from spiral_jax.paths import write_file

CONFIG_FILE = "config.json"
EARLIER_FILE = "earlier_settings.json"


def keep_earlier_settings(
    run_dir: Path, settings: dict[str, Any], num_updates: int
) -> None:
    """Keeps what config.json holds, if other settings are about to take its place.

    earlier_settings.json is a list of `{"until_updates": N, "settings": {...}}`, oldest
    first: with these settings the updates up to N were learnt. A file that is no JSON is
    kept as its text.

    Args:
      run_dir: the run's folder.
      settings: what will be in config.json.
      num_updates: N, of the run so far.

    Raises:
      OSError: names the file that cannot be written.
    """
    path = run_dir / EARLIER_FILE
    before, earlier = _read(run_dir / CONFIG_FILE), _read(path) or []
    if before in (None, json.loads(json.dumps(settings))):  # of JSON's types, as `before`
        return
    entry = {"until_updates": num_updates, "settings": before}
    earlier = earlier if isinstance(earlier, list) else [earlier]
    # It is there already if a kill came between this and the writing of config.json.
    if earlier[-1:] != [entry]:
        write_file(path, json.dumps([*earlier, entry], indent=1) + "\n")


def _read(path: Path) -> Any:
    """Returns a file's JSON, or its text if it is none; None if there is no such file."""
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text

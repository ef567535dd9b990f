"""What is written into a run's folder, and what is said where that fails."""

import errno
import json
import os
from pathlib import Path
from typing import Any

CONFIG_FILE = "config.json"
EARLIER_FILE = "earlier_settings.json"

_REMEDIES = {
    errno.ENOSPC: "Free some space there.",
    errno.EDQUOT: "Free some of your quota there.",
    errno.EACCES: "Name a folder that you may write to.",
    errno.EPERM: "Name a folder that you may write to.",
    errno.EROFS: "Name a folder on a file system that can be written to.",
    errno.EEXIST: "A folder is expected: name another one, or move that file away.",
    errno.ENOTDIR: "A folder is expected: name another one, or move that file away.",
}


def explained(error: OSError, path: str | Path, more: str = "") -> OSError:
    """Returns an error of the same kind that says where, why and what to do.

    Args:
      error: what the operating system said, or an error that explains itself already.
      path: what was to be read or written, if the error does not say.
      more: what else the reader should know.
    """
    text = str(error)
    if error.strerror:
        remedy = _REMEDIES.get(error.errno, "")
        text = f"{error.filename or path}: {error.strerror}. {remedy}".rstrip()
    told = type(error)(f"{text} {more}".rstrip())
    told.errno = error.errno
    return told


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, if absent.

    Raises:
      OSError: says why that is impossible, and what to do.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explained(error, path) from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file as a whole: whatever happens, it is the old one or the new one.

    Raises:
      OSError: says why that is impossible, and what to do.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise explained(error, path) from error


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
      OSError: says why that is impossible, and what to do.
    """
    path = run_dir / EARLIER_FILE
    before, earlier = _read(run_dir / CONFIG_FILE), _read(path) or []
    if before in (None, json.loads(json.dumps(settings))):  # of JSON's types, as `before`
        return
    entry = {"until_updates": num_updates, "settings": before}
    earlier = earlier if isinstance(earlier, list) else [earlier]
    # It is there already if a kill came between this and the writing of config.json.
    if earlier[-1:] != [entry]:
        write_text(path, json.dumps([*earlier, entry], indent=1) + "\n")


def _read(path: Path) -> Any:
    """Returns a file's JSON, or its text if it is none; None if there is no such file."""
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text

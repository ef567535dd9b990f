"""Checksums of a checkpoint's files, which tell whether one was damaged."""

import json
import zlib
from pathlib import Path

import tensorstore as ts

from spiral_jax.paths import write_file

_ITEM = "default"  # orbax's name for what is saved without one
_CHECKSUMS = "checksums.json"


def write_checksums(folder: Path) -> int:
    """Writes the size and the CRC-32 of each file of a checkpoint beside them."""
    found = {
        path.relative_to(folder).as_posix(): _checksum(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    write_file(folder / _CHECKSUMS, json.dumps(found, indent=1) + "\n")
    return len(found)


def _checksum(path: Path) -> list[int]:
    size, crc = 0, 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return [size, crc]


def find_damage(folder: Path) -> str:
    """Says what is wrong with a checkpoint's files; empty if nothing is.

    Without checksums (a kill came before they were written, or an earlier version wrote
    it), what the files' own format can tell: that all arrays are there.

    Args:
      folder: of one checkpoint.
    """
    try:
        if (folder / _CHECKSUMS).exists():
            for name, expected in json.loads(
                (folder / _CHECKSUMS).read_text(encoding="utf-8")
            ).items():
                size, crc = _checksum(folder / name)
                if size != expected[0]:
                    return f"{name} has {size:,} bytes, expected {expected[0]:,}"
                if crc != expected[1]:
                    return f"{name} has changed since it was written"
            return ""
        for name in ("_CHECKPOINT_METADATA", f"{_ITEM}/_METADATA"):
            json.loads((folder / name).read_text(encoding="utf-8"))
        base = {"driver": "file", "path": f"{(folder / _ITEM).absolute()}/"}
        store = {"driver": "ocdbt", "base": base}
        keys = [key.decode() for key in ts.KvStore.open(store).result().list().result()]
        names = [key.removesuffix(".zarray") for key in keys if key.endswith("/.zarray")]
        for name in names:
            array = ts.open({"driver": "zarr", "kvstore": {**store, "path": name}})
            array.result().read().result()
        return "" if names else "it holds no arrays"
    except FileNotFoundError as error:
        return f"{Path(error.filename).relative_to(folder)} is missing"
    except Exception as error:  # whatever the libraries make of damaged files
        return str(error).partition("\n")[0]

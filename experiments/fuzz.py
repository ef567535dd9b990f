r"""Reads damaged documents by the thousand: each must be refused by name, or read.

  python -m experiments.fuzz --num=100000

Of each kind of document some valid ones are damaged at random: bytes are changed, cut
out, doubled and cut off; values of JSON become others, keys go and come; arrays of .npz
have other names, kinds and shapes. Reading such a document may succeed, and whatever is
done with it next has to as well, or raise a ValueError that names the file. Anything else
is a mistake of ours: the document is kept in --out, and the exit code is 1.

Document number i is the same in every run: --first=i --num=1 --kind=KIND reads it again.
"""

import copy
import dataclasses
import io
import json
import random
import tempfile
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from experiments.cli import define_path, run
from experiments.curves import read_curve
from spiral_jax.config import PRESETS, Config
from spiral_jax.environments import Painting, language_of
from spiral_jax.images import program_to_svg
from spiral_jax.parameters import check_fits, load_params, save_params
from spiral_jax.programs import Program, programs_from_json, programs_to_json
from spiral_jax.renderers.mypaint import load_brush, read_brush_text

_NUM = flags.DEFINE_integer("num", 1000, "Documents of each kind.", lower_bound=1)
_FIRST = flags.DEFINE_integer("first", 0, "Number of the first one.", lower_bound=0)
_KINDS = flags.DEFINE_list("kind", [], "Kinds of documents; all, if not given.")
_OUT = define_path("out", "runs/fuzz", "Where documents are kept that are not refused.")

# What JSON holds, and readers might not expect.
ODD = (
    *(None, True, False, 0, 1, -1, 7, 0.5, -0.0, 1e308, 10**30, 2**31, 2**63),
    *(
        float("nan"),
        float("inf"),
        "",
        "8",
        "soft",
        "a\0b.myb",
        "\ud800",
        "../x",
        "é" * 300,
    ),
    *([], [[]], [None], {}, {"": 0}, [1, "2", None], {"flag": {}}),
)
DEEP = 100_000
METRIC = "frechet/distance"
PARAMS = {
    "head": {"w": np.zeros([3, 2], np.float32), "b": np.zeros(2, np.float32)},
    "torso/conv": {"w": np.zeros([2, 2, 1, 3], np.float32)},
}


class Kind(NamedTuple):
    """A kind of document.

    Attributes:
      name: of the file that it is written into.
      valid: some documents that are whole.
      damage: makes another one of a valid document.
      read: reads the file, and does what comes next.
    """

    name: str
    valid: list[bytes]
    damage: Callable[[bytes, random.Random], bytes]
    read: Callable[[Path], Any]


def damage_bytes(document: bytes, rng: random.Random) -> bytes:
    """Changes, cuts out, doubles, inserts or cuts off some bytes."""
    data = bytearray(document)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 16, 100))
        how = rng.randrange(6)
        if how == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1 and at < len(data):
            data[at] = rng.choice((0, 255, 10, 34, 91, 123, rng.randrange(256)))
        elif how == 2:
            del data[at : at + length]
        elif how == 3:
            data[at:at] = data[at : at + length]
        elif how == 4:
            data[at:at] = rng.randbytes(length)
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)


def damage_json(document: bytes, rng: random.Random) -> bytes:
    """Changes values and keys of JSON, or its bytes."""
    if rng.random() < 0.3:
        return damage_bytes(document, rng)
    if rng.random() < 0.001:
        return b"[" * DEEP
    holder = [json.loads(document)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _change_value(holder, rng)
    return json.dumps(holder[0]).encode()


def _change_value(holder: list, rng: random.Random) -> None:
    """Changes one value somewhere in what a list holds."""
    where, key = holder, 0
    while isinstance(where[key], (dict, list)) and where[key] and rng.random() < 0.8:
        where = where[key]
        key = rng.choice(list(where) if isinstance(where, dict) else range(len(where)))
    how = rng.randrange(5)
    if how == 0 and where is not holder:
        del where[key]
    elif how == 1 and isinstance(where, dict):
        where[rng.choice((f"{key}s", "", "seed", "environment"))] = where.pop(key)
    elif how == 2 and isinstance(where, dict):
        where[rng.choice(("x", "batch_size", "renderer"))] = copy.deepcopy(
            rng.choice(ODD)
        )
    elif how == 3:
        where[key] = [where[key]]
    else:
        where[key] = copy.deepcopy(rng.choice(ODD))


def damage_lines(document: bytes, rng: random.Random) -> bytes:
    """Damages one line of a file of JSON lines, or its bytes."""
    if rng.random() < 0.3:
        return damage_bytes(document, rng)
    lines = document.splitlines()
    number = rng.randrange(len(lines))
    lines[number] = damage_json(lines[number], rng)
    return b"\n".join(lines) + b"\n"


def damage_arrays(document: bytes, rng: random.Random) -> bytes:
    """Damages the zip, an array's file within it, or which arrays there are."""
    how = rng.randrange(3)
    if how == 0:
        return damage_bytes(document, rng)
    with zipfile.ZipFile(io.BytesIO(document)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    if how == 1:
        members[name] = damage_bytes(members[name], rng)
    else:
        dtype = rng.choice(("f4", "f8", "f2", "i4", "u1", "?", "c8", "S3", "U2", "M8[s]"))
        shape = [rng.randrange(4) for _ in range(rng.randrange(4))]
        file = io.BytesIO()
        np.save(file, np.zeros(shape, dtype))
        members.pop(name) if rng.random() < 0.5 else None
        new = rng.choice((name, "num_updates.npy", "head::w.npy", "::.npy", "a", "é::b"))
        members[new] = file.getvalue()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for key, content in members.items():
            archive.writestr(key, content)
    return file.getvalue()


def read_programs(path: Path) -> None:
    """Reads programs, writes them again and draws one as SVG."""
    language, programs = programs_from_json(path.read_bytes(), language_of, str(path))
    if programs:
        programs_to_json(language, programs)
        if programs[0].settings.get("environment", "painting") == "painting":
            program_to_svg(programs[0])


def read_params(path: Path) -> None:
    """Reads parameters, and asks whether they fit."""
    params, _ = load_params(path, ("num_updates",))
    check_fits(str(path), params, PARAMS)


def read_metrics(path: Path) -> None:
    """Reads a curve."""
    read_curve(path.parent, METRIC, 1.0)


def example_programs() -> list[bytes]:
    """Writes random programs of several environments."""
    rng, documents = np.random.default_rng(0), []
    for changes in (
        {"use_color": False, "use_pressure": False},
        {"brush": "classic/pen", "compat": "deepmind", "background": "black"},
        {"compound": True},
    ):
        environment = Painting(canvas_width=32, grid_width=8, **changes)
        programs = [
            Program(environment.language.random((3,), rng), environment.settings)
            for _ in range(2)
        ]
        documents.append(programs_to_json(environment.language, programs).encode())
    settings = {
        "environment": "scenes",
        "canvas_width": 32,
        "grid_width": 4,
        "shadows": True,
    }
    language = language_of(settings)
    program = Program(language.random((3,), rng), settings)
    documents.append(programs_to_json(language, [program]).encode())
    return documents


def kinds(folder: Path) -> dict[str, Kind]:
    """Returns the kinds of documents; `folder` is for making valid ones."""
    save_params(folder / "params.npz", PARAMS, num_updates=7)
    records = [
        {"updates": i, "frames": 10 * i, "minutes": i / 7, METRIC: 3.0 / i, "loss": 0.1}
        for i in range(1, 6)
    ]
    configs = [json.dumps(dataclasses.asdict(PRESETS[name])) for name in PRESETS]
    brushes = [read_brush_text(f"classic/{name}") for name in ("pen", "dry_brush")]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    return {
        "programs": Kind("programs.json", example_programs(), damage_json, read_programs),
        "config": Kind(
            "config.json", [c.encode() for c in configs], damage_json, Config.load
        ),
        "params": Kind(
            "params.npz",
            [(folder / "params.npz").read_bytes()],
            damage_arrays,
            read_params,
        ),
        "metrics": Kind("metrics.jsonl", [lines.encode()], damage_lines, read_metrics),
        "brush": Kind("my.myb", [b.encode() for b in brushes], damage_json, load_brush),
    }


def fuzz(kind: Kind, name: str, folder: Path, numbers: range, out: Path) -> list[int]:
    """Reads damaged documents of a kind.

    Args:
      kind, name: of the documents.
      folder: where they are written.
      numbers: which of them.
      out: where those are kept that are neither read nor refused by name.

    Returns:
      How many were read, refused by name, and neither.
    """
    path, counts = folder / kind.name, [0, 0, 0]
    for number in numbers:
        rng = random.Random(f"{name} {number}")
        document = kind.damage(rng.choice(kind.valid), rng)
        path.write_bytes(document)
        try:
            kind.read(path)
            counts[0] += 1
        except Exception as error:
            if isinstance(error, ValueError) and str(path) in str(error):
                counts[1] += 1
                continue
            counts[2] += 1
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{number}-{kind.name}").write_bytes(document)
            print(f"{name} {number}:", *traceback.format_exception(error)[-2:])
    return counts


def main(argv: list[str]) -> None:
    numbers = range(_FIRST.value, _FIRST.value + _NUM.value)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        known = kinds(folder)
        if unknown := sorted(set(_KINDS.value) - set(known)):
            raise ValueError(f"kind={unknown[0]!r}: expected any of {list(known)}.")
        print(
            f"{'document':10s} {'damaged':>9s} {'read':>9s} {'refused':>9s} {'wrong':>6s}"
        )
        wrong = 0
        for name in _KINDS.value or known:
            counts = fuzz(known[name], name, folder, numbers, _OUT.value)
            read, refused, bad = counts
            print(f"{name:10s} {sum(counts):9,d} {read:9,d} {refused:9,d} {bad:6,d}")
            wrong += bad
    if wrong:
        raise SystemExit(f"fuzz: {wrong} documents were not refused; see {_OUT.value}.")


if __name__ == "__main__":
    run(main, "fuzz")

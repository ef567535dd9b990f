"""Command-line programs: `python -m experiments.NAME --help`.

The wheel has those of `COMMANDS`, as `spiral-jax COMMAND`. There this package is called
`spiral_jax.commands` (setup.py says what of it goes along), so these scripts, and what
they need of this folder, import one another relatively.
"""

# Commands of `spiral-jax`, and the scripts that they are.
COMMANDS = {
    "train": "launch",
    "sample": "sample",
    "reconstruct": "reconstruct",
    "evaluate": "evaluate",
    "export": "export_agent",
    "app": "app",
}

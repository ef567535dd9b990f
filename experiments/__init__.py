"""Command-line programs: `python -m experiments.NAME --help`."""

import absl.logging  # noqa: F401  (defines the flag)
from absl import flags

# Libraries log every checkpoint at INFO; --verbosity=0 brings that back.
flags.FLAGS.set_default("verbosity", -1)

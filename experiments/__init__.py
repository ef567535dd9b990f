"""Command-line programs: `python -m experiments.NAME --help`."""

"""Several processes of one run, and what they agree on."""

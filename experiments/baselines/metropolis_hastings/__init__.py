"""Blocked Metropolis-Hastings on the parameters of scenes, the paper's baseline."""

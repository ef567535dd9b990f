"""Where rollouts come from: host threads, lock step, the accelerator.

All of them are a `RolloutSource`, which the training loop asks for the next rollout.
"""

"""What learns: one pure training step, and the learner that runs it on the devices."""

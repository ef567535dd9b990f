"""What agents are compared with."""

"""What the agent is asked to do."""

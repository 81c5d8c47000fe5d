"""What leaves training. Imports nothing: the robot reads `export.bundle` and `export.engines` alone."""

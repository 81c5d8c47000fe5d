"""Hardware in the loop: the simulator as the world of an unmodified robot, through the operating system's devices."""

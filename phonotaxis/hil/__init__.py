"""Hardware in the loop: both sides brought together, the simulator's and an unmodified robot's, and measured."""

"""The robot's hardware: microphones, cameras, drives."""

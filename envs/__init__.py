"""The world: scenes, acoustics, vision, tasks."""

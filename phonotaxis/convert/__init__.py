"""Conversions of episodes into the formats of other tools."""

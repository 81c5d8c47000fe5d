"""What there is to hear: procedural sounds and the user's recordings."""

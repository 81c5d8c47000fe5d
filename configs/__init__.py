"""What every part agrees on: the contract, typed configuration and presets."""

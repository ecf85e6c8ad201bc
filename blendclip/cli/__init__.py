"""The command `blendclip`."""

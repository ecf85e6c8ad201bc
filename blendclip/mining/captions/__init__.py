"""Captions: a sentence for every view, or the reason why it has none."""

"""Drawing for the built-in sample: a canvas, a cast of characters, scenes, and whole pictures."""

"""Private inference: a model and an image, neither shown to the other side."""

"""What clipping asks of rows of doubles: bounds of their lengths, factors, scaled rows, noisy sums on a lattice."""

from medcrypt._ext.clip.rows import add_on_lattice, outer_squares, scaled, shrinking_factors, squares

__all__ = ["add_on_lattice", "outer_squares", "scaled", "shrinking_factors", "squares"]

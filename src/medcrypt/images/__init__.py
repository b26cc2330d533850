"""Image encryption."""

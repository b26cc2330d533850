"""Third-party frameworks."""

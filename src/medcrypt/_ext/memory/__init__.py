"""How the operating system lays out memory that is about to be written."""

from medcrypt._ext.memory.pages import prefer_huge_pages

__all__ = ["prefer_huge_pages"]

"""Sphinx: Markdown pages by myst, docstrings by autodoc and numpydoc. Every warning is an error."""

import contextlib
import io
import os
import re
from importlib import metadata
from pathlib import Path

from medcrypt import cli

project = "medcrypt"
author = "The medcrypt developers"
copyright = author
release = metadata.version("medcrypt")
version = release

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "generated"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "none"  # the docstrings' own Parameters sections carry the types that a reader wants
numpydoc_show_class_members = False  # autodoc lists them already

# Types in a signature are checked by mypy; a reference written by hand in a page must resolve.
nitpicky = False

html_theme = "pydata_sphinx_theme"
html_title = "medcrypt"
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}


# Docstrings write |x| for an absolute value, as people do, where reStructuredText sees a substitution.
_LITERAL = re.compile(r"(``.*?``|`.*?`|^\s*>>>.*)")
_BARS = re.compile(r"(?<!\|)\|(?=[^|\s])([^|]*)\|(?!\|)")


def _escape_bars(_app, _what, _name, _object, _options, lines):
    for number, line in enumerate(lines):
        parts = _LITERAL.split(line)
        parts[::2] = [_BARS.sub(r"\\|\1\\|", prose) for prose in parts[::2]]
        lines[number] = "".join(parts)


def _write_commands(app):
    """Let every command describe itself, so that the page cannot say something else."""
    pages = [f"## medcrypt {name}\n\n```text\n{_help_of(name)}```\n" for name in cli._COMMANDS]
    page = Path(app.srcdir, "generated", "commands.md")
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n".join(pages))


def _help_of(command):
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    with contextlib.redirect_stdout(io.StringIO()) as text:
        cli.main([command, "--help"])
    return text.getvalue()


def setup(app):
    app.connect("builder-inited", _write_commands)
    app.connect("autodoc-process-docstring", _escape_bars)

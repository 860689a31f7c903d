"""How Sphinx builds the documentation: MyST pages, and an API reference from the docstrings."""

from __future__ import annotations

from typing import Any

import fabula

project = "fabula"
author = "The fabula authors"
copyright = "The fabula authors"
version = release = fabula.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
nitpicky = False

autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"  # the docstrings say more than the annotations: shapes and units
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False  # the template of a class lists them

html_theme = "furo"
html_title = f"fabula {version}"
html_theme_options = {"navigation_with_keys": True}
html_show_sourcelink = False


def _skip_what_others_wrote(
    app: Any, kind: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out methods inherited from scikit-learn: its docstrings refer to its own pages."""
    home = getattr(member, "__module__", None)
    return True if home is not None and not home.startswith("fabula") else None


def setup(app: Any) -> None:
    app.connect("autodoc-skip-member", _skip_what_others_wrote)

"""Results in words: sentences, tables of text, the summary of a study. Nothing is fitted here."""

from __future__ import annotations

from fabula.report.sentences import as_text, joined, number, percent, plural
from fabula.report.texttable import markdown_table, plain_table

__all__ = [
    "as_text",
    "joined",
    "markdown_table",
    "number",
    "percent",
    "plain_table",
    "plural",
]

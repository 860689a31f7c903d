"""A study as a document, in Markdown or plain text: sentences, tables and pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from fabula.report.texttable import markdown_table, plain_table

__all__ = ["Document", "Section", "TextTable"]


@dataclass(frozen=True)
class TextTable:
    """A small table inside a section.

    Parameters
    ----------
    header
        Names of the columns.
    rows
        Cells, a tuple for each row.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class Section:
    """One finding.

    Parameters
    ----------
    title
        What it is about.
    sentences
        What was found, each a whole sentence.
    table
        Numbers behind it.
    pictures
        Names of picture files beside the document.
    """

    title: str
    sentences: tuple[str, ...]
    table: TextTable | None = None
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A study in words.

    Parameters
    ----------
    title
        Its heading.
    introduction
        Sentences before the first section.
    sections
        The findings, in order.
    """

    title: str
    introduction: tuple[str, ...]
    sections: tuple[Section, ...]

    def to_markdown(self) -> str:
        """The whole document, with its pictures."""
        blocks = [f"# {self.title}", " ".join(self.introduction)]
        for section in self.sections:
            blocks += [f"## {section.title}", " ".join(section.sentences)]
            if section.table is not None:
                blocks.append(markdown_table(section.table.header, section.table.rows))
            blocks += [f"![{section.title}]({picture})" for picture in section.pictures]
        return "\n\n".join(blocks) + "\n"

    def to_text(self, width: int = 88) -> str:
        """The whole document for a terminal, without its pictures."""
        blocks = [self.title.upper(), _wrapped(self.introduction, width)]
        for section in self.sections:
            blocks.append(f"{section.title}\n{_wrapped(section.sentences, width, '  ')}")
            if section.table is not None:
                table = plain_table(section.table.header, section.table.rows)
                blocks.append(textwrap.indent(table, "  "))
        return "\n\n".join(blocks)


def _wrapped(sentences: Sequence[str], width: int, indent: str = "") -> str:
    return textwrap.fill(
        " ".join(sentences).replace(" %", "\N{NO-BREAK SPACE}%"),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )

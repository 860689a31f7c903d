"""Tables: what their columns are, how they are read and written, and how they become numbers."""

from __future__ import annotations

from fabula.tables.encoding import TableEncoding
from fabula.tables.fields import Field
from fabula.tables.frames import kind_of_output
from fabula.tables.inference import infer_column, infer_schema
from fabula.tables.reading import MISSING_TOKENS, TableScan, read_table, scan_table
from fabula.tables.schema import KINDS, Column, Schema
from fabula.tables.text import TextOptions
from fabula.tables.writing import write_table

__all__ = [
    "KINDS",
    "MISSING_TOKENS",
    "Column",
    "Field",
    "Schema",
    "TableEncoding",
    "TableScan",
    "TextOptions",
    "infer_column",
    "infer_schema",
    "kind_of_output",
    "read_table",
    "scan_table",
    "write_table",
]

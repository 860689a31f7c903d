"""Stories as a tree of JSON values, and back.

Plain values stand in the tree as themselves: ``null``, booleans, integers, finite numbers, strings
and lists. Everything else is an object whose entry ``"is"`` says what: a registry key, which always
has a slash, or a tag without one, such as ``"tuple"``. Arrays of numbers stand beside the tree, by
name, so that they can be stored as raw bytes.
"""

from __future__ import annotations

from typing import Any

from fabula.core.errors import FileFormatError
from fabula.persistence._format import Arrays, Tree
from fabula.persistence._pack import Packer
from fabula.persistence._unpack import Unpacker

__all__ = ["Arrays", "Tree", "pack", "unpack"]


def pack(value: object) -> tuple[Tree, Arrays]:
    """Turn a value into a JSON tree and the arrays it refers to.

    Parameters
    ----------
    value
        Nested storables, dicts, lists, tuples, sets, numbers, strings, dates, numpy scalars and
        arrays, ``csr_array``.

    Returns
    -------
    tuple
        The tree, and C-contiguous arrays by name; arrays are not copied where they already are.

    Raises
    ------
    UsageError
        Something in ``value`` cannot be stored, contains itself, or is nested too deeply.
    """
    packer = Packer()
    return packer.value(value, "story", 0), packer.arrays


def unpack(tree: Tree, arrays: Arrays, *, written_by: str | None = None) -> Any:
    """Rebuild what :func:`pack` took apart; storables come back through their constructors.

    Parameters
    ----------
    tree, arrays
        As :func:`pack` returned them; arrays are used, not copied.
    written_by
        Version of fabula that packed them, for messages.

    Raises
    ------
    FileFormatError
        Anything at all is not as :func:`pack` would have made it, or a constructor refuses its
        fields. The message names the part, such as ``story.family.means``.
    """
    unpacker = Unpacker(arrays, written_by)
    value = unpacker.value(tree, "story", 0)
    unused = sorted(set(arrays) - unpacker.used)
    if unused:
        raise FileFormatError(f"arrays that no part of the story uses: {', '.join(unused)}")
    return value

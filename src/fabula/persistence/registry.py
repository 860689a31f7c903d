"""Which classes may stand in a file, and under which name.

A file names its parts by registry keys ("family/poisson"), never by import paths, so that reading
one can only ever build classes that fabula, or the program that is running, has marked with
:func:`storable`.

A frozen dataclass needs nothing more than the mark: its fields are its state, and it is rebuilt
through its constructor, so ``__post_init__`` validates what came from the file. Two entries of
``dataclasses.field(metadata=...)`` change this:

``{"stored": False}``
    the field is left out of files (it then needs a default);
``{"added_in": "0.2"}``
    the field may be absent from files of earlier versions, and then takes its default.

Any other class gives ``to_state(self) -> dict[str, Any]`` and a class method
``from_state(cls, state)``.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fabula.core.errors import FileFormatError, UsageError

__all__ = ["is_storable", "key_of", "lookup", "rebuild", "state_of", "storable"]

_Class = TypeVar("_Class")

# The only modules that reading a file may import: which of them is decided by this table, and
# nothing in a file is ever made into a module name.
_MODULES = {
    "estimator": "fabula.estimators",
    "family": "fabula.families",
    "learning": "fabula.learning.em",
    "neural": "fabula.neural",
    "prior": "fabula.families",
    "sequence": "fabula.sequences",
    "story": "fabula.structures",
    "table": "fabula.tables",
}

_KEY = re.compile(r"[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)+")

_classes: dict[str, type] = {}
_keys: dict[type, str] = {}


def storable(key: str) -> Callable[[type[_Class]], type[_Class]]:
    """Mark a class as one that files may contain, under ``key``.

    Parameters
    ----------
    key
        Lower-case words joined by slashes, such as ``"family/poisson"``. It stands in every file
        that is written, so it never changes once a version with it has been released.

    Returns
    -------
    Callable
        A class decorator; it stands above ``@dataclass(frozen=True)``.

    Raises
    ------
    TypeError
        While the module is imported: the key is malformed or taken, or the class has no state
        that could be stored.
    """
    if not _KEY.fullmatch(key):
        raise TypeError(f"storable key {key!r} is not lower-case words joined by '/'")

    def register(cls: type[_Class]) -> type[_Class]:
        taken = _classes.get(key)
        if taken is not None and not _is_redefinition(taken, cls):
            raise TypeError(
                f"storable key {key!r} of {_name(cls)} is already taken by {_name(taken)}"
            )
        _check_has_state(cls)
        if taken is not None:
            del _keys[taken]
        _classes[key] = cls
        _keys[cls] = key
        return cls

    return register


def lookup(key: str, *, written_by: str | None = None) -> type:
    """Class registered under ``key``, after importing the part of fabula that registers it.

    Parameters
    ----------
    key
        Registry key, as found in a file.
    written_by
        Version of fabula that wrote the file, for the message.

    Raises
    ------
    FileFormatError
        This version of fabula knows no such key, or the part that registers it cannot be imported.
    """
    for load in (_import_package, _import_submodules):
        if key in _classes:
            break
        module = _MODULES.get(key.partition("/")[0])
        if module is None:
            break
        try:
            load(module)
        except ImportError as error:
            raise FileFormatError(
                f"{key!r} stands in the file, but {module} cannot be imported ({error}): "
                "install what is missing"
            ) from error
    if key not in _classes:
        writer = f"fabula {written_by}" if written_by else "an unnamed version of fabula"
        raise FileFormatError(
            f"{key!r} is unknown here; the file was written by {writer}: update fabula, or, if "
            "the class is your own, import its module first"
        )
    return _classes[key]


def is_storable(value: object) -> bool:
    """Whether the class of ``value`` itself (not a base of it) is registered."""
    return type(value) in _keys


def key_of(cls: type) -> str:
    """Key under which a class is registered.

    Raises
    ------
    UsageError
        The class is not registered.
    """
    try:
        return _keys[cls]
    except KeyError:
        raise UsageError(
            f"{_name(cls)} cannot be stored: it is not marked with @storable(...)"
        ) from None


def state_of(value: object) -> dict[str, Any]:
    """What has to be stored of an instance of a registered class."""
    if hasattr(value, "to_state"):
        return dict(value.to_state())
    return {field.name: getattr(value, field.name) for field in _stored_fields(type(value))}


def rebuild(cls: type, state: Mapping[str, Any]) -> Any:
    """Build an instance of a registered class from its state.

    Raises
    ------
    FileFormatError
        Fields are missing or unknown. Whatever the constructor raises passes through.
    """
    if hasattr(cls, "from_state"):
        return cls.from_state(dict(state))
    fields = {field.name: field for field in _stored_fields(cls)}
    unknown = [name for name in state if name not in fields]
    missing = [
        name
        for name, field in fields.items()
        if name not in state and "added_in" not in field.metadata
    ]
    for problem, names in (("unknown", unknown), ("missing", missing)):
        if names:
            raise FileFormatError(
                f"{problem} fields {', '.join(map(repr, sorted(names)))}; expected "
                f"{', '.join(map(repr, fields))}"
            )
    return cls(**state)


def _import_package(module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A version of fabula without this layer: the key is unknown, nothing is broken.
        if error.name != module:
            raise


def _import_submodules(module: str) -> None:
    """Import every file of a package whose ``__init__`` is lazy and so registered nothing."""
    try:
        package = importlib.import_module(module)
    except ModuleNotFoundError:
        return
    for found in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{module}."):
        importlib.import_module(found.name)


def _stored_fields(cls: type) -> list[dataclasses.Field[Any]]:
    return [
        field
        for field in dataclasses.fields(cls)
        if field.init and field.metadata.get("stored", True)
    ]


def _check_has_state(cls: type) -> None:
    """Find out at import, rather than at the first load, that a class cannot be rebuilt."""
    methods = hasattr(cls, "to_state"), hasattr(cls, "from_state")
    if all(methods):
        return
    if any(methods):
        raise TypeError(f"{_name(cls)} needs both to_state and from_state, or neither")
    parameters = getattr(cls, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise TypeError(
            f"{_name(cls)} is neither a frozen dataclass (put @storable above @dataclass) nor "
            "has to_state and from_state"
        )
    stored = {field.name: field for field in _stored_fields(cls)}
    for name, parameter in inspect.signature(cls).parameters.items():
        required = parameter.default is inspect.Parameter.empty
        if required and (name not in stored or "added_in" in stored[name].metadata):
            raise TypeError(f"{_name(cls)}.{name} is not always in files, so it needs a default")


def _is_redefinition(old: type, new: type) -> bool:
    """Whether a module was reloaded, or a notebook cell was run again."""
    return _name(old) == _name(new)


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"

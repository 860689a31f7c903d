from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import fabula
from fabula.core.errors import FileFormatError, UsageError
from fabula.persistence import registry
from fabula.persistence.registry import is_storable, key_of, lookup, rebuild, state_of, storable


@storable("test/point")
@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    y: float = dataclasses.field(default=0.0, metadata={"added_in": "0.2"})
    norm: float = dataclasses.field(init=False)
    seen: int = dataclasses.field(default=0, metadata={"stored": False})

    def __post_init__(self) -> None:
        object.__setattr__(self, "norm", (self.x**2 + self.y**2) ** 0.5)


def test_fields_are_the_state_and_the_constructor_rebuilds() -> None:
    point = Point(3.0, 4.0, seen=9)
    assert state_of(point) == {"x": 3.0, "y": 4.0}
    again = rebuild(lookup("test/point"), {"x": 3.0, "y": 4.0})
    assert (again.norm, again.seen) == (5.0, 0)


def test_a_field_added_later_may_be_missing_and_no_other() -> None:
    assert rebuild(Point, {"x": 1.0}).y == 0.0
    with pytest.raises(FileFormatError, match="missing fields 'x'"):
        rebuild(Point, {"y": 1.0})
    with pytest.raises(FileFormatError, match="unknown fields 'norm', 'z'; expected 'x', 'y'"):
        rebuild(Point, {"x": 1.0, "z": 2.0, "norm": 1.0})


@pytest.mark.parametrize("key", ["point", "Test/point", "test/", "/x", "test/a b", "test/1", ""])
def test_malformed_keys_are_refused(key: str) -> None:
    with pytest.raises(TypeError, match="lower-case"):
        storable(key)


def test_a_key_is_taken_once() -> None:
    @dataclasses.dataclass(frozen=True)
    class Other:
        x: float

    with pytest.raises(TypeError, match=r"already taken by .*Point"):
        storable("test/point")(Other)
    assert lookup("test/point") is Point
    assert not is_storable(Other(1.0))


def test_a_class_may_be_defined_again_where_it_was() -> None:
    def define() -> type:
        @storable("test/redefined")
        @dataclasses.dataclass(frozen=True)
        class Redefined:
            x: float

        return Redefined

    first, second = define(), define()
    assert lookup("test/redefined") is second
    assert not is_storable(first(1.0))
    assert is_storable(second(1.0))


def test_a_subclass_is_not_its_base() -> None:
    class Sub(Point):
        pass

    assert not is_storable(Sub(1.0))
    with pytest.raises(UsageError, match="not marked with @storable"):
        key_of(Sub)


def test_classes_without_a_state_are_refused_at_import() -> None:
    with pytest.raises(TypeError, match="neither a frozen dataclass"):

        @storable("test/bare")
        class Bare:
            pass

    with pytest.raises(TypeError, match="neither a frozen dataclass"):

        @storable("test/thawed")
        @dataclasses.dataclass
        class Thawed:
            x: float

    with pytest.raises(TypeError, match="both to_state and from_state"):

        @storable("test/half")
        class Half:
            def to_state(self) -> dict[str, Any]:
                return {}

    with pytest.raises(TypeError, match=r"Hidden\.x is not always in files"):

        @storable("test/hidden")
        @dataclasses.dataclass(frozen=True)
        class Hidden:
            x: float = dataclasses.field(metadata={"stored": False})

    with pytest.raises(TypeError, match=r"Shadow\.x is not always in files"):

        @storable("test/shadow")
        @dataclasses.dataclass(frozen=True)
        class Shadow:
            x: dataclasses.InitVar[float]


def test_an_unknown_key_names_the_version_and_what_to_do() -> None:
    with pytest.raises(FileFormatError, match=r"written by fabula 9\.1: update fabula"):
        lookup("nowhere/thing", written_by="9.1")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty package that the table names for keys that begin with ``zoo/``."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry._MODULES, "zoo", "fabula_test_zoo")
    for name in [name for name in sys.modules if name.startswith("fabula_test_zoo")]:
        monkeypatch.delitem(sys.modules, name)
    folder = tmp_path / "fabula_test_zoo"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    return folder


def _define(key: str) -> str:
    return textwrap.dedent(f"""
        import dataclasses
        from fabula.persistence.registry import storable

        @storable({key!r})
        @dataclasses.dataclass(frozen=True)
        class Animal:
            legs: int
    """)


def test_looking_up_imports_the_package_that_registers(package: Path) -> None:
    (package / "__init__.py").write_text(_define("zoo/cat"))
    (package / "other.py").write_text("raise AssertionError('not needed, so not imported')")
    assert lookup("zoo/cat").__module__ == "fabula_test_zoo"


def test_looking_up_goes_through_the_files_of_a_lazy_package(package: Path) -> None:
    (package / "dog.py").write_text(_define("zoo/dog"))
    assert lookup("zoo/dog").__module__ == "fabula_test_zoo.dog"


def test_no_module_is_named_by_a_key(package: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("raise AssertionError('imported from a file')")
    for key in ("elsewhere/x", "elsewhere", "zoo.elsewhere/x", "zoo/elsewhere", "os/system"):
        with pytest.raises(FileFormatError, match="unknown here"):
            lookup(key)
    assert "elsewhere" not in sys.modules


def test_a_layer_that_needs_something_missing_says_what(package: Path) -> None:
    (package / "__init__.py").write_text("import fabula_test_no_such_package")
    with pytest.raises(FileFormatError, match=r"fabula_test_no_such_package.*install"):
        lookup("zoo/needy")


def test_a_version_without_the_layer_knows_no_such_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._MODULES, "zoo", "fabula_test_no_such_layer")
    with pytest.raises(FileFormatError, match="unknown here"):
        lookup("zoo/unicorn")


def test_the_table_knows_where_every_key_of_the_package_is() -> None:
    root = Path(fabula.__file__).parent
    found = 0
    for path in root.rglob("*.py"):
        for key in re.findall(r'^@storable\("([^"]+)"\)', path.read_text(), re.MULTILINE):
            module = ".".join(("fabula", *path.relative_to(root).with_suffix("").parts))
            assert f"{module}.".startswith(f"{registry._MODULES[key.partition('/')[0]]}."), key
            found += 1
    assert found >= 2


def test_a_fresh_process_finds_a_family() -> None:
    code = (
        "from fabula.persistence.registry import lookup; import sys;"
        "assert not any(name.startswith('fabula.families') for name in sys.modules);"
        "print(lookup('family/poisson').__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "Poisson"

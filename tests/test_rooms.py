import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import windfirm

ROOMS = ("data", "models", "prune", "adjust", "defend", "attack", "evaluate", "study", "report")
ROOT = ("errors", "seeds", "files", "own")
PACKAGE = Path(windfirm.__file__).parent


def imports(path: Path) -> Iterator[str]:
    """What follows ``windfirm.`` in every import of the file, functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" if node.module == "windfirm" else str(node.module)
                     for alias in node.names]  # fmt: skip
        else:
            continue
        yield from (name.split(".")[1] if "." in name else "" for name in names if name.split(".")[0] == "windfirm")


def present() -> list[str]:
    return [room for room in ROOMS if (PACKAGE / room).is_dir()]


@pytest.mark.parametrize("room", present())
def test_a_room_imports_only_rooms_to_its_left(room: str) -> None:
    # A study writes down the version of windfirm itself, hence "import windfirm".
    allowed = {*ROOMS[: ROOMS.index(room) + 1], *ROOT} | ({""} if room == "study" else set())
    wrong = [(path.name, name) for path in sorted((PACKAGE / room).rglob("*.py")) for name in imports(path)
             if name not in allowed]  # fmt: skip
    assert wrong == []


def test_every_folder_is_a_room_or_the_commands() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders == {*present(), "commands"}


@pytest.mark.parametrize("module", [*ROOT, "console"])
def test_root_modules_import_no_room(module: str) -> None:
    assert set(imports(PACKAGE / f"{module}.py")) <= {*ROOT}

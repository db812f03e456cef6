import ast
import importlib
import inspect
import subprocess
import sys

import windfirm

NAMES = [
    "WindfirmError", "__version__", "adjust", "attack", "build", "compare", "cost", "criterion", "cut",
    "evaluate", "expand", "load", "load_weights", "perturb", "prune", "save", "score", "scores", "select", "structures",
]  # fmt: skip

QUIET = """
import sys
import windfirm
from windfirm.cli import main
assert windfirm.__version__
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert end.code == 0, end.code
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"torch", "numpy", "scipy", "PIL", "rich"}, loaded
"""


def test_the_public_names_are_these() -> None:
    assert windfirm.__all__ == NAMES
    assert dir(windfirm) == NAMES
    assert all(hasattr(windfirm, name) for name in NAMES)


def test_a_public_name_is_the_function_also_after_its_room_was_imported() -> None:
    for name in ("prune", "adjust", "attack", "evaluate"):
        room = importlib.import_module(f"windfirm.{name}")
        assert inspect.ismodule(room)
        assert inspect.isfunction(getattr(windfirm, name))
        assert getattr(windfirm, name).__name__ == name


def test_the_rooms_can_be_imported_by_their_full_path() -> None:
    import windfirm.prune.select  # noqa: F401  # the plain form must work as well
    from windfirm.prune import select as by_room
    from windfirm.prune.select import select

    assert inspect.ismodule(by_room)
    assert vars(by_room)["select"] is select
    assert sys.modules["windfirm.prune.select"] is by_room


def test_every_public_function_is_documented_where_it_says() -> None:
    for name, (module, attribute) in windfirm.PUBLIC.items():
        found = getattr(importlib.import_module(module), attribute)
        assert found is getattr(windfirm, name)
        assert found.__module__ == module
        assert found.__doc__


def test_importing_windfirm_and_asking_for_help_load_nothing_heavy() -> None:
    for words in (["--help"], ["prune", "--help"]):
        done = subprocess.run([sys.executable, "-c", QUIET, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: windfirm")


def test_type_checkers_see_every_public_name() -> None:
    source = ast.parse(inspect.getsource(windfirm))
    shown = [
        alias.name
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name  # PEP 484: what is imported under its own name is exported
    ]
    assert sorted(shown) == sorted(windfirm.PUBLIC)

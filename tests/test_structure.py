"""The tree keeps its drawing: who imports whom, what is public, how long a file is."""

import ast
import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "vidskim"
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (
    {"types", "errors", "options"},
    {"account"},
    {"clips"},
    {"io"},
    {"video"},
    {"backbones"},
    {"look"},
    {"model"},
    {"answer"},
    {"api"},
    {"cost"},
    {"data"},
    {"show"},
    {"evaluate"},
    {"train"},
    {"vidskim"},
    {"cli"},
    {"__main__"},
)
"""Files and folders of the package from the bottom up; ``vidskim`` is the package's own
``__init__``. A unit imports only from its own layer and the ones before it."""

LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}
UNITS = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
MAX_LINES = 500
MACHINE_PATH = re.compile(r"(?<![\w./~$}>-])/(?:home|root|work|tmp|mnt|opt|srv|Users)/\w")


def _name(path: Path) -> str:
    """Return a file's dotted module name."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _unit(module: str) -> str:
    """Return the file or folder right below the package that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _imports(tree: ast.AST, *, with_types: bool = False) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import, those inside functions too.

    ``from a import b`` gives ``a.b``. Imports for the type checker only are no dependency and are
    left out unless ``with_types``.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif with_types or not (isinstance(node, ast.stmt) and _is_type_checking(node)):
            yield from _imports(node, with_types=with_types)


def _unit_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and unit of what a module imports of vidskim.

    ``from vidskim import x`` is the module x where there is one, else the package's own names.
    """
    for line, name in _imports(ast.parse(path.read_text(encoding="utf-8"))):
        parts = name.split(".")
        if parts[0] == "vidskim":
            yield line, parts[1] if len(parts) > 1 and parts[1] in UNITS else "vidskim"


def _tracked_text_files() -> list[Path]:
    """Return the files git knows or would add, less those that are not text."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout: the list of tracked files is not known")
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


def test_every_file_of_the_package_has_a_layer():
    units = {_unit(_name(path)) for path in MODULES}
    assert units <= LEVEL.keys(), f"give these a place in LAYERS: {sorted(units - LEVEL.keys())}"


def test_imports_run_one_way():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} ({_unit(_name(path))}) imports {unit}"
        for path in MODULES
        for line, unit in _unit_imports(path)
        if LEVEL.get(unit, 0) > LEVEL.get(_unit(_name(path)), len(LAYERS))
    ]
    assert not wrong, "\n".join(wrong)


def test_units_of_one_layer_do_not_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {unit: set() for unit in UNITS | {"vidskim"}}
    for path in MODULES:
        unit = _unit(_name(path))
        graph[unit] |= {other for _, other in _unit_imports(path) if other != unit}
    while free := {unit for unit, others in graph.items() if not others}:
        graph = {unit: others - free for unit, others in graph.items() if unit not in free}
    assert not graph, f"a circle among {graph}"


def test_only_io_imports_av():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in MODULES
        if _unit(_name(path)) != "io"
        for line, name in _imports(ast.parse(path.read_text(encoding="utf-8")), with_types=True)
        if name.split(".")[0] == "av"
    ]
    assert not wrong, f"read media through vidskim.io: {wrong}"


@pytest.mark.parametrize("name", [_name(path) for path in MODULES])
def test_all_is_true(name: str):
    module = importlib.import_module(name)  # without any extra: those are imported where used
    if "__all__" not in vars(module):
        return
    listed = list(module.__all__)
    assert len(listed) == len(set(listed)), f"{name}.__all__ lists a name twice"
    missing = [entry for entry in listed if not hasattr(module, entry)]
    assert not missing, f"{name}.__all__ lists {missing}, which do not exist"
    if Path(str(module.__file__)).name == "__init__.py":
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        brought = {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("vidskim")
            for alias in node.names
        }
        hidden = {entry for entry in brought if not entry.startswith("_")} - set(listed)
        assert not hidden, f"{name} imports {sorted(hidden)} but does not list them in __all__"


def test_the_public_names_import():
    package = importlib.import_module("vidskim")
    assert package.__all__, "vidskim.__all__ is empty"
    namespace: dict[str, object] = {}
    exec("from vidskim import *", namespace)
    assert set(package.__all__) <= namespace.keys()


def test_no_file_is_two_ideas():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in MODULES
    }
    long = {name: lines for name, lines in lengths.items() if lines > MAX_LINES}
    assert not long, f"over {MAX_LINES} lines: split {long}"


def test_no_file_names_a_place_on_one_machine():
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in _tracked_text_files()
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1
        )
        if MACHINE_PATH.search(line)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("open('" + "/" + "home/someone/video.mp4')", True),
        ("--out " + "/" + "tmp/x", True),
        ("file:///" + "root/x", False),
        ("https://example.org/home/page", False),
        ("~/work/videos and ./tmp/x and a/opt/b", False),
        ("/dev/null", False),
    ],
)
def test_the_pattern_of_machine_paths(text: str, found: bool):
    assert bool(MACHINE_PATH.search(text)) is found

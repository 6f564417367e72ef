"""The floors of the design: a module imports only from floors below its own; and the other rules that a parser can
check."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "jaxhep"
MOST_LINES = 500

# The table of the design. A new folder is entered here, in the commit that brings it.
FLOORS = {
    1: ("units", "_types", "_fence", "lorentz", "noise", "_positive_definite"),
    2: ("event", "simulator", "expectation", "parallel"),
    3: ("shower", "hadronization", "matrix_elements", "detector", "observables", "networks", "training"),
    4: ("metrics", "densities", "symmetry", "reconstruction"),
    5: ("inference", "design", "unfolding", "assignment", "anomaly"),
    6: ("formats", "reference", "plots"),
    7: ("studies", "cli"),
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}
# On these floors neighbours may build on each other (a simulator makes events, a published density carries its metrics,
# the command line runs studies), never in a circle.
NEIGHBOURLY = (1, 2, 4, 7)

FILES = sorted(PACKAGE.rglob("*.py"))
PYTHON_FILES = sorted(p for folder in ("jaxhep", "tests", "benchmarks") for p in (ROOT / folder).rglob("*.py"))


def imported_names(source: str, module: str, is_package: bool) -> set[str]:
    """Every module that `source` imports, at any depth of the code, as absolute dotted names (with the names taken
    from it)."""
    package = module if is_package else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - (node.level - 1)]
                base = ".".join([*above, base] if base else above)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def house_of(name: str) -> str | None:
    """The member of a floor that a dotted name belongs to: `jaxhep.shower._tiles` → `shower`; None outside jaxhep or
    for its root."""
    parts = name.split(".")
    return parts[1] if parts[0] == "jaxhep" and len(parts) > 1 and parts[1] in FLOOR_OF else None


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """Sentences about each import of `module` that the floors forbid."""
    own = module.split(".")[1]
    bad = []
    for name in sorted(imported_names(source, module, is_package)):
        other = house_of(name)
        if other is None or other == own:
            continue
        below, beside = (
            FLOOR_OF[other] < FLOOR_OF[own],
            FLOOR_OF[other] == FLOOR_OF[own] and FLOOR_OF[own] in NEIGHBOURLY,
        )
        if not (below or beside):
            bad.append(f"{module} (floor {FLOOR_OF[own]}) imports {name} (floor {FLOOR_OF[other]})")
    return bad


def module_of(path: Path) -> tuple[str, bool]:
    """Dotted name of a file, and whether it is a package's `__init__`."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    is_package = parts[-1] == "__init__"
    return ".".join(parts[:-1] if is_package else parts), is_package


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_imports_only_from_floors_below(path):
    module, is_package = module_of(path)
    if module in ("jaxhep", "jaxhep.__main__"):
        return  # the roof itself; tests/test_public_api.py holds it to being light
    assert module.split(".")[1] in FLOOR_OF, f"{module} stands on no floor: enter it in FLOORS of {Path(__file__).name}"
    assert violations(path.read_text(), module, is_package) == []


def test_no_circles_between_neighbours():
    needs: dict[str, set[str]] = {}
    for path in FILES:
        module, is_package = module_of(path)
        if module == "jaxhep" or module.split(".")[1] not in FLOOR_OF:
            continue
        own = module.split(".")[1]
        others = {house_of(name) for name in imported_names(path.read_text(), module, is_package)}
        needs.setdefault(own, set()).update(other for other in others if other not in (None, own))
    done: set[str] = set()
    while ready := {name for name, others in needs.items() if name not in done and others & set(needs) <= done}:
        done |= ready
    assert done == set(needs), f"these import each other in a circle: {sorted(set(needs) - done)}"


def test_the_check_sees_forbidden_imports():
    assert violations("from jaxhep.inference import fit", "jaxhep.shower._tiles")
    assert violations("def f():\n    from jaxhep import plots", "jaxhep.event")
    assert violations("from ..observables import thrust", "jaxhep.shower.tiles")
    assert violations("from ...plots import draw", "jaxhep.shower.deep.tiles")
    assert violations("import jaxhep.shower", "jaxhep.observables.thrust")
    assert not violations("from jaxhep.event import Event\nfrom . import tiles\nimport jax", "jaxhep.shower", True)


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_keeps_the_house_rules(path):
    source = path.read_text()
    module, is_package = module_of(path)
    names = imported_names(source, module, is_package)
    assert len(source.splitlines()) <= MOST_LINES, f"{path.name} is over {MOST_LINES} lines: split it by notion"
    assert not any(name == "jax._src" or name.startswith("jax._src.") for name in names), "jax._src is private to JAX"
    assert "__future__.annotations" not in names, "from __future__ import annotations hides the shapes from jaxtyping"
    if module.startswith("jaxhep.") and not module.startswith("jaxhep.networks"):
        assert not any(name.split(".")[0] == "flax" for name in names), "only jaxhep.networks imports flax"


def test_house_rules_look_at_attribute_access_too():
    for path in FILES:
        tree = ast.parse(path.read_text())
        dotted = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not any(name.startswith("jax._src") for name in dotted), path
    assert len(FILES) > 1
    assert sys.version_info >= (3, 11)

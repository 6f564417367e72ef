"""The public face: every name documented and annotated, every doctest found, the import light, the shape checks
really on."""

import ast
import doctest
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
import typing
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxtyping
import pytest

import jaxhep

PACKAGE = Path(jaxhep.__file__).parent
HEAVY = (
    "matplotlib", "mplhep", "hist", "scipy", "optimistix", "diffrax", "flax", "optax", "distrax", "orbax", "h5py",
    "uproot", "awkward", "pyarrow", "pyhepmc", "iminuit", "pydantic", "yaml", "rich", "typer", "pandas", "beartype",
    "chex", "pytest",
)  # fmt: skip
# Modules that `import jaxhep` may add to those of jax, equinox, jaxtyping and numpy.
IMPORT_BUDGET = 40


def modules() -> list[str]:
    """Names of all public modules of jaxhep."""
    found = (info.name for info in pkgutil.walk_packages([str(PACKAGE)], prefix="jaxhep."))
    return [name for name in found if not any(part.startswith("_") for part in name.split(".")[1:])]


def public_objects() -> list[tuple[str, object]]:
    """(qualified name, object) of all names in the `__all__` of all public modules, constants left out."""
    found = {}
    for module_name in ["jaxhep", *modules()]:
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            # A type alias (`Model = Callable[...]`) is callable, but holds no docstring.
            if inspect.isclass(thing) or (callable(thing) and typing.get_origin(thing) is None):
                found[f"{getattr(thing, '__module__', module_name)}.{name}"] = thing
    return sorted(found.items())


@pytest.mark.parametrize("folder", sorted(p.parent for p in PACKAGE.glob("*/__init__.py")), ids=lambda p: p.name)
def test_folder_lists_its_public_names(folder):
    module = importlib.import_module(f"jaxhep.{folder.name}")
    assert module.__doc__, f"jaxhep.{folder.name} has no docstring"
    assert len(getattr(module, "__all__", ())) > 0, f"jaxhep.{folder.name} has no __all__"
    assert all(hasattr(module, name) for name in module.__all__)


def test_every_public_name_is_documented():
    objects = public_objects()
    assert len(objects) > 0
    # A class without a docstring inherits that of its parent through inspect.getdoc; ask the object itself.
    bare = [name for name, thing in objects if not (getattr(thing, "__doc__", None) or "").strip()]
    assert bare == []
    methods = [
        f"{name}.{member}"
        for name, thing in objects
        if inspect.isclass(thing)
        for member, value in vars(thing).items()
        if not member.startswith("_") and inspect.isfunction(inspect.unwrap(value) if callable(value) else value)
        if not inspect.getdoc(getattr(thing, member))
    ]
    assert methods == []


def test_over_ninety_percent_of_the_arguments_are_annotated():
    annotated, bare = 0, []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                for argument in arguments:
                    if argument.arg in ("self", "cls"):
                        continue
                    if argument.annotation is None:
                        bare.append(f"{path.name}:{node.lineno} {node.name}({argument.arg})")
                    else:
                        annotated += 1
    assert annotated > 0
    assert annotated / (annotated + len(bare)) > 0.9, bare


def test_import_is_light():
    program = (
        "import sys, json, jax, jax.numpy, equinox, jaxtyping, numpy\n"
        "before = set(sys.modules)\n"
        "import jaxhep\n"
        "print(json.dumps([sorted(set(sys.modules) - before), sorted(sys.modules), bool(jax.config.jax_enable_x64)]))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    added, loaded, x64 = json.loads(run.stdout)
    assert "jaxhep" in added
    assert [name for name in HEAVY if name in loaded] == []
    assert len(added) <= IMPORT_BUDGET, added
    assert x64 is False, "import jaxhep changed a JAX flag"


def test_no_module_needs_an_extra_to_be_imported():
    program = (
        "import sys, importlib, pkgutil\n"
        "absent = ('h5py', 'uproot', 'awkward', 'pyarrow', 'pyhepmc', 'iminuit', 'distrax', 'orbax', 'fastjet',\n"
        "          'pythia8', 'pytest', 'beartype', 'chex')\n"
        "for name in absent: sys.modules[name] = None\n"
        "import jaxhep\n"
        "names = [m.name for m in pkgutil.walk_packages(jaxhep.__path__, 'jaxhep.') if '__main__' not in m.name\n"
        "         and not m.name.startswith(('jaxhep.networks', 'jaxhep.training'))]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 0


def test_shape_checks_are_on():
    """A wrong shape handed to an annotated function of jaxhep is refused: the import hook of conftest.py works."""
    from jaxhep.hadronization import ShapeFunction

    model = ShapeFunction(omega_1=0.35, energy=91.2)
    with pytest.raises(jaxtyping.TypeCheckError):
        model.smearing_matrix(jnp.zeros((3, 2)), jnp.zeros(4), "thrust")


def test_every_docstring_example_is_found_by_doctest():
    """The wrappers of jit and of the import hook must not hide an example from `--doctest-modules`."""
    missing, seen = [], 0
    finder = doctest.DocTestFinder()
    for name in modules():
        module = importlib.import_module(name)
        written = {
            node.name
            for node in ast.parse(inspect.getsource(module)).body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ">>>" in (ast.get_docstring(node) or "")
        }
        found = {
            test.name.removeprefix(f"{name}.").split(".")[0] for test in finder.find(module, name) if test.examples
        }
        missing += [f"{name}.{function}" for function in sorted(written - found)]
        seen += len(written)
    assert seen > 0
    assert missing == []


def test_many_devices_are_there():
    assert jax.device_count() > 1

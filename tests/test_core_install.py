"""`pip install -e . && jaxhep fit` has the core's packages alone: nothing on its way may import those of an extra."""

import subprocess
import sys

EXTRAS = (
    "flax",
    "optax",
    "distrax",
    "orbax",
    "diffrax",
    "blackjax",
    "h5py",
    "pyarrow",
    "uproot",
    "awkward",
    "pyhepmc",
    "iminuit",
)
SCRIPT = """
import sys
for name in {extras!r}:
    sys.modules[name] = None
import jaxhep.cli._check_gradients, jaxhep.cli._fit, jaxhep.cli._move, jaxhep.cli._optimise_detector, jaxhep.cli._shower
import jaxhep.inference, jaxhep.plots, jaxhep.studies, jaxhep.studies.dipole_run, jaxhep.studies.fit_report
import jaxhep.detector, jaxhep.reconstruction, jaxhep.reference, jaxhep.studies.uncertainties
"""


def test_core_imports_without_the_extras():
    command = [sys.executable, "-c", SCRIPT.format(extras=EXTRAS)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr

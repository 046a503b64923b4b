"""What is slow to import is imported where it is used."""

import subprocess
import sys

import pytest

HEAVY = ("lightning_fabric", "lightning", "matplotlib", "torchvision", "pandas", "scipy")


@pytest.mark.parametrize("module", ["vidskim", "vidskim.cli", "vidskim.evaluate.run"])
def test_no_training_or_drawing_library_is_imported(module):
    script = f"import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY})))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_training_imports_fabric_alone():
    script = "import sys, vidskim.train.recipe; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert "lightning_fabric" in modules
    assert not modules & {"lightning", "pytorch_lightning"}

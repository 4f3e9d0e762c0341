"""An environment of its own for dlt, because its packages must not meet those of the project."""

import hashlib
import os
import shutil
import subprocess
import venv
from pathlib import Path
from typing import Final

PINS: Final = Path(__file__).with_name("dlt_requirements.txt")


def dlt_python() -> Path:
    """The Python of an environment that has exactly the pinned packages; made where it is missing.

    It lies below $XDG_CACHE_HOME, by default ~/.cache, under a name that changes with the pins.
    Raises CalledProcessError if pip fails.
    """
    digest = hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "connector-pipeline-bench" / f"dlt-{digest}"
    python, made = folder / "bin" / "python", folder / "installed"
    if made.exists():
        return python
    # An environment that an earlier call did not finish.
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing dlt into {folder}", flush=True)
    venv.create(folder, with_pip=True)
    quiet = ("--quiet", "--disable-pip-version-check")
    subprocess.run(
        [python, "-m", "pip", "install", *quiet, "--no-deps", "--require-hashes",
         "--only-binary", ":all:", "--requirement", str(PINS)],
        check=True,
    )  # fmt: skip
    # Compiled here, so that no measured call does it.
    subprocess.run([python, "-m", "compileall", "-q", str(folder / "lib")], check=False)
    made.touch()
    return python

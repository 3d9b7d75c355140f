"""The environment that a command in the sandbox gets, and where its Python packages come from.

Nothing is inherited: an environment variable is where secrets usually are. The switches below are
advice to libraries, so that they do not wait for a network that is not there; the network isolation control
is the control. Each was measured to work (``WANDB_DISABLED``, which is often seen, does nothing).
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
    "WANDB_ERROR_REPORTING": "false",
    "DISABLE_MLFLOW_INTEGRATION": "TRUE",
    "DISABLE_KUBEFLOW_INTEGRATION": "TRUE",
    "COMET_MODE": "DISABLED",
    "SWANLAB_MODE": "disabled",
}
"""Switches that keep training libraries from trying the network."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""How many threads numerical libraries start in each process."""

PYTHON = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
}


def clean_environment(
    *,
    home: str = "/tmp",  # noqa: S108 (inside)
    threads: int = 1,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment of a command: offline, `threads` numerical threads, `home` as its home.

    One thread is the default because small models train ten times slower on two, which spin while
    they wait for one another. `more` is added last.
    """
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": "/tmp",  # noqa: S108 (inside)
        "USER": "tuneguard",
        "LOGNAME": "tuneguard",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        **dict.fromkeys(THREADS, str(threads)),
        "TOKENIZERS_PARALLELISM": "false",
        **PYTHON,
        **OFFLINE,
        **(more or {}),
    }


def caches(scratch: str) -> dict[str, str]:
    """Where libraries keep what they compute or fetch, below the folder `scratch`.

    By default some of these lie in ``/tmp``, which is memory, and some beside the home folder's other files.
    """
    cache = f"{scratch}/.cache"
    return {
        "XDG_CACHE_HOME": cache,
        "HF_HOME": f"{cache}/huggingface",
        "HF_HUB_CACHE": f"{cache}/huggingface/hub",
        "HF_DATASETS_CACHE": f"{cache}/huggingface/datasets",
        "TORCH_HOME": f"{cache}/torch",
        "TORCH_EXTENSIONS_DIR": f"{cache}/torch_extensions",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor",
        "TRITON_CACHE_DIR": f"{cache}/triton",
        "CUDA_CACHE_PATH": f"{cache}/cuda",
        "NUMBA_CACHE_DIR": f"{cache}/numba",
        "MPLCONFIGDIR": f"{cache}/matplotlib",
    }


def shown_for(package: str) -> tuple[Path, ...]:
    """The folder to import `package` from, for `Confinement.packages`.

    Empty where it is not installed, or lies inside the interpreter's prefixes, which the sandbox shows
    anyway.
    """
    found = find_spec(package)
    if found is None or found.origin is None:
        return ()
    folder = Path(os.path.realpath(found.origin)).parents[1]
    prefixes = (Path(os.path.realpath(prefix)) for prefix in (sys.prefix, sys.base_prefix))
    return () if any(folder.is_relative_to(prefix) for prefix in prefixes) else (folder,)

"""Which variables a pipeline may add to a training's environment."""

from __future__ import annotations

import pytest

from tuneguard.sandbox.environment import THREADS, clean_environment
from tuneguard.sandbox.variables import fault_of


@pytest.mark.parametrize(
    "name", ["NCCL_DEBUG", "CUDA_LAUNCH_BLOCKING", "OMP_PROC_BIND", "MAX_TOKENS", "_x1", "keyboard", "Passes"]
)
def test_a_plain_name_is_free(name: str) -> None:
    assert fault_of(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *(
            "HF_TOKEN",
            "HUGGINGFACE_HUB_TOKEN",
            "GITHUB_TOKEN_2",
            "hftoken",
            "AWS_SECRET_ACCESS_KEY",
            "API_KEY",
        ),
        *("OPENAI_APIKEY", "DB_PASSWORD", "PASSWD", "db_pass", "SSH_PRIVATE_KEY", "GOOGLE_CREDENTIALS"),
        *("SESSION_COOKIE", "NETRC_AUTH", "GIT_PAT", "key", "Authorization"),
    ],
)
def test_attack_a_secret_handed_to_the_training_in_its_environment(name: str) -> None:
    assert fault_of(name) == "looks like the name of a secret"


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "ld_audit", "PYTHONPATH", "PYTHONSTARTUP"])
def test_attack_other_code_loaded_by_a_variable(name: str) -> None:
    assert fault_of(name) == "has the loader or the interpreter run other code"


def test_what_tuneguard_sets_stays_as_it_is_but_the_threads_of_each_of_several_processes() -> None:
    assert [name for name in clean_environment() if fault_of(name) is None] == list(THREADS)
    assert fault_of("HOME") == fault_of("wandb_mode") == "is set by Tuneguard"
    assert fault_of("CUDA_VISIBLE_DEVICES") == "is set by Tuneguard"


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A=B", "BASH_FUNC_x%%", "Ä", "A\n", "A" * 129])
def test_what_is_no_name_is_none(name: str) -> None:
    assert fault_of(name) == "is not the name of a variable"

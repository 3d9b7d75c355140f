"""A training of two processes, as its launchers start it: they find each other over loopback."""

import json
import sys
from pathlib import Path

import pytest

from tuneguard.sandbox.environment import clean_environment
from world.cage import MIB, of_its_own_user, python, run

SCRIPT = """
import json
import os
import socket
import sys

import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.tensor([1.0 + dist.get_rank()])
dist.all_reduce(total)
with socket.socket() as attempt:
    attempt.settimeout(5)
    try:
        attempt.connect(("192.0.2.1", 443))
        way_out = "open"
    except OSError as error:
        way_out = os.strerror(error.errno)
with open(f"{sys.argv[1]}/{dist.get_rank()}.json", "w") as file:
    json.dump([dist.get_world_size(), total.item(), socket.gethostname(), way_out], file)
dist.destroy_process_group()
"""

LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--nproc-per-node", "2"),
    "torchrun --standalone": ("torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    # without --multi_gpu or a configuration Accelerate starts one process, whatever --num_processes says
    "accelerate launch": ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
}


@pytest.mark.sandbox
def test_the_name_of_the_host_is_its_own_and_leads_to_loopback(backend):
    """Else a launcher waits ten minutes for itself."""
    ran = python(
        backend,
        """
        name = socket.gethostname()
        found = {address[0] for *_, address in socket.getaddrinfo(name, 80)}
        with socket.create_server((socket.gethostbyname(name), 0)) as server:
            socket.create_connection((name, server.getsockname()[1])).close()
        say([name, sorted(found), socket.getfqdn(name)])
        """,
    )

    name, addresses, whole = ran.said
    assert name == "sandbox" != Path("/proc/sys/kernel/hostname").read_text().strip()
    assert addresses == ["127.0.0.1"]
    assert whole in ("sandbox", "localhost")


@pytest.mark.torch
@pytest.mark.sandbox
@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_add_up_over_gloo_and_reach_nothing_else(backend, launcher, data, out):
    Path(data.source, "train.py").write_text(SCRIPT)

    ran = run(
        backend,
        (sys.executable, "-m", *LAUNCHERS[launcher], f"{data.target}/train.py", out.target),
        data,
        out,
        environment=clean_environment(),
        memory=4096 * MIB,
        processes=512,
    )

    assert ran.outcome.succeeded, (ran.outcome, ran.text)
    said = [json.loads(Path(out.source, f"{rank}.json").read_text()) for rank in (0, 1)]
    assert said == [[2, 3.0, "sandbox", "Network is unreachable"]] * 2
    assert ran.outcome.control("network").state is of_its_own_user(backend)

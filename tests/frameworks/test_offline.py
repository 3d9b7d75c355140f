"""What the tests start cannot leave the machine either."""

from __future__ import annotations

import subprocess
import sys


def test_a_child_that_calls_another_machine_is_stopped() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "the tests of frameworks do not reach 192.0.2.1" in done.stderr

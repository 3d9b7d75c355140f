"""The network isolation control, tried by the command itself."""

import secrets
import socket

import pytest

from world.cage import of_its_own_user, python

pytestmark = pytest.mark.sandbox


def test_training_code_finds_no_way_to_any_address(backend):
    ran = python(
        backend,
        """
        def reach(family, address):
            with socket.socket(family, socket.SOCK_STREAM) as s:
                s.settimeout(5)
                s.connect(address)
        def send(family, address):
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                s.sendto(b"key", address)
        say({
            "interfaces": [name for _, name in socket.if_nameindex()],
            "tcp": attempt(reach, socket.AF_INET, ("192.0.2.1", 443)),
            "tcp6": attempt(reach, socket.AF_INET6, ("2001:db8::1", 443)),
            "dns": attempt(send, socket.AF_INET, ("192.0.2.53", 53)),
            "broadcast": attempt(send, socket.AF_INET, ("255.255.255.255", 9)),
            "name": attempt(socket.getaddrinfo, "example.com", 443) != "possible",
        })
        """,
    )

    said = ran.said
    assert said["interfaces"] == ["lo"]
    assert said["tcp"] == said["dns"] == "ENETUNREACH"
    assert said["tcp6"] in ("ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT")
    assert said["broadcast"] in ("ENETUNREACH", "EACCES")
    assert said["name"]
    assert ran.outcome.control("network").state is of_its_own_user(backend)


def test_services_of_this_machine_cannot_be_reached_on_loopback_or_abstract_sockets(backend):
    name = f"tuneguard-test-{secrets.token_hex(4)}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind("\0" + name)
        unix.listen()
        ran = python(
            backend,
            f"""
            def reach(family, address):
                with socket.socket(family) as s:
                    s.connect(address)
            say([attempt(reach, socket.AF_INET, ("127.0.0.1", {tcp.getsockname()[1]})),
                 attempt(reach, socket.AF_UNIX, "\\0{name}")])
            """,
        )

    assert ran.said == ["ECONNREFUSED", "ECONNREFUSED"]


def test_a_program_may_talk_to_itself_over_loopback(backend):
    ran = python(
        backend,
        """
        with socket.create_server(("127.0.0.1", 0)) as server:
            with socket.create_connection(server.getsockname()) as client:
                accepted, _ = server.accept()
                client.sendall(b"rank 0")
                say(accepted.recv(6).decode())
        """,
    )

    assert ran.said == "rank 0"


def test_the_virtual_machines_host_cannot_be_reached_over_vsock_nor_packets_be_forged(backend):
    ran = python(
        backend,
        """
        say({
            "vsock": attempt(socket.socket, 40, socket.SOCK_STREAM),
            "packet": attempt(socket.socket, 17, socket.SOCK_RAW),
            "alg": attempt(socket.socket, 38, socket.SOCK_SEQPACKET),
            "raw": attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1),
        })
        """,
    )

    assert ran.said == {
        "vsock": "EAFNOSUPPORT",
        "packet": "EAFNOSUPPORT",
        "alg": "EAFNOSUPPORT",
        "raw": "EPERM",
    }

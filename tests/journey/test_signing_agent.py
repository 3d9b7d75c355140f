"""`tuneguard signer`: a key of another uid signs what the policy lets it say, for those allowed."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tuneguard.attest.statement import PAYLOAD_TYPE
from tuneguard.cli.app import run as tuneguard
from tuneguard.errors import CannotLook, Refused, UsageError
from tuneguard.journey import signing_agent as journey
from tuneguard.project.project import Project
from tuneguard.signing import agent_protocol, remote
from tuneguard.signing.bundle import make_bundle, read_bundle
from tuneguard.signing.key import make_pair, read_public
from tuneguard.signing.signer import open_signer
from world import company
from world.keys import no_passphrase
from world.keys import signer as a_signer
from world.users import become, said_as

AGENT, BUILDER, STRANGER = 12345, 23456, 34567
ME = os.geteuid()
as_root = pytest.mark.skipif(ME != 0, reason="only root can start processes of other users")


@pytest.fixture
def room():
    """A folder that every user can reach, with the builder's key in it."""
    folder = Path(tempfile.mkdtemp(prefix="agent-"))
    folder.chmod(0o755)
    make_pair(folder / "ci.key", passphrase=None)
    yield folder
    shutil.rmtree(folder)


def policy_of(room, *changes):
    public = read_public(room / "ci.pub").base64
    return company.policy(lambda text: text["identities"]["ci"].update(key=public), *changes)


@contextlib.contextmanager
def listening(room, *, users=(str(ME),), uid=None, policy=None, wait=True, **more):
    """An agent in a process of its own."""
    policy = policy or policy_of(room)
    if uid is not None:
        for path in (room, *room.iterdir()):
            os.chown(path, uid, uid)
    path = room / "s.sock"
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            if uid is not None:
                become(uid)
            here = Project(key_options={"": str(room / "ci.key")})
            here.__dict__["policy"] = policy
            journey.listen(path, users=users, log=room / "log", project=here, **more)
            code = 0
        os._exit(code)
    try:
        while wait and not path.is_socket():
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "the agent ended"
            time.sleep(0.01)  # there is no event to wait for: a socket appears
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        with contextlib.suppress(ChildProcessError):
            ended[0] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


ended = [None]


def uri(room, query=""):
    return f"unix://{room}/s.sock{query}"


def opened(room, query=""):
    return open_signer(uri(room, query), no_passphrase)


def statement(**facts):
    """A provenance, as the builder makes it."""
    return read_bundle(company.provenance(**facts).data, "p").payload


def log(room):
    return [json.loads(line) for line in (room / "log").read_text().splitlines()]


def raw(room, data, *, shut=True):
    """Send bytes as they are; the answer's bytes."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(str(room / "s.sock"))
        connected.sendall(data)
        if shut:
            connected.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(OSError):
            while part := connected.recv(65536):
                got += part
        return got


def framed(message):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">I", len(data)) + data


def answered(room, message):
    return json.loads(raw(room, framed(message))[4:])


# --- what it does --------------------------------------------------------------------------------------


def test_a_statement_that_the_policy_lets_the_key_make_is_signed_and_noted(room):
    with listening(room):
        bundle = read_bundle(make_bundle(opened(room), PAYLOAD_TYPE, statement()), "b")

    assert bundle.signed_by(read_public(room / "ci.pub"))
    [entry] = log(room)
    assert entry["outcome"] == "signed"
    assert entry["kind"] == "provenance"
    assert entry["uid"] == ME
    assert entry["model"] == company.MODEL
    assert entry["subject"]


def test_a_model_signature_of_the_command_line_comes_from_it(room, tmp_path, capsys):
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.safetensors").write_bytes(b"w")
    with listening(room):
        assert tuneguard(["sign", str(model), "--key", uri(room), "--evidence", str(tmp_path / "e")]) == 0
        [made] = (tmp_path / "e").iterdir()
        command = ["verify", str(model), "--signature", str(made), "--public-key", str(room / "ci.pub")]
        assert tuneguard(command) == 4
        assert "integrity only" in capsys.readouterr().out


def test_a_signal_ends_it_in_good_order(room):
    with listening(room):
        assert (room / "s.sock").is_socket()

    assert ended == [0]
    assert not (room / "s.sock").exists()


@as_root
def test_under_another_uid_it_signs_for_those_allowed_who_cannot_read_the_key(room):
    with listening(room, uid=AGENT, users=[str(BUILDER)]):
        key = room / "ci.key"
        assert "Permission denied" in said_as(BUILDER, key.read_bytes)
        sign = lambda: make_bundle(opened(room, f"?uid={AGENT}"), PAYLOAD_TYPE, statement()).decode()  # noqa: E731
        bundle = read_bundle(said_as(BUILDER, sign).encode(), "b")

        assert bundle.signed_by(read_public(room / "ci.pub"))
        assert log(room)[0]["uid"] == BUILDER


@pytest.mark.sandbox
def test_a_whole_run_is_signed_by_it(project, room, monkeypatch):
    """Signature and provenance of a run come from the agent; the project's own builder's key is gone."""
    home = Path(os.environ["TUNEGUARD_HOME"])
    [key] = home.rglob("builder.key")
    shutil.copy(key, room / "ci.key")
    shutil.copy(key.with_suffix(".pub"), room / "ci.pub")
    key.unlink()
    monkeypatch.chdir(project.path)
    with listening(room, policy=Project().policy):
        assert project("run", "--run", "042", "--key", f"builder={uri(room)}", "--quiet") == 0

    assert sorted(entry["kind"] for entry in log(room)) == ["provenance", "signature"]
    assert project("verify", "runs/042", "--run", "042", "--for", "promote") == 0


# --- attacks -------------------------------------------------------------------------------------------


@as_root
def test_attack_a_user_who_may_not_ask(room):
    with listening(room, uid=AGENT, users=[str(BUILDER)]):
        for user in (STRANGER, AGENT):
            assert "this user may not ask" in said_as(user, lambda: opened(room))
        assert {entry["outcome"] for entry in log(room)} == {"refused: this user may not ask"}


@as_root
def test_attack_another_user_listens_where_the_agent_should(room):
    with (
        listening(room, uid=STRANGER),
        pytest.raises(Refused, match=f"uid {STRANGER} listens there, not {AGENT}"),
    ):
        opened(room, f"?uid={AGENT}")


@pytest.mark.parametrize("message", [b"", b"a policy", b"DSSEv1 4 text 5 hello", b"x" * 100])
def test_attack_bytes_that_are_no_statement(room, message):
    with listening(room):
        with pytest.raises(UsageError, match="statements only"):
            opened(room).sign(message)
        assert log_of_signed(room) == []


def log_of_signed(room):
    return [entry for entry in log(room) if entry["outcome"] == "signed"] if (room / "log").exists() else []


@pytest.mark.parametrize(
    "message",
    [
        {"ask": "sign", "message": base64.b64encode(b"anything").decode()},
        {"ask": "sign", "payload": "e30="},
        {"ask": "sign", "subject": [], "predicateType": "x", "predicate": {}, "message": "x"},
        {"ask": "raw"},
        {},
        [],
        b"",
        b"{",
        b'{"ask": "key", "ask": "sign"}',
        b"\xff",
        {
            "ask": "sign",
            "subject": [{"digest": {"sha256": "0" * 64}}],
            "predicateType": "made/up",
            "predicate": {},
        },
        {"ask": "sign", "subject": [], "predicateType": "https://slsa.dev/provenance/v1", "predicate": {}},
        {"ask": "sign", "subject": "x", "predicateType": 7, "predicate": []},
    ],
)
def test_attack_requests_that_the_client_would_not_make(room, message):
    with listening(room):
        answer = answered(room, message)

        assert "refused" in answer
        assert "signature" not in answer
        assert log_of_signed(room) == []
        assert opened(room), "and it goes on"


def test_attack_a_builder_who_wants_a_verdict(room):
    body = read_bundle(company.verdict().data, "v").payload
    with listening(room), pytest.raises(UsageError, match="does not sign statements of the kind verdict"):
        make_bundle(opened(room), PAYLOAD_TYPE, body)


def test_attack_a_statement_about_another_model(room):
    with listening(room), pytest.raises(UsageError, match="signs no provenance about other-model"):
        make_bundle(opened(room), PAYLOAD_TYPE, statement(model="other-model"))


def test_what_it_may_sign_can_be_narrowed(room):
    with (
        listening(room, kinds=["signature"]),
        pytest.raises(UsageError, match="does not sign statements of the kind"),
    ):
        make_bundle(opened(room), PAYLOAD_TYPE, statement())


def test_attack_other_bytes_with_the_same_meaning(room):
    """The agent signs its own encoding; whoever wanted another has no signature over it."""
    loose = json.dumps(json.loads(statement()), indent=1).encode()
    with listening(room), pytest.raises(CannotLook, match="does not verify"):
        make_bundle(opened(room), PAYLOAD_TYPE, loose)


def test_attack_members_that_no_statement_has(room):
    more = json.dumps({**json.loads(statement()), "_type2": "x"}).encode()
    with listening(room), pytest.raises(UsageError, match="four members"):
        make_bundle(opened(room), PAYLOAD_TYPE, more)


def test_a_key_that_is_revoked_or_not_named_does_not_listen(room):
    def revoke(text):
        text["identities"]["ci"]["revoked"] = {"at": "2026-01-01T00:00:00Z", "reason": "lost"}

    for policy, said in (
        (policy_of(room, revoke), "is revoked"),
        (company.policy(), "does not name this key"),
    ):
        here = Project(key_options={"": str(room / "ci.key")})
        here.__dict__["policy"] = policy
        with pytest.raises(UsageError, match=said):
            journey._Judge(here, here.signer(""), frozenset())


def test_attack_a_length_that_is_never_sent_does_not_cost_memory(room):
    with listening(room):
        assert "are read" in json.loads(raw(room, struct.pack(">I", 0xFFFFFFFF))[4:])["refused"]


@pytest.fixture
def held(room):
    """Takes every connection that a user may have, with a request that never ends."""

    @contextlib.contextmanager
    def hold():
        with contextlib.ExitStack() as stack:
            connections = [
                stack.enter_context(socket.socket(socket.AF_UNIX))
                for _ in range(agent_protocol.CONNECTIONS_A_USER)
            ]
            for connected in connections:
                connected.connect(str(room / "s.sock"))
                connected.sendall(b"\0")
            yield connections

    return hold


def test_attack_a_user_who_holds_connections_open_gets_no_more_of_them(room, held, monkeypatch):
    monkeypatch.setattr(agent_protocol, "REQUEST_SECONDS", 3600.0)
    with listening(room), held(), pytest.raises(UsageError, match="too many requests at once"):
        opened(room)


def test_attack_a_request_that_never_ends_is_ended_by_the_agent(room, held, monkeypatch):
    monkeypatch.setattr(agent_protocol, "REQUEST_SECONDS", 0.2)
    with listening(room), held() as connections:
        monkeypatch.setattr(agent_protocol, "REQUEST_SECONDS", 3600.0)
        assert [connected.recv(1) for connected in connections] == [b""] * len(connections)

        while True:  # a slot is free a moment after its connection is closed
            with contextlib.suppress(UsageError):
                assert opened(room)
                break


NOT_YOU = framed({"refused": "not you"})


@contextlib.contextmanager
def closing(room, said):
    """An agent that says something and closes before it reads: its connections, and when one was closed."""
    accepted, closed = [], threading.Event()

    def serve(server):
        with contextlib.suppress(OSError):
            while connected := server.accept()[0]:
                accepted.append(1)
                connected.sendall(said)
                connected.close()
                closed.set()

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(room / "s.sock"))
        server.listen(9)
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield accepted, closed
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_refusal_that_came_before_the_request_was_sent_is_read_and_not_asked_again(room, monkeypatch):
    """The request meets a closed socket (EPIPE)."""
    really = agent_protocol.send
    with closing(room, NOT_YOU) as (accepted, closed):
        monkeypatch.setattr(agent_protocol, "send", lambda *a: closed.wait() and really(*a))

        with pytest.raises(UsageError, match="refused: not you"):
            opened(room)

    assert accepted == [1]


def test_a_refusal_that_came_while_the_request_was_sent_is_read(room):
    """More than a socket holds: the agent is gone with some of it unread (ECONNRESET or EPIPE)."""
    with closing(room, NOT_YOU), pytest.raises(UsageError, match="refused: not you"):
        agent_protocol.ask(str(room / "s.sock"), {"ask": "sign", "predicate": "x" * 50_000_000})


def test_an_agent_that_closes_without_a_word_has_not_answered(room, monkeypatch):
    really = agent_protocol.send
    with closing(room, b"") as (_, closed):
        monkeypatch.setattr(agent_protocol, "send", lambda *a: closed.wait() and really(*a))
        with pytest.raises(BrokenPipeError):
            agent_protocol.ask(str(room / "s.sock"), {"ask": "key"})


def test_attack_an_agent_that_lies_about_its_signature(room):
    other = a_signer()

    def answer(request, _):
        if request["ask"] == "key":
            return {"key": base64.b64encode(read_public(room / "ci.pub").spki).decode()}
        return {"signature": base64.b64encode(other.sign(b"x")).decode()}

    with threaded(room, answer), pytest.raises(CannotLook, match="does not verify"):
        opened(room).sign(pae_of(statement()))


@pytest.mark.parametrize("answer", [{}, {"key": 7}, {"key": "!"}, {"key": "AAAA"}, {"refused": "no\x1b[31m"}])
def test_an_answer_that_is_none_is_one_clear_sentence(room, answer):
    with threaded(room, lambda *_: answer), pytest.raises((CannotLook, UsageError)) as caught:
        opened(room)
    assert "\x1b" not in str(caught.value)


@contextlib.contextmanager
def threaded(room, answer):
    """An agent of the tests' own."""
    ready = threading.Event()
    server = agent_protocol.Agent(room / "s.sock", frozenset({ME}), answer, lambda *_: None)
    until, end = os.pipe()
    thread = threading.Thread(target=server.serve, args=(ready.set, until))
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        os.close(end)
        thread.join()
        os.close(until)


def pae_of(payload):
    from tuneguard.signing.envelope import pae

    return pae(PAYLOAD_TYPE, payload)


def test_nobody_there_or_nobody_answering_is_said(room, monkeypatch):
    monkeypatch.setattr(remote, "sleep", lambda _: None)
    monkeypatch.setattr(remote, "announce", lambda _: None)
    with pytest.raises(UsageError, match="no signer listens there"):
        opened(room)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(room / "s.sock"))
    with pytest.raises(CannotLook, match="Connection refused"):
        opened(room)
    (room / "s.sock").unlink()
    monkeypatch.setattr(agent_protocol, "REQUEST_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(room / "s.sock"))
        silent.listen(9)
        with pytest.raises(CannotLook, match="timed out, 4 times tried"):
            opened(room)


@pytest.mark.parametrize(
    "bad", ["unix:", "unix://", "unix://relative", "unix:///a?uid=", "unix:///a?b=c", "unix:///" + "a" * 200]
)
def test_what_names_no_socket_is_refused(bad):
    with pytest.raises(UsageError, match=r"unix:///PATH|is not"):
        open_signer(bad, no_passphrase)


# --- where it listens ----------------------------------------------------------------------------------


def test_a_socket_that_a_dead_agent_left_is_replaced_and_a_living_one_is_not(room):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(room / "s.sock"))
    with agent_protocol.listening(room / "s.sock"):
        second = agent_protocol.listening(room / "s.sock")
        with pytest.raises(UsageError, match="somebody listens there already"):
            second.__enter__()
    assert sorted(os.listdir(room)) == ["ci.key", "ci.pub"]


def test_of_two_agents_that_start_at_once_one_gets_the_name(room, monkeypatch):
    """Both found it free; the second comes to its place between the look of the first and its own."""
    monkeypatch.setattr(agent_protocol, "_clear", lambda *_: None)
    with agent_protocol.listening(room / "s.sock"):
        second = agent_protocol.listening(room / "s.sock")
        with pytest.raises(CannotLook, match="File exists"):
            second.__enter__()
        with socket.socket(socket.AF_UNIX) as connected:
            connected.connect(str(room / "s.sock"))
    assert sorted(os.listdir(room)) == ["ci.key", "ci.pub"]


def test_its_name_appears_when_it_can_be_connected_to(room, monkeypatch):
    seen = []
    monkeypatch.setattr(
        agent_protocol.socket.socket, "listen", lambda server, _: seen.append((room / "s.sock").exists())
    )
    with agent_protocol.listening(room / "s.sock"):
        assert seen == [False]
        assert (room / "s.sock").is_socket()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_attack_a_folder_in_which_others_could_put_another_socket(room, mode):
    shared = room / "shared"
    shared.mkdir()
    shared.chmod(mode)
    with pytest.raises(UsageError, match="written by others"), agent_protocol.listening(shared / "s.sock"):
        pass


def test_a_file_or_link_in_its_place_is_left_alone(room):
    (room / "s.sock").write_text("mine")
    with pytest.raises(UsageError, match="is no socket"), agent_protocol.listening(room / "s.sock"):
        pass
    assert (room / "s.sock").read_text() == "mine"


def test_without_somebody_allowed_or_a_key_it_does_not_start(room, capsys):
    assert tuneguard(["signer", "--listen", str(room / "s.sock"), "--key", str(room / "ci.key")]) == 2
    assert "no user is allowed to ask" in capsys.readouterr().err
    assert tuneguard(["signer", "--listen", str(room / "s.sock"), "--allow-user", "0"]) == 2
    assert "no key is named" in capsys.readouterr().err
    command = [
        "signer",
        "--listen",
        str(room / "s.sock"),
        "--key",
        str(room / "ci.key"),
        "--allow-user",
        "nobody-here",
    ]
    assert tuneguard(command) == 2
    assert "no user nobody-here" in capsys.readouterr().err

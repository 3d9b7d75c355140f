"""The ledger's file: what was appended is there, in order, for ever, and a change shows."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, Refused, TuneguardError, UsageError
from tuneguard.files import FAULT_AT
from tuneguard.ledger import merkle
from tuneguard.ledger.entry import Entry, Event
from tuneguard.ledger.store import Head, SqliteStore

NOW = datetime(2026, 11, 23, 10, 42, tzinfo=UTC)
TREE, OTHER = "ab" * 32, "cd" * 32
APPEND = """
import sys
from pathlib import Path
from tuneguard.ledger.store import SqliteStore
path, command, times = sys.argv[1:]
for number in range(int(times)):
    SqliteStore(Path(path)).append(event="begun", command=command, detail={"number": number})
"""


@pytest.fixture
def store(tmp_path):
    """A ledger with three entries: an attempt, what it scanned, and another attempt for another tree."""
    store = SqliteStore(tmp_path / "ledger.db")
    store.append(event=Event.ATTEMPT, command="promote", run="042", attempt="a-1", tree=TREE, now=NOW)
    store.append(
        event=Event.JUDGED, command="scan", attempt="a-1", tree=TREE, result="passed", detail={"findings": 0}
    )
    store.append(event=Event.ATTEMPT, command="promote", run="043", attempt="a-2", tree=OTHER)
    return store


def start(program, *arguments, **environment):
    """A process of its own that runs a program; wait for it with `ended`."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stderr=subprocess.PIPE,
    )


def ended(process):
    """How a process ended: its exit code, negative for a signal, and what it said."""
    _, said = process.communicate()
    return process.returncode, said.decode()


def tamper(path, *statements):
    """Change the file as anybody with SQLite can."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        for statement in statements:
            connection.execute(*statement) if isinstance(statement, tuple) else connection.execute(statement)
    connection.close()


# --- What it keeps -----------------------------------------------------------------------------------


def test_entries_come_back_in_their_order_with_all_that_was_said(store):
    first, second, third = store.entries()

    assert first == Entry(0, "2026-11-23T10:42:00Z", Event.ATTEMPT, "promote", "042", "a-1", tree=TREE)
    assert (second.sequence, second.result, dict(second.detail)) == (1, "passed", {"findings": 0})
    assert (third.sequence, third.run) == (2, "043")


def test_entries_can_be_asked_for_by_what_they_say(store):
    assert [entry.sequence for entry in store.entries(tree=TREE)] == [0, 1]
    assert [entry.sequence for entry in store.entries(event=Event.ATTEMPT)] == [0, 2]
    assert [entry.sequence for entry in store.entries(run="043", command="promote")] == [2]
    assert list(store.entries(run="044")) == []


def test_a_tree_that_is_only_mentioned_is_not_what_an_entry_is_about(store):
    store.append(event=Event.BEGUN, command="run", detail={"parent": TREE})

    assert [entry.sequence for entry in store.entries(tree=TREE)] == [0, 1]


def test_a_model_with_any_name_is_found_again(store):
    for model in ('with "quotes"', "back\\slash", "модель", "\U0001f600"):
        entry = store.append(event=Event.BEGUN, command="run", model=model)

        assert list(store.entries(model=model)) == [entry]


def test_attempts_of_a_tree_are_counted(store):
    store.append(event=Event.ATTEMPT, command="promote", attempt="a-3", tree=TREE)

    assert store.attempts(TREE) == ("a-1", "a-3")
    assert store.attempts("00" * 32) == ()


def test_the_head_is_the_rfc_6962_root_over_the_canonical_entries(store):
    leaves = [merkle.leaf_hash(entry.encode()) for entry in store.entries()]

    assert store.head() == Head(3, merkle.root(leaves).hex())
    assert store.leaf_hashes() == leaves
    assert store.leaf_hashes(2) == leaves[:2]


def test_proofs_can_be_made_from_the_ledger(store):
    before, old = store.head(), store.leaf_hashes()
    store.append(event=Event.DONE, command="push")
    after, new = store.head(), store.leaf_hashes()

    proof = merkle.consistency_proof(before.size, new)

    assert merkle.verify_consistency(3, 4, bytes.fromhex(before.root), bytes.fromhex(after.root), proof)
    assert merkle.verify_inclusion(1, 4, old[1], merkle.inclusion_proof(1, new), bytes.fromhex(after.root))
    with pytest.raises(UsageError, match="has 4 entries, not 5"):
        store.leaf_hashes(5)


def test_a_ledger_lies_in_one_file_that_can_be_copied(store, tmp_path):
    copy = tmp_path / "copy.db"
    shutil.copyfile(store.path, copy)

    assert sorted(os.listdir(tmp_path)) == ["copy.db", "ledger.db"]
    assert SqliteStore(copy).head() == store.head()


def test_the_first_entry_makes_the_file_and_its_folder(tmp_path):
    store = SqliteStore(tmp_path / ".tuneguard" / "ledger.db")

    assert store.append(event=Event.BEGUN, command="run").sequence == 0
    assert store.head().size == 1


def test_reading_makes_no_ledger(tmp_path):
    store = SqliteStore(tmp_path / "ledger.db")

    for read in (store.head, store.verify, lambda: list(store.entries()), lambda: store.attempts(TREE)):
        with pytest.raises(UsageError, match="there is no ledger"):
            read()
    assert os.listdir(tmp_path) == []


def test_a_wrong_value_makes_no_ledger(tmp_path):
    with pytest.raises(UsageError, match="tree"):
        SqliteStore(tmp_path / "ledger.db").append(event=Event.BEGUN, command="run", tree="no")

    assert os.listdir(tmp_path) == []


def test_names_that_mean_something_in_a_uri_are_only_names(tmp_path):
    store = SqliteStore(tmp_path / "a?mode=memory&x=%20#y" / "ledger db%00.db")

    store.append(event=Event.BEGUN, command="run")

    assert store.path.stat().st_size > 0


def test_a_ledger_that_may_only_be_read_can_be_read(store):
    head = store.head()
    store.path.chmod(0o444)
    store.path.parent.chmod(0o555)
    try:
        assert store.verify(head).anchored
        if os.geteuid() != 0:
            with pytest.raises(CannotLook, match="writing"):
                store.append(event=Event.BEGUN, command="run")
    finally:
        store.path.parent.chmod(0o755)


# --- Many writers, and kills -----------------------------------------------------------------------


def test_processes_that_append_at_once_lose_nothing(tmp_path):
    path = tmp_path / "new" / "ledger.db"
    writers = [start(APPEND, path, f"writer-{number}", 25) for number in range(4)]
    assert [ended(writer) for writer in writers] == [(0, "")] * 4

    store = SqliteStore(path)
    assert store.head().size == 100
    assert store.verify().findings == ()
    for number in range(4):
        theirs = [entry.detail["number"] for entry in store.entries(command=f"writer-{number}")]
        assert theirs == list(range(25))


def test_threads_that_append_and_read_at_once_lose_nothing(tmp_path):
    store = SqliteStore(tmp_path / "ledger.db")
    failed = []

    def work(name):
        try:
            for _ in range(20):
                store.append(event=Event.BEGUN, command=name)
                assert store.verify().findings == ()
        except BaseException as error:  # noqa: BLE001 (told to the test)
            failed.append(error)

    threads = [threading.Thread(target=work, args=(f"thread-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert store.head().size == 80


def test_a_reader_that_pauses_blocks_no_writer(store):
    reading = store.entries()
    assert next(reading).sequence == 0

    store.append(event=Event.DONE, command="push")

    assert [entry.sequence for entry in reading] == [1, 2]


def test_killed_at_any_step_an_entry_is_whole_or_absent_and_the_next_one_follows(tmp_path):
    count = {FAULT_AT: f"0:{tmp_path}/count"}
    assert ended(start(APPEND, tmp_path / "all" / "l.db", "run", 2, **count)) == (0, "")
    steps = (tmp_path / "count").read_text().splitlines()
    assert sum(step.startswith("commit:") for step in steps) == 2
    assert len(steps) >= 7

    for step in range(1, len(steps) + 1):
        path = tmp_path / str(step) / "l.db"
        fault = {FAULT_AT: f"{step}:{tmp_path}/count{step}"}
        assert ended(start(APPEND, path, "run", 2, **fault)) == (-9, "")
        store = SqliteStore(path)
        committed = sum(name.startswith("committed:") for name in steps[:step])
        before = list(store.entries()) if path.exists() else []
        assert len(before) == committed, steps[step - 1]

        store.append(event=Event.DONE, command="again")

        assert [entry.command for entry in store.entries()] == ["run"] * committed + ["again"]
        assert store.verify().findings == ()


def test_a_writer_killed_in_the_middle_of_sqlites_own_commit_leaves_the_past(store, tmp_path):
    spill = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size=1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE entries SET leaf = zeroblob(5000)")
connection.executemany("INSERT INTO entries VALUES (?, zeroblob(9000))", [(n,) for n in range(3, 60)])
os.kill(os.getpid(), signal.SIGKILL)
"""
    head = store.head()
    assert ended(start(spill, store.path)) == (-9, "")
    assert (tmp_path / "ledger.db-journal").stat().st_size > 0

    assert store.verify(head).anchored
    assert os.listdir(tmp_path) == ["ledger.db"]


def test_a_full_disk_is_told_and_loses_nothing(store):
    head = store.head()
    fill = """
import resource, signal, sys
from pathlib import Path
from tuneguard.errors import CannotLook
from tuneguard.ledger.store import SqliteStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, 16_384))
try:
    SqliteStore(Path(sys.argv[1])).append(event="begun", command="run", detail={"text": "x" * 60_000})
except CannotLook as error:
    sys.exit(17 if "read or written" in str(error) else str(error))
"""
    assert ended(start(fill, store.path)) == (17, "")

    assert store.verify(head).anchored
    assert store.append(event=Event.DONE, command="push").sequence == 3


def test_a_writer_that_holds_the_ledger_too_long_is_named(store, monkeypatch):
    monkeypatch.setattr("tuneguard.ledger.database.BUSY_SECONDS", 0.01)
    with sqlite3.connect(store.path, isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CannotLook, match="another process holds the ledger"):
            store.append(event=Event.DONE, command="push")
        with pytest.raises(CannotLook, match="another process holds the ledger"):
            store.head()
        holder.execute("ROLLBACK")
    holder.close()


# --- Attacks on the past ---------------------------------------------------------------------------


def test_without_a_head_kept_elsewhere_a_ledger_is_only_consistent_with_itself(store):
    check = store.verify()

    assert (check.findings, check.anchored) == ((), False)
    assert check.summary == "internally consistent, not anchored"


def test_with_the_head_kept_elsewhere_it_is_anchored_and_stays_so_as_it_grows(store):
    head = store.head()
    store.append(event=Event.DONE, command="push")
    check = store.verify(head)

    assert (check.findings, check.anchored) == ((), True)
    assert check.summary == "consistent with the given head"
    assert store.verify(Head(0, merkle.EMPTY_ROOT.hex())).anchored


def test_attack_rewrite_the_whole_file_by_the_rules(store, tmp_path):
    head = store.head()
    forged = SqliteStore(tmp_path / "forged.db")
    for entry in store.entries():
        verdict = "refused" if entry.result == "passed" else entry.result
        forged.append(
            event=entry.event,
            command=entry.command,
            run=entry.run,
            attempt=entry.attempt,
            tree=entry.tree,
            result=verdict,
            now=NOW,
        )
    os.replace(forged.path, store.path)

    assert store.verify().summary == "internally consistent, not anchored"
    (finding,) = store.verify(head).findings
    assert (finding.rule, finding.severity) == ("L04", "critical")
    assert "rewritten" in finding.message


def test_attack_cut_the_tail(store):
    head = store.head()
    tamper(store.path, "DELETE FROM entries WHERE sequence = 2")

    assert store.verify().findings == ()
    (finding,) = store.verify(head).findings
    assert (finding.rule, finding.severity) == ("L03", "critical")
    assert "has 2 entries, and the given head 3" in finding.message


def test_attack_cut_the_tail_and_grow_another(store):
    head = store.head()
    tamper(store.path, "DELETE FROM entries WHERE sequence = 2")
    store.append(event=Event.DONE, command="push")
    store.append(event=Event.DONE, command="push")

    assert store.verify().findings == ()
    assert [finding.rule for finding in store.verify(head).findings] == ["L04"]


def test_attack_fork_the_ledger(store, tmp_path):
    fork = SqliteStore(tmp_path / "fork.db")
    shutil.copyfile(store.path, fork.path)
    fork.append(event=Event.DONE, command="push", result="passed")
    store.append(event=Event.DONE, command="push", result="refused")

    assert [finding.rule for finding in fork.verify(store.head()).findings] == ["L04"]
    assert [finding.rule for finding in store.verify(fork.head()).findings] == ["L04"]


def test_attack_replace_it_by_an_empty_one(store):
    head = store.head()
    store.path.write_bytes(b"")

    assert store.verify().head == Head(0, merkle.EMPTY_ROOT.hex())
    assert [finding.rule for finding in store.verify(head).findings] == ["L03"]


def test_attack_change_one_entry_in_place(store):
    leaf = next(iter(store.entries())).encode().replace(b"042", b"041")
    tamper(store.path, ("UPDATE entries SET leaf = ? WHERE sequence = 0", (leaf,)))

    assert store.verify().findings == ()  # it is canonical: only a head can tell
    assert store.append(event=Event.DONE, command="push").sequence == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET leaf = leaf || ' ' WHERE sequence = 1",
        "UPDATE entries SET leaf = CAST(leaf AS TEXT) WHERE sequence = 1",
        "UPDATE entries SET leaf = zeroblob(100) WHERE sequence = 1",
        "UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE sequence = 0) WHERE sequence = 1",
        "DELETE FROM entries WHERE sequence = 1",
        "DELETE FROM entries WHERE sequence = 0",
        "UPDATE entries SET sequence = 9 WHERE sequence = 2",
        "UPDATE entries SET sequence = -1 WHERE sequence = 0",
        f"UPDATE entries SET leaf = zeroblob({3 * limits.LEDGER_ENTRY_BYTES}) WHERE sequence = 1",
    ],
)
def test_attack_write_what_append_never_writes(store, statement):
    tamper(store.path, statement)

    findings = store.verify().findings
    assert findings
    assert {finding.rule for finding in findings} <= {"L01", "L02"}
    with pytest.raises(NotUnderstood):
        list(store.entries())


def test_every_bad_entry_is_told_up_to_a_bound(store):
    tamper(store.path, "UPDATE entries SET leaf = zeroblob(1) WHERE sequence <> 1")

    assert [finding.message.split(" is")[0] for finding in store.verify().findings] == ["entry 0", "entry 2"]


# --- Attacks by the file itself --------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (x)",
        "CREATE VIEW more AS SELECT * FROM entries",
        "CREATE INDEX more ON entries (leaf)",
        "CREATE TRIGGER more AFTER INSERT ON entries BEGIN DELETE FROM entries; END",
        "ALTER TABLE entries ADD COLUMN more",
        "ALTER TABLE entries ADD COLUMN more AS (sequence + 1)",
        "ALTER TABLE entries RENAME TO others",
    ],
)
def test_attack_plant_more_than_the_one_table(store, statement):
    tamper(store.path, statement)

    for work in (store.head, store.verify, lambda: store.append(event=Event.DONE, command="push")):
        with pytest.raises(Refused, match="not what Tuneguard made"):
            work()
    with sqlite3.connect(store.path) as connection:
        table = "others" if "RENAME" in statement else "entries"
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (3,)
    connection.close()


@pytest.mark.parametrize(
    "content", [b"x", b"not a database, but long enough for a header " * 50, b"SQLite format 3\0"]
)
def test_a_file_that_is_no_database_is_not_understood(tmp_path, content):
    store = SqliteStore(tmp_path / "ledger.db")
    store.path.write_bytes(content)

    for work in (store.head, lambda: store.append(event=Event.DONE, command="push")):
        with pytest.raises(NotUnderstood):
            work()
    assert [finding.rule for finding in store.verify().findings] == ["L01"]
    assert store.path.read_bytes() == content


def test_another_programs_database_is_left_alone(tmp_path):
    store = SqliteStore(tmp_path / "ledger.db")
    tamper(store.path, "CREATE TABLE mine (x)", "PRAGMA application_id=7")

    with pytest.raises(NotUnderstood, match="is not a Tuneguard ledger"):
        store.append(event=Event.DONE, command="push")


def test_a_ledger_of_a_later_version_is_left_alone(store):
    tamper(store.path, "PRAGMA user_version=2")

    with pytest.raises(NotUnderstood, match="version 2"):
        store.append(event=Event.DONE, command="push")


def test_a_ledger_with_any_page_damaged_gives_our_errors_or_findings(store, tmp_path):
    for number in range(40):
        store.append(event=Event.DONE, command="push", detail={"text": "x" * 300, "number": number})
    head, data, entries = store.head(), store.path.read_bytes(), list(store.entries())
    damaged = SqliteStore(tmp_path / "damaged.db")
    unseen = 0
    for at in range(0, len(data), len(data) // 150):
        damaged.path.write_bytes(
            data[:at] + bytes(value ^ 0xFF for value in data[at : at + 16]) + data[at + 16 :]
        )
        try:
            if damaged.verify(head).anchored:  # the damage hit bytes that hold nothing
                assert list(damaged.entries()) == entries
                unseen += 1
        except TuneguardError:
            pass
        for suffix in ("-journal", "-wal", "-shm"):
            damaged.path.with_name(damaged.path.name + suffix).unlink(missing_ok=True)
    assert unseen < 75


@pytest.mark.parametrize("size", [0, 1, 100, 4095, 4096, 8191])
def test_a_ledger_cut_at_any_byte_gives_our_errors_or_findings(store, size):
    head = store.head()
    os.truncate(store.path, size)

    assert store.verify(head).findings


def test_attack_make_the_ledger_a_link(store, tmp_path):
    link = SqliteStore(tmp_path / "link.db")
    link.path.symlink_to(store.path)

    for work in (link.head, link.verify, lambda: link.append(event=Event.DONE, command="push")):
        with pytest.raises(Refused, match="symbolic link"):
            work()
    assert store.head().size == 3


def test_attack_make_the_ledger_a_link_to_where_nothing_is_yet(tmp_path):
    store = SqliteStore(tmp_path / "ledger.db")
    store.path.symlink_to(tmp_path / "elsewhere.db")

    with pytest.raises(Refused, match="symbolic link"):
        store.append(event=Event.DONE, command="push")
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_fifo_in_place_of_the_ledger_hangs_nobody(tmp_path):
    os.mkfifo(tmp_path / "ledger.db")

    with pytest.raises(Refused, match="not a regular file"):
        SqliteStore(tmp_path / "ledger.db").head()


def test_attack_plant_a_journal_that_has_sqlite_delete_somebodys_file(store, tmp_path):
    victim = tmp_path / "thesis.txt"
    name = os.fsencode(victim)
    victim.write_bytes(b"nobody-journal\0")
    magic = bytes.fromhex("d9d505f920a163d7")
    numbers = [0, 1234, 2, 512, 4096]
    header = magic + b"".join(number.to_bytes(4, "big") for number in numbers)
    trailer = [len(name), sum(name)]
    pointer = (0x40000000 // 4096 + 1).to_bytes(4, "big") + name
    pointer += b"".join(number.to_bytes(4, "big") for number in trailer) + magic
    journal = tmp_path / "ledger.db-journal"

    def plant():
        journal.write_bytes(header.ljust(512, b"\0") + pointer)

    for work in (store.head, store.verify, lambda: store.append(event=Event.DONE, command="push")):
        plant()
        with pytest.raises(Refused, match="names another file that SQLite would delete"):
            work()
    assert victim.exists()

    with sqlite3.connect(store.path) as connection:  # the attack is real: plain SQLite falls for it
        connection.execute("SELECT count(*) FROM entries").fetchone()
    connection.close()
    assert not victim.exists()


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_journal_that_is_no_file_is_refused(store, tmp_path, kind):
    journal = tmp_path / "ledger.db-journal"
    {
        "link": lambda: journal.symlink_to(store.path),
        "fifo": lambda: os.mkfifo(journal),
        "folder": journal.mkdir,
    }[kind]()

    with pytest.raises(Refused):
        store.head()


def test_attack_plant_a_write_ahead_log_with_another_past(store, tmp_path):
    head = store.head()
    other = sqlite3.connect(tmp_path / "other.db", isolation_level=None)
    shutil.copyfile(store.path, tmp_path / "other.db")
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("DELETE FROM entries")
    shutil.copyfile(tmp_path / "other.db-wal", tmp_path / "ledger.db-wal")

    with pytest.raises(Refused, match="lies beside the ledger"):
        store.verify(head)
    other.close()


def test_attack_switch_the_journal_mode(store):
    tamper(store.path, "PRAGMA journal_mode=WAL")

    with pytest.raises(Refused, match="journal mode"):
        store.head()


def test_a_rows_worth_of_terminal_escapes_is_printed_escaped(store):
    tamper(store.path, 'CREATE TABLE "\x1b[2J" (x)')

    with pytest.raises(Refused) as caught:
        store.head()
    assert "\x1b" not in str(caught.value)


# --- Heads -----------------------------------------------------------------------------------------


def test_a_head_is_written_as_it_is_read(store):
    head = store.head()

    assert Head.parse(str(head)) == head


@pytest.mark.parametrize(
    "text", ["", "3", "3:", ":ab", "03:" + "a" * 64, "3:" + "A" * 64, "-1:" + "a" * 64, "3:" + "a" * 63]
)
def test_what_is_no_head_is_a_usage_error(text):
    with pytest.raises(UsageError, match="is not a ledger head"):
        Head.parse(text)

"""What bad input gets: one sentence, the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path

import pytest

from tuneguard.cli import console
from tuneguard.cli.app import run
from tuneguard.errors import CannotLook, ConfigurationError, Interrupted, Problem, Refused, UsageError
from world import pickles


def test_an_unknown_command_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["promot"]) == 2
    assert capsys.readouterr().err.startswith("error: No such command 'promot'")


def test_an_unknown_option_is_usage_and_points_to_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["digest", "--depth", "3", "x"]) == 2

    said = capsys.readouterr().err
    assert said.startswith("error: No such option")
    assert "help: see tuneguard digest --help" in said


def test_a_missing_folder_is_usage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["digest", str(tmp_path / "nothing")]) == 2

    assert capsys.readouterr().err == (
        f"error: {tmp_path}/nothing: no such file or folder\nhelp: check the path\n"
    )


def test_a_name_from_outside_reaches_the_terminal_escaped(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "a\x1b[31mb").symlink_to("x")

    assert run(["digest", str(folder)]) == 1

    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\\x1b[31m" in said


def test_json_is_one_object_for_a_result(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")

    assert run(["digest", str(tmp_path), "--json"]) == 0

    result = json.loads(capsys.readouterr().out)
    assert result["schema"] == "tuneguard.dev/result/v1"
    assert result["verdict"] == "passed"
    assert len(result["subjects"][0]["digest"]) == 64
    assert result["error"] is None


def test_json_is_one_object_for_an_error_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["digest", str(tmp_path / "nothing"), "--json"]) == 2

    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert printed.err == ""
    assert result["verdict"] == "not-understood"
    assert result["error"]["exit"] == 2
    assert result["error"]["problems"][0]["what"] == "no such file or folder"


def test_output_goes_to_a_file_whole(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "f").write_text("x")

    assert run(["digest", str(tree), "--json", "--output", str(tmp_path / "out.json")]) == 0

    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "out.json").read_text())["command"] == "digest"


def test_output_as_text_holds_the_lines_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "f").write_text("x")

    assert run(["digest", str(tree), "--output", str(tmp_path / "out.txt")]) == 0

    assert capsys.readouterr().out == ""
    hashed, digest, verdict = (tmp_path / "out.txt").read_text().splitlines()
    assert hashed.split()[0] == "Hashed"
    assert hashed.endswith("1 file, 1 B")
    assert len(digest.strip()) == 64
    assert verdict.endswith("passed")


@pytest.mark.parametrize("form", ["text", "json", "sarif", "html"])
def test_an_output_that_cannot_be_written_is_said_in_one_sentence(
    form: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "f").write_text("x")

    assert run(["digest", str(tree), "--format", form, "--output", str(tmp_path / "no" / "out")]) == 3

    printed = capsys.readouterr()
    assert "no such file or directory" in (printed.out if form == "json" else printed.err)


def test_attack_a_device_a_fifo_or_a_link_named_as_the_output_is_written_to_and_not_replaced(
    tmp_path: Path,
) -> None:
    """As root, `--output /dev/null` must not put a file in its place."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "link").symlink_to("file")

    def output(path: str) -> int:
        return run(["digest", str(tmp_path / "tree"), "--json", "--output", path])

    try:
        assert output(str(tmp_path / "fifo")) == 0
        assert json.loads(os.read(reader, 1 << 16))["command"] == "digest"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(os.lstat(tmp_path / "fifo").st_mode)
    assert output(str(tmp_path / "fifo")) == 2  # nobody reads it: said, and not waited for
    assert stat.S_ISFIFO(os.lstat(tmp_path / "fifo").st_mode)
    assert output(str(tmp_path / "link")) == 0
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "file").read_text())["command"] == "digest"
    assert output(str(tmp_path / "tree")) == 2


def test_an_output_named_by_what_is_open_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_text("x")
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("ab") as file:
        name = f"/proc/self/fd/{file.fileno()}"
        assert run(["digest", str(tmp_path / "tree"), "--json", "--output", name]) == 0

    before, said = log.read_text().split("\n", 1)
    assert before == "before"
    assert json.loads(said)["command"] == "digest"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="nobody may write in /dev/shm")
def test_a_file_in_shared_memory_is_made_and_replaced_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for _ in "twice":
            assert run(["digest", str(tmp_path), "--json", "--output", f"{folder}/out.json"]) == 0

        assert json.loads(Path(folder, "out.json").read_text())["command"] == "digest"


@pytest.mark.parametrize("words", [[], ["policy"]])
def test_no_command_at_all_is_answered_by_the_help(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2

    said = capsys.readouterr().err
    assert said.startswith("Usage: tuneguard")
    assert "Commands:\n" in said


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("no"), 1),
        (UsageError("no"), 2),
        (ConfigurationError([Problem("no")]), 2),
        (CannotLook("no"), 3),
        (Interrupted("no"), 130),
        (KeyboardInterrupt(), 130),
        (PermissionError(13, "Permission denied", "/x"), 3),
        (MemoryError(), 3),
        (ZeroDivisionError("division by zero"), 3),
    ],
)
def test_every_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert console.as_ours(error).exit_code == code


def test_our_own_bug_is_one_line_and_says_how_to_see_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.Console().error(RuntimeError("two\nlines")) == 3

    said = capsys.readouterr().err
    assert said.startswith("error: a bug in Tuneguard: RuntimeError: two lines\n")
    assert "TUNEGUARD_DEBUG=1" in said
    assert "Traceback" not in said


def test_debug_shows_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEGUARD_DEBUG", "1")

    console.Console().error(RuntimeError("two"))

    assert "RuntimeError: two" in capsys.readouterr().err


def test_every_problem_of_a_configuration_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [Problem("unknown key `a`", "t.yaml:1:1", "remove it"), Problem("missing `b`", "t.yaml:2:1")]

    assert console.Console().error(ConfigurationError(problems)) == 2

    assert capsys.readouterr().err == (
        "error: t.yaml:1:1: unknown key `a`\nhelp: remove it\nerror: t.yaml:2:1: missing `b`\n"
    )


@pytest.mark.parametrize("form", ["json", "sarif", "html", "text"])
def test_a_forbidden_name_hides_no_finding_in_any_format(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, form: str
) -> None:
    (tmp_path / "a\\b.txt").write_text("hello\n")
    (tmp_path / "m.pkl").write_bytes(pickles.PAYLOAD)

    assert run(["scan", str(tmp_path), "--format", form, "--quiet"]) == 1

    said = capsys.readouterr().out
    assert "T-NAME" in said
    assert "TG-PKL-CALL" in said


def test_sarif_of_an_error_holds_its_findings_and_its_problem(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")

    assert run(["digest", str(tmp_path), "--format", "sarif"]) == 1

    [log] = json.loads(capsys.readouterr().out)["runs"]
    assert [result["ruleId"] for result in log["results"]] == ["T-SYMLINK"]
    [invocation] = log["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 1)
    assert "symbolic link" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_sarif_of_a_usage_error_is_a_log_without_results(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["digest", str(tmp_path / "nothing"), "--format", "sarif"]) == 2

    [log] = json.loads(capsys.readouterr().out)["runs"]
    assert log["results"] == []
    assert log["invocations"][0]["exitCode"] == 2

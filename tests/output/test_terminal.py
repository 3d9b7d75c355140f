"""Lines that stay, lines that are kept for JSON, and a bar that goes."""

from __future__ import annotations

import io
import re

import pytest

from tuneguard.output import terminal, text


def test_a_line_goes_to_the_stream_at_once():
    stream = io.StringIO()

    terminal.Lines(stream, text.PLAIN, bars=False).emit("Scanned", "14 files", "all understood")

    assert stream.getvalue() == "    Scanned  14 files\n             all understood\n"


def test_a_recorder_keeps_its_lines_and_passes_each_on():
    heard: list[list[str]] = []
    recorder = terminal.Recorder(bars=False, passed_on=heard.append)

    recorder.emit("Copied", "runs/042")
    recorder.emit("Scanned", "14 files", "all understood")

    assert recorder.lines == heard == [["Copied", "runs/042"], ["Scanned", "14 files", "all understood"]]


def test_a_status_is_drawn_over_the_last_one_and_lines_go_above_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "40")
    lines = terminal.Lines(stream := io.StringIO(), text.PLAIN, bars=True)

    lines.status("step 1")
    lines.emit("Saved", "checkpoint-1")
    lines.status("step 2 " + "x" * 100)
    lines.status("")
    lines.emit("Signed", "runs/042")

    wipe, left = "\r\x1b[2K", " " * (text.VERB_WIDTH + 1)
    assert capsys.readouterr().err.split(wipe) == [
        *("", f"{left}step 1", "", f"{left}step 1", ""),
        *(f"{left}step 2 {'x' * (40 - text.VERB_WIDTH - 2 - 7)}", ""),
    ]
    assert stream.getvalue() == "      Saved  checkpoint-1\n     Signed  runs/042\n"


def test_where_no_terminal_is_a_status_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    lines = terminal.Lines(stream := io.StringIO(), text.PLAIN, bars=False)

    for moment in (0.0, 1.0, 29.0, 30.0, 31.0):
        now[0] = moment
        lines.status(f"step {moment:.0f}")
    lines.status("")

    assert stream.getvalue().split() == ["step", "0", "step", "30"]


def test_a_status_is_passed_on_and_not_kept():
    heard: list[list[str]] = []
    terminal.Recorder(bars=True, passed_on=heard.append).status("step 1")
    silent = terminal.Recorder(bars=True)
    silent.status("step 1")

    assert heard == [["step 1"]]
    assert silent.lines == []


def test_text_for_a_person_is_lines_and_everything_else_is_recorded(capsys: pytest.CaptureFixture[str]):
    assert isinstance(terminal.reporter("text", text.PLAIN, quiet=False), terminal.Lines)
    for form, quiet in (("text", True), ("json", False), ("sarif", False), ("file", False)):
        assert isinstance(terminal.reporter(form, text.PLAIN, quiet=quiet), terminal.Recorder)


def test_where_nobody_watches_no_bar_is_drawn(capsys: pytest.CaptureFixture[str]):
    with terminal.Bar("Hashing", 100, "bytes", shown=False) as bar:
        bar.advance(100)

    assert capsys.readouterr() == ("", "")


def test_short_work_does_not_flicker(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(terminal, "BAR_AFTER", 3600.0)

    with terminal.Bar("Hashing", 100, "bytes", shown=True) as bar:
        bar.advance(100)

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("unit", "shown"), [("bytes", "1.5/2.0 KiB"), ("files", "1536/2048 files")])
def test_a_bar_says_what_it_does_and_how_far_it_is_and_goes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, unit: str, shown: str
):
    monkeypatch.setattr(terminal, "BAR_AFTER", -1.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")

    with terminal.Bar("Hashing", 2048, unit, shown=True) as bar:
        bar.advance(1000)
        bar.advance(536)

    said, drawn = capsys.readouterr()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)
    assert said == ""
    assert "    Hashing " in plain
    assert shown in plain
    assert drawn.endswith("\x1b[2K")  # the bar's line is erased


def test_a_bar_that_an_error_ends_gives_the_terminal_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(terminal, "BAR_AFTER", -1.0)
    monkeypatch.setenv("FORCE_COLOR", "1")

    def interrupted() -> None:
        with terminal.Bar("Hashing", None, "files", shown=True) as bar:
            bar.advance(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert "\x1b[?25h" in capsys.readouterr().err  # the cursor is shown again

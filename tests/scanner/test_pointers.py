"""Clones without their large files: what stands in a model's place is named, and never passes."""

from __future__ import annotations

import pytest

from tuneguard.findings import Verdict

OID = "0123456789abcdef" * 4
LFS = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 548105171\n"
POINTERS = {
    "Git LFS": (LFS, "548,105,171 bytes: git lfs pull"),
    "with an extension": (
        LFS.replace("oid", f"ext-0-foo sha256:{OID}\noid"),
        "548,105,171 bytes: git lfs pull",
    ),
    "without its last line end": (LFS.rstrip(), "548,105,171 bytes: git lfs pull"),
    "by a checkout of Windows": (LFS.replace("\n", "\r\n"), "548,105,171 bytes: git lfs pull"),
    "before its first release": (
        LFS.replace("git-lfs", "hawser"),
        "548,105,171 bytes: git lfs pull",
    ),
    "of its second draft": (
        LFS.replace("https://git-lfs.github.com/spec/v1", "http://git-media.io/v/2"),
        "548,105,171 bytes: git lfs pull",
    ),
    "of its first draft": (f"# git-media\n{OID}\n", "a file: git lfs pull"),
    "git-annex": (
        f"/annex/objects/SHA256E-s548105171--{OID}.safetensors\n",
        "548,105,171 bytes: git annex get",
    ),
    "git-annex, size unknown": ("/annex/objects/URL--http&c%%example.org\n", "a file: git annex get"),
}
NAMES = (
    "model.safetensors",
    "pytorch_model.bin",
    "tokenizer.model",
    "tokenizer.json",
    "notes.txt",
    "LICENSE",
)


@pytest.mark.parametrize("form", POINTERS)
@pytest.mark.parametrize("name", [*NAMES, "chat_template.jinja", "m.gguf", "optimizer.pt", "weights"])
def test_a_pointer_is_named_whatever_it_is_called(scan, name: str, form: str) -> None:
    text, what = POINTERS[form]

    result = scan(name, text.encode())

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert result.findings == ()
    assert [(skipped.path, skipped.reason) for skipped in result.skipped] == [
        (name, f"is no file but a pointer to {what}")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Large files are pointers:\n" + LFS,
        LFS + "more\n",
        "version 2\nsize 12\n",
        "version https://git-lfs.github.com/spec/v1\n",
        "annexes and objects\n",
    ],
)
def test_text_that_speaks_of_pointers_is_text(scan, text: str) -> None:
    assert scan("notes.txt", text.encode()).verdict is Verdict.PASSED


def test_attack_a_pickle_behind_a_pointers_first_line_is_no_pointer(scan) -> None:
    data = LFS.encode() + b"\x80\x04cposix\nsystem\n(X\x04\x00\x00\x00echotR."

    assert "pointer" not in scan("a.bin", data).skipped[0].reason

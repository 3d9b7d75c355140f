"""The commands of a report, pasted into a real shell over a real tree, real keys and real evidence."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from tuneguard.facts import NoFacts, PromoteFacts
from tuneguard.findings import EvidenceRef, Result, Subject, Verdict
from tuneguard.oci import manifest as oci
from tuneguard.output import manual_verification
from tuneguard.records import to_json_pretty
from tuneguard.signing.key import KeyType
from tuneguard.trust.policy import parse_policy, sign_policy
from world import company, results
from world.keys import signer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.needs("openssl"), pytest.mark.slow]

OURS = ("With Tuneguard", "The verdict, with cosign")
"""Blocks that need a program that is not part of every system: here they only say what they were given."""
STUBS = "tuneguard() { printf 'tuneguard:%s\\n' \"$@\"; }\ncosign() { printf 'cosign:%s\\n' \"$@\"; }\n"
SIGNED_BY = {"signature": "ci", "provenance": "ci", "scan": "sam", "evaluation": "eva", "verdict": "pia"}
TYPES = {"sam": KeyType.P384, "pia": KeyType.ED25519}
"""Whose key is not P-256, so that every type of key is checked by openssl."""


def who(kind: str) -> str:
    name = SIGNED_BY[kind]
    return f"{name} ({company.CUSTODIANS[name]})"


@dataclass
class Promoted:
    """A project folder as a promotion leaves it, and the result of that promotion."""

    path: Path
    result: Result[PromoteFacts]

    @property
    def tree(self) -> Path:
        return self.path / self.result.subjects[0].path

    def piece(self, kind: str) -> Path:
        [found] = (self.path / self.result.facts.evidence).glob(f"{kind}-*")
        return found

    def paste(self, *, shell: str = "sh", only: str | None = None) -> str:
        """What a shell prints when every block is pasted into it, one after the other."""
        blocks = manual_verification.blocks(self.result)
        titles = [block.title for block in blocks]
        last = len(titles) if only is None else titles.index(only) + 1
        code = STUBS + "\n".join(block.code for block in blocks[:last])
        environment = {
            "PATH": os.environ["PATH"],
            "TUNEGUARD_ROOT": "../root.pub",
            "TMPDIR": str(self.path.parent),
        }
        done = subprocess.run(
            [shell],
            input=code,
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout


@pytest.fixture
def promoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Promoted:
    return make(tmp_path, monkeypatch)


def make(room: Path, monkeypatch: pytest.MonkeyPatch, *, run: str = "runs/042", ok: bool = True) -> Promoted:
    """Write a checkpoint, its evidence, a signed policy and a registry, as a promotion would."""
    typed = {name: signer(type) for name, type in TYPES.items()}
    by_name = company.key
    monkeypatch.setattr(company, "key", lambda name: typed.get(name) or by_name(name))
    project = room / "project"
    for path, text in company.CHECKPOINT_FILES.items():
        (project / run / path).parent.mkdir(parents=True, exist_ok=True)
        (project / run / path).write_text(text)
    built = oci.build(company.CHECKPOINT)
    verdict = company.verdict(names=built.digest, result="PASSED" if ok else "FAILED")
    pieces = {piece.kind: piece for piece in (*company.evidence(), verdict)}
    (project / f"{run}.evidence").mkdir()
    for piece in pieces.values():
        (project / f"{run}.evidence" / piece.name).write_bytes(piece.data)
    blobs = project / "registry/blobs/sha256"
    blobs.mkdir(parents=True)
    (blobs / built.digest.removeprefix("sha256:")).write_bytes(built.data)
    policy = to_json_pretty(company.document())
    root = signer()
    (room / "root.pub").write_bytes(root.public_key.pem)
    (project / "policy.yaml").write_bytes(policy)
    (project / "policy.yaml.sigstore.json").write_bytes(sign_policy(policy, root))
    changes = {
        "tree": company.CHECKPOINT.digest,
        "manifest": built.digest,
        "files": len(company.CHECKPOINT.files),
        "evidence": f"{run}.evidence",
        "policy": {
            **results.facts()["policy"],
            "sha256": parse_policy(policy, "policy.yaml").sha256,
        },
        "keys": {who(kind): company.key(name).public_key.base64 for kind, name in SIGNED_BY.items()},
        "decided": {
            **results.facts()["decided"],
            "file": verdict.name,
            "by": who("verdict"),
            "result": "PASSED" if ok else "FAILED",
        },
        "recorded": results.facts()["recorded"] if ok else None,
    }
    evidence = tuple(
        EvidenceRef(kind, "some role", who(kind), None, piece.name)
        for kind, piece in pieces.items()
        if kind != "verdict"
    )
    result = Result(
        "promote",
        Verdict.PASSED if ok else Verdict.REFUSED,
        (Subject(run, company.CHECKPOINT.digest),),
        evidence=evidence,
        facts=results.told(**changes),
    )
    return Promoted(project, result)


def subject() -> str:
    return f'"subject":[{{"digest":{{"dirHash":"{company.CHECKPOINT.digest}"}}'


VERIFIED = ("Verified OK", "Signature Verified Successfully")  # openssl says the second for Ed25519


def verified(said: str) -> int:
    return sum(line in VERIFIED for line in said.splitlines())


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_every_command_confirms_an_untouched_promotion(promoted: Promoted, shell: str):
    said = promoted.paste(shell=shell)

    manifest = promoted.result.facts.manifest.removeprefix("sha256:")
    lines = said.splitlines()
    assert lines[:4] == [
        f"{company.CHECKPOINT.digest}  -",
        "files and folders only",
        "Verified OK",
        f"{promoted.result.facts.policy.sha256}  -",
    ]
    assert verified(said) == 6  # the policy and five pieces of evidence
    assert "every file as signed" in lines
    assert lines.count(subject()) == 4
    assert '"verificationResult":"PASSED"' in lines
    assert f'"digest":{{"sha256":"{manifest}"}}' in lines
    assert f"{manifest}  -" in lines
    for name in set(SIGNED_BY.values()):
        [line] = [line for line in lines if company.key(name).public_key.base64 in line]
        assert '"key": ' in line  # the policy's own line


def test_what_is_left_to_cosign_and_to_tuneguard_is_what_they_take(promoted: Promoted):
    lines = promoted.paste().splitlines()

    cosign = [line.removeprefix("cosign:") for line in lines if line.startswith("cosign:")]
    ours = [line.removeprefix("tuneguard:") for line in lines if line.startswith("tuneguard:")]
    assert cosign[0] == "verify-blob-attestation"
    assert cosign[-2:] == ["--digest", promoted.result.facts.manifest.removeprefix("sha256:")]
    assert cosign[cosign.index("--type") + 1] == "https://slsa.dev/verification_summary/v1"
    assert ours == [
        *("verify", "runs/042", "--for", "promote", "--model", "support-llama", "--run", "042"),
        *("ledger", "verify", "--head", f"18:{results.hex_of('root')}"),
    ]


def test_a_refused_verdict_is_confirmed_as_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    refused = make(tmp_path, monkeypatch, ok=False)

    said = refused.paste()

    assert '"verificationResult":"FAILED"' in said
    assert "PASSED" not in said
    assert verified(said) == 6
    assert "The registry" not in [block.title for block in manual_verification.blocks(refused.result)]


# --- What was touched is seen ----------------------------------------------------------------------


def test_attack_a_swapped_byte(promoted: Promoted):
    path = promoted.tree / "model-00001-of-00002.safetensors"
    path.write_text(path.read_text().swapcase())

    said = promoted.paste()

    assert f"{company.CHECKPOINT.digest}  -" not in said
    assert "model-00001-of-00002.safetensors: FAILED" in said
    assert "every file as signed" not in said


def test_attack_a_file_that_was_added(promoted: Promoted):
    (promoted.tree / "modeling.py").write_text("import os\n")

    said = promoted.paste()

    assert f"{company.CHECKPOINT.digest}  -" not in said
    assert "every file as signed" not in said


def test_attack_a_file_that_was_removed(promoted: Promoted):
    (promoted.tree / "config.json").unlink()

    said = promoted.paste()

    assert f"{company.CHECKPOINT.digest}  -" not in said
    assert "every file as signed" not in said


@pytest.mark.parametrize("what", ["link", "empty folder", "fifo"])
def test_attack_what_no_digest_speaks_of(promoted: Promoted, what: str):
    target = promoted.tree / "extra"
    {
        "link": lambda: target.symlink_to("/etc"),
        "empty folder": target.mkdir,
        "fifo": lambda: os.mkfifo(target),
    }[what]()

    assert "files and folders only" not in promoted.paste(only="The tree")


@pytest.mark.parametrize("kind", SIGNED_BY)
def test_attack_evidence_with_another_payload(promoted: Promoted, kind: str):
    path, other = promoted.piece(kind), promoted.piece("scan" if kind != "scan" else "evaluation")
    payload = other.read_text().split('"payload":"')[1].split('"')[0]
    own = path.read_text().split('"payload":"')[1].split('"')[0]
    path.write_text(path.read_text().replace(own, payload))

    assert verified(promoted.paste()) == 5


def test_attack_a_second_payload_in_the_same_file(promoted: Promoted):
    path = promoted.piece("verdict")
    path.write_text(path.read_text().replace('"payload":"', '"payload":"e30=","payload":"'))

    assert promoted.paste().count("PASSED") == 1  # what was read is what was signed
    path.write_text(path.read_text().replace("}", ',"payload":"e30="}', 1))
    assert verified(promoted.paste()) == 5


def test_attack_evidence_by_a_key_that_is_in_no_policy(promoted: Promoted):
    mallory = signer().public_key.base64
    keys = promoted.result.facts.keys | {who("scan"): mallory}
    facts = structs.replace(promoted.result.facts, keys=keys)
    promoted.result = dataclasses.replace(promoted.result, facts=facts)

    said = promoted.paste()

    assert mallory not in said  # the policy has no such line
    assert verified(said) == 5


def test_attack_a_policy_edited_after_it_was_signed(promoted: Promoted):
    path = promoted.path / "policy.yaml"
    path.write_bytes(path.read_bytes().replace(b'"minimumRows": 200', b'"minimumRows": 100'))

    said = promoted.paste(only="The policy")

    assert promoted.result.facts.policy.sha256 not in said


def test_attack_a_policy_signed_by_another_root(promoted: Promoted):
    (promoted.path.parent / "root.pub").write_bytes(signer().public_key.pem)

    said = promoted.paste(only="The policy")

    assert verified(said) == 0
    assert promoted.result.facts.policy.sha256 not in said


def test_attack_evidence_about_another_tree(promoted: Promoted):
    other = company.tree({"config.json": "another"})
    promoted.piece("scan").write_bytes(company.scan(other).data)

    said = promoted.paste()

    assert verified(said) == 6  # it is signed
    assert said.splitlines().count(subject()) == 3  # and says nothing about this tree


def test_attack_a_refused_verdict_in_place_of_the_passed_one(promoted: Promoted):
    promoted.piece("verdict").write_bytes(company.verdict(result="FAILED").data)

    assert "PASSED" not in promoted.paste()


def test_attack_another_manifest_under_the_right_name(promoted: Promoted):
    manifest = promoted.result.facts.manifest.removeprefix("sha256:")
    (promoted.path / "registry/blobs/sha256" / manifest).write_bytes(b"{}")

    assert f"{manifest}  -" not in promoted.paste()


# --- What is pasted is run -------------------------------------------------------------------------

INJECTIONS = (
    "a'; touch PWNED; '",
    "$(touch PWNED)",
    "`touch PWNED`",
    'a"; touch PWNED; "',
    "-rf",
    "-e1etouch PWNED;:#",
    "a b\\nc",
    "a\ntouch PWNED\n",
    "a; touch PWNED #",
    "@TREE@ @KEYS@",
)


@pytest.mark.parametrize("name", INJECTIONS)
def test_attack_commands_in_anything_that_comes_from_outside(promoted: Promoted, name: str):
    facts = promoted.result.facts
    attacked = dataclasses.replace(
        promoted.result,
        subjects=(Subject(name, company.CHECKPOINT.digest),),
        evidence=tuple(dataclasses.replace(piece, file=name) for piece in promoted.result.evidence),
        facts=structs.replace(
            facts,
            evidence=name,
            run=name,
            model=name,
            to=f"oci:{name}",
            keys={**facts.keys, f"{name} (x)": facts.keys[who("scan")]},
            decided=structs.replace(facts.decided, file=name),
            policy=structs.replace(facts.policy, file=name),
        ),
    )

    promoted.result = attacked
    promoted.paste()

    assert not list(promoted.path.parent.rglob("PWNED"))


@pytest.mark.parametrize("value", ["$(touch PWNED)", "a; touch PWNED #"])
@pytest.mark.parametrize("field", ["tree", "manifest", "sha256", "key", "root"])
def test_attack_commands_in_place_of_a_digest_or_a_key(promoted: Promoted, field: str, value: str):
    facts = promoted.result.facts
    assert facts.recorded is not None
    changed = {
        "sha256": {"policy": structs.replace(facts.policy, sha256=value)},
        "key": {"keys": dict.fromkeys(facts.keys, value)},
        "root": {"recorded": structs.replace(facts.recorded, root=value)},
    }.get(field, {field: value})
    subjects = (Subject("runs/042", value if field == "tree" else company.CHECKPOINT.digest),)

    promoted.result = dataclasses.replace(
        promoted.result, subjects=subjects, facts=structs.replace(facts, **changed)
    )
    promoted.paste()

    assert not list(promoted.path.parent.rglob("PWNED"))


@pytest.mark.parametrize("run", ["run's folder/042", "-r/042", "läufe/042 $x", "(x)&y/042"])
def test_a_folder_with_any_name_that_can_be_typed_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str
):
    said = make(tmp_path, monkeypatch, run=run).paste()

    assert f"{company.CHECKPOINT.digest}  -" in said
    assert "every file as signed" in said
    assert verified(said) == 6


def test_a_name_that_was_escaped_on_its_way_is_left_to_the_reader():
    result = dataclasses.replace(results.integrity(), subjects=(Subject("a\\x1b[31m", results.TREE),))

    [block] = manual_verification.blocks(result)

    assert block.code.startswith("tree=FOLDER\n")


@settings(max_examples=30)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=50))
@example(["-rf", "-", "--expression=1e"])
def test_any_text_is_one_word_or_none(texts: list[str]):
    words = [manual_verification.word(text, "INSTEAD") for text in texts]

    assert [len(shlex.split(word)) for word in words] == [1] * len(words)
    done = subprocess.run(["sh", "-c", "printf '%s\\n' " + " ".join(words)], capture_output=True, check=True)
    taken = done.stdout.decode().split("\n")[:-1]
    assert all(got in (text, f"./{text}", "INSTEAD") for got, text in zip(taken, texts, strict=True))
    assert not any(got.startswith("-") for got in taken)


# --- When there is nothing to check ----------------------------------------------------------------


def test_a_tree_alone_can_always_be_checked():
    assert [block.title for block in manual_verification.blocks(results.integrity())] == ["The tree"]


@pytest.mark.parametrize("command", ["keygen", "policy explain", "trace", "explain"])
def test_what_is_no_tree_is_not_checked_as_one(command: str):
    assert (
        manual_verification.blocks(
            Result(command, Verdict.PASSED, (Subject("x", "ab" * 32),), facts=NoFacts())
        )
        == ()
    )


def test_a_result_without_a_digest_has_no_commands():
    assert manual_verification.blocks(results.unreadable()) == ()
    assert manual_verification.blocks(Result("scan", Verdict.PASSED, facts=NoFacts())) == ()

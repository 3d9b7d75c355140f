"""Model manifests: a pure function of the tree, and nothing hostile is read as one."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.artifact.tree import fold
from tuneguard.errors import NotUnderstood, Refused
from tuneguard.oci import manifest as oci
from tuneguard.oci.descriptor import EMPTY_BLOB, Descriptor, digest_of
from tuneguard.records import to_json


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tree(files):
    return Manifest(
        tuple(
            File(path, len(data), sha256(data))
            for path, data in sorted(files.items(), key=lambda item: item[0].encode())
        )
    )


TREE = tree(
    {
        "README.md": b"# model",
        "config.json": b"{}",
        "model.safetensors": b"weights",
        "same.bin": b"weights",
        "empty": b"",
        "code/train.py": b"pass",
        "data/rows.jsonl": b"{}",
        "модель/токены.txt": b"a",
    }
)
MODEL = oci.build(TREE)

paths = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/\\"),
    min_size=1,
    max_size=6,
).filter(lambda name: name not in (".", ".."))


def changed(change):
    """The model's manifest after a change, as bytes."""
    document = json.loads(MODEL.data)
    change(document)
    return to_json(document)


def layer(document, path):
    return next(each for each in document["layers"] if each["annotations"][oci.FILEPATH] == path)


def rename(document, path, name):
    layer(document, path)["annotations"].update({oci.FILEPATH: name, oci.TITLE: name})


# --- build -----------------------------------------------------------------------------------------


def test_a_small_tree_has_exactly_this_manifest():
    model = oci.build(Manifest((File("model.safetensors", 7, "ab" * 32),)))

    assert json.loads(model.data) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.cncf.model.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.cncf.model.config.v1+json",
            "digest": digest_of(model.config),
            "size": len(model.config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.cncf.model.weight.v1.raw",
                "digest": "sha256:" + "ab" * 32,
                "size": 7,
                "annotations": {
                    "org.cncf.model.filepath": "model.safetensors",
                    "org.opencontainers.image.title": "model.safetensors",
                },
            }
        ],
    }
    assert json.loads(model.config) == {
        "descriptor": {},
        "config": {},
        "modelfs": {"type": "layers", "diffIds": ["sha256:" + "ab" * 32]},
    }
    assert model.digest == "sha256:1e1c6a7a424fd5a1b53987321230e1d11edb75444d918a0a6e12d42d17833c0f"


def test_the_manifest_is_a_pure_function_of_the_tree_on_any_machine():
    program = (
        "from tuneguard.artifact.manifest import File, Manifest; from tuneguard.oci.manifest import build;"
        "print(build(Manifest((File('a.bin', 1, 'ab' * 32), File('b.bin', 2, 'cd' * 32)))).digest)"
    )
    environments = [
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": "/nowhere"},
        {"PYTHONHASHSEED": "2", "TZ": "UTC", "LANG": "de_DE.UTF-8", "USER": "somebody"},
    ]
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": ":".join(sys.path), **environment},
            capture_output=True,
            check=True,
        ).stdout
        for environment in environments
    }

    assert said == {
        oci.build(Manifest((File("a.bin", 1, "ab" * 32), File("b.bin", 2, "cd" * 32)))).digest.encode()
        + b"\n"
    }


@given(st.dictionaries(paths, st.binary(max_size=4), min_size=1, max_size=5))
def test_the_tree_comes_back_from_the_manifest(files):
    assume(len({fold(name) for name in files}) == len(files))
    expected = tree(files)
    model = oci.build(expected)
    found = oci.read(model.data, "registry")

    assert found.tree == expected
    assert found.tree.digest == expected.digest
    assert found.is_derived
    assert (found.digest, found.config) == (model.digest, model.config)


def test_empty_files_and_files_of_the_same_bytes_are_layers_of_their_own():
    by_path = {each.path: each for each in MODEL.layers}

    assert by_path["empty"].size == 0
    assert by_path["same.bin"].digest == by_path["model.safetensors"].digest
    assert oci.read(MODEL.data, "registry").tree.digest == TREE.digest


def test_every_kind_of_file_has_its_media_type():
    kinds = {each.path: each.media_type.removeprefix("application/vnd.cncf.model.") for each in MODEL.layers}

    assert kinds == {
        "README.md": "doc.v1.raw",
        "config.json": "weight.config.v1.raw",
        "model.safetensors": "weight.v1.raw",
        "same.bin": "weight.v1.raw",
        "empty": "weight.v1.raw",
        "code/train.py": "code.v1.raw",
        "data/rows.jsonl": "dataset.v1.raw",
        "модель/токены.txt": "weight.config.v1.raw",
    }


def test_an_empty_tree_is_no_model():
    with pytest.raises(Refused, match="empty tree"):
        oci.build(Manifest(()))


def test_a_tree_with_too_many_files_for_a_manifest_refuses_with_their_number():
    many = Manifest(tuple(File(f"{number:06}.bin", 1, "ab" * 32) for number in range(20_000)))

    with pytest.raises(Refused, match=r"20,000 files need an OCI manifest of [5-9],\d{3},\d{3} bytes"):
        oci.build(many)


# --- read ------------------------------------------------------------------------------------------


def test_what_another_tool_wrote_is_read_and_is_not_derived():
    spaced = json.dumps(json.loads(MODEL.data), indent=1).encode()
    found = oci.read(spaced, "registry")

    assert found.tree == MODEL.tree
    assert not found.is_derived


def test_another_tools_config_is_not_made_up():
    found = oci.read(
        changed(lambda document: document["config"].update(digest="sha256:" + "cd" * 32)), "registry"
    )

    assert found.config is None
    assert found.config_descriptor.digest == "sha256:" + "cd" * 32


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "is absolute"),
        ("../model.safetensors", r"is empty, \. or \.\."),
        ("a/../../b", r"is empty, \. or \.\."),
        ("./a", r"is empty, \. or \.\."),
        ("a//b", r"is empty, \. or \.\."),
        ("a/", r"is empty, \. or \.\."),
        ("", r"is empty, \. or \.\."),
        ("a\\b", "backslash"),
        ("a\nb", "control"),
        ("a\0b", "control"),
        ("a\u202eb", "reorders"),
        ("x/" * 300 + "y", "deeper"),
        ("x" * 5_000, "longer"),
        ("x" * 256, "a part longer than 255 bytes"),
        ("a" + "\u0301\u0316" * 900, "a part longer than 255 bytes"),
        ("same.bin", "two layers are named"),
        ("SAME.bin", "case or Unicode form"),
        ("Code/more.py", "case or Unicode form"),
        ("same.bin/more", "also a folder"),
        ("code", "also a folder"),
    ],
)
def test_attack_name_a_layer_so_that_it_lands_elsewhere(name, why):
    with pytest.raises(Refused, match=why):
        oci.read(changed(lambda document: rename(document, "model.safetensors", name)), "registry")


def test_attack_give_a_layer_two_names():
    def two_names(document):
        layer(document, "config.json")["annotations"][oci.TITLE] = "other.json"

    with pytest.raises(Refused, match=r"has two names, config\.json and other\.json"):
        oci.read(changed(two_names), "registry")


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(schemaVersion=1),
        lambda document: document.update(mediaType="application/vnd.oci.image.index.v1+json"),
        lambda document: document.pop("mediaType"),
        lambda document: document.pop("artifactType"),
        lambda document: document.update(artifactType="application/vnd.dev.sigstore.bundle.v0.3+json"),
        lambda document: document.pop("config"),
        lambda document: document["config"].update(mediaType="application/vnd.oci.image.config.v1+json"),
        lambda document: document.pop("layers"),
        lambda document: document.update(layers=[]),
        lambda document: document.update(layers={}),
        lambda document: document.update(layers=[[]]),
        lambda document: document["layers"][0].update(digest="sha512:" + "ab" * 64),
        lambda document: document["layers"][0].update(digest="sha256:" + "AB" * 32),
        lambda document: document["layers"][0].update(digest="sha256:../../x"),
        lambda document: document["layers"][0].update(size=-1),
        lambda document: document["layers"][0].update(size=1.0),
        lambda document: document["layers"][0].update(size=True),
        lambda document: document["layers"][0].update(size=2**60),
        lambda document: document["layers"][0].update(size="7"),
        lambda document: document["layers"][0].update(mediaType="application/vnd.cncf.model.weight.v1.tar"),
        lambda document: document["layers"][0].update(mediaType="no media type"),
        lambda document: document["layers"][0].update(annotations={}),
        lambda document: document["layers"][0].update(annotations=[]),
        lambda document: document["layers"][0]["annotations"].update({oci.TITLE: 7}),
    ],
)
def test_a_manifest_of_another_form_is_not_understood(change):
    with pytest.raises(NotUnderstood):
        oci.read(changed(change), "registry")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"\x80",
        b"[" * 100_000,
        MODEL.data[:-1],
        MODEL.data.replace(b'"layers":', b'"layers":[],"layers":', 1),
        MODEL.data.replace(b'"size":7', b'"size":NaN', 1),
        b" " * (4 * 1024 * 1024 + 1),
    ],
)
def test_bytes_that_are_no_strict_json_are_not_understood(data):
    with pytest.raises(NotUnderstood):
        oci.read(data, "registry")


# --- referrers -------------------------------------------------------------------------------------


BUNDLE = b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}'


def test_evidence_is_laid_out_as_cosigns_bundle_specification_says():
    attached = oci.referrer(MODEL.descriptor, BUNDLE)

    assert json.loads(attached.data) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "size": 2,
        },
        "layers": [
            {
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "digest": digest_of(BUNDLE),
                "size": len(BUNDLE),
            }
        ],
        "subject": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": MODEL.digest,
            "size": len(MODEL.data),
        },
    }
    assert attached.blobs == {digest_of(EMPTY_BLOB): b"{}", digest_of(BUNDLE): BUNDLE}
    assert (attached.digest, attached.subject) == (digest_of(attached.data), MODEL.digest)


def test_evidence_may_say_its_file_name_and_its_predicate_and_is_read_the_same():
    attached = oci.referrer(
        MODEL.descriptor,
        BUNDLE,
        name="verdict-0123.sigstore.json",
        predicate="https://slsa.dev/verification_summary/v1",
    )
    document = json.loads(attached.data)

    assert document["layers"][0]["annotations"] == {
        "org.opencontainers.image.title": "verdict-0123.sigstore.json"
    }
    assert document["annotations"] == {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "https://slsa.dev/verification_summary/v1",
    }
    subject, bundle = oci.read_referrer(attached.data, "registry")
    assert (subject.digest, bundle.digest) == (MODEL.digest, digest_of(BUNDLE))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("subject"),
        lambda document: document.update(subject={}),
        lambda document: document.update(subject="sha256:" + "ab" * 32),
        lambda document: document.update(layers=[]),
        lambda document: document["layers"].append(document["layers"][0]),
        lambda document: document["layers"][0].update(mediaType="text/plain"),
    ],
)
def test_a_referrer_that_attaches_no_one_bundle_is_not_understood(change):
    document = json.loads(oci.referrer(MODEL.descriptor, BUNDLE).data)
    change(document)

    with pytest.raises(NotUnderstood):
        oci.read_referrer(to_json(document), "registry")


def test_the_artifact_type_of_a_manifest_without_one_is_its_configs():
    document = {"schemaVersion": 2, "config": {"mediaType": "text/plain"}, "layers": []}

    assert oci.subject_of(to_json(document), "registry") == (None, "text/plain", {})


def test_a_descriptor_is_written_as_it_was_read():
    plain = {
        "mediaType": "text/plain",
        "digest": "sha256:" + "ab" * 32,
        "size": 0,
        "artifactType": "a/b",
        "annotations": {"k": "v"},
    }

    assert Descriptor.from_plain({**plain, "platform": {"os": "linux"}}, "registry").to_plain() == plain

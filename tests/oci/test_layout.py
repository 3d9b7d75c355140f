"""An image layout as a registry: whole or absent, whoever writes and whenever they are killed."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError
from tuneguard.files import FAULT_AT
from tuneguard.oci import client, folder
from tuneguard.oci import manifest as oci
from tuneguard.oci.descriptor import EMPTY_BLOB, INDEX_TYPE, MANIFEST_TYPE, digest_of
from tuneguard.oci.layout import Layout
from tuneguard.oci.open import open_registry
from tuneguard.oci.reference import parse
from world.layouts import EVIDENCE, FILES, MODEL, TREE, content, push

PUSH = """
import sys
from pathlib import Path
from world.layouts import push
push(Path(sys.argv[1]), *sys.argv[2:])
"""


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    return push(tmp_path_factory.mktemp("pushed") / "registry").path


@pytest.fixture
def layout(tmp_path, pushed):
    """A layout that holds the model with its evidence, tagged v1."""
    shutil.copytree(pushed, tmp_path / "registry")
    return Layout(tmp_path / "registry")


def blob(layout, digest):
    return layout.path / "blobs" / "sha256" / digest.removeprefix("sha256:")


def fetched(layout, digest, size):
    return b"".join(layout.read_blob(digest, size))


def rewrite_index(layout, change):
    path = layout.path / "index.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


# --- What is pushed is there -----------------------------------------------------------------------


def test_what_was_pushed_is_pulled_byte_for_byte(layout):
    assert layout.resolve("v1") == MODEL.digest
    found = oci.read(layout.read_manifest("v1"), layout.name)

    assert found.tree == TREE
    for layer in found.layers:
        assert fetched(layout, layer.digest, layer.size) == FILES[layer.path]
    assert list(client.bundles(layout, MODEL.digest, files=10, limit=1000)) == EVIDENCE


def test_the_folder_is_an_image_layout_as_the_specification_has_it(layout):
    files = content(layout.path)
    index = json.loads(files["index.json"])

    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert (index["schemaVersion"], index["mediaType"]) == (2, INDEX_TYPE)
    assert index["manifests"][-1] == {
        "mediaType": MANIFEST_TYPE,
        "artifactType": oci.MODEL_TYPE,
        "digest": MODEL.digest,
        "size": len(MODEL.data),
        "annotations": {"org.opencontainers.image.ref.name": "v1"},
    }
    blobs = {
        name.removeprefix("blobs/sha256/"): data for name, data in files.items() if name.startswith("blobs/")
    }
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in blobs.items())
    assert files.keys() == {"index.json", "oci-layout", *(f"blobs/sha256/{name}" for name in blobs)}
    assert hashlib.sha256(EMPTY_BLOB).hexdigest() in blobs


def test_a_second_push_of_the_same_bytes_reads_none_of_them(layout):
    before = content(layout.path)

    def must_not():
        raise AssertionError("opened the source of a blob that is there")

    for layer in MODEL.layers:
        assert layout.put_blob(layer.digest, layer.size, must_not) is False
    push(layout.path)

    assert content(layout.path) == before


def test_two_pushes_of_the_same_tree_give_the_same_folder(layout, tmp_path):
    assert content(push(tmp_path / "other").path) == content(layout.path)


def test_a_tag_can_be_moved_and_says_what_it_named_before(layout):
    other = oci.build(Manifest((File("a", 0, "ab" * 32),)))
    assert layout.tag("v2", MODEL.digest) is None
    layout.put_manifest(other.data)

    assert layout.tag("v2", other.digest) == MODEL.digest
    assert (layout.resolve("v1"), layout.resolve("v2")) == (MODEL.digest, other.digest)
    assert layout.tag("v1", other.digest) == MODEL.digest
    assert layout.read_manifest(MODEL.digest) == MODEL.data
    listed = [entry["digest"] for entry in json.loads((layout.path / "index.json").read_bytes())["manifests"]]
    assert MODEL.digest in listed  # without a tag, but not lost to tools that collect garbage


def test_a_tag_needs_a_manifest_that_is_there(layout):
    with pytest.raises(UsageError, match="has no manifest"):
        layout.tag("v2", "sha256:" + "ab" * 32)
    with pytest.raises(Refused, match="lists no manifest"):
        layout.tag("v2", MODEL.layers[0].digest)
    with pytest.raises(UsageError, match="cannot be a tag"):
        layout.tag("../v2", MODEL.digest)
    assert layout.resolve("v2") is None


def test_a_tag_that_is_not_there_is_told_with_those_that_are(layout):
    with pytest.raises(UsageError, match="has no tag v9") as caught:
        layout.read_manifest("v9")
    assert caught.value.help == "tags that it has: v1"


def test_what_other_tools_keep_in_a_layout_stays(layout):
    (layout.path / "ingest").mkdir()
    (layout.path / "manifest.json").write_text("[]")

    def foreign(document):
        document["annotations"] = {"com.example": "1"}
        document["manifests"].append(
            {
                "mediaType": "application/xml",
                "digest": "sha256:" + "cd" * 32,
                "size": 5,
                "platform": {"os": "linux"},
            }
        )

    rewrite_index(layout, foreign)
    layout.tag("v2", MODEL.digest)

    document = json.loads((layout.path / "index.json").read_bytes())
    assert document["annotations"] == {"com.example": "1"}
    assert {
        "mediaType": "application/xml",
        "digest": "sha256:" + "cd" * 32,
        "size": 5,
        "platform": {"os": "linux"},
    } in document["manifests"]
    assert (layout.path / "manifest.json").exists()


def test_referrers_are_found_by_their_own_subject(layout):
    found = layout.referrers(MODEL.digest, oci.BUNDLE_TYPE)

    assert [each.artifact_type for each in found] == [oci.BUNDLE_TYPE] * 2
    assert layout.referrers(MODEL.digest, "text/plain") == ()
    assert layout.referrers("sha256:" + "ab" * 32) == ()


def test_evidence_over_a_bound_is_not_cut_short_in_silence(layout):
    with pytest.raises(CannotLook, match="2 bundles"):
        list(client.bundles(layout, MODEL.digest, files=1, limit=1000))
    with pytest.raises(CannotLook, match="over 15 bytes"):
        list(client.bundles(layout, MODEL.digest, files=10, limit=15))


def test_looking_for_evidence_in_a_layout_without_end_is_given_up(layout, monkeypatch):
    monkeypatch.setattr("tuneguard.limits.OCI_SEARCH_BYTES", 1_000)

    with pytest.raises(CannotLook, match="over 1,000 bytes"):
        layout.referrers(MODEL.digest)


def test_a_reference_opens_a_layout_or_a_server(tmp_path):
    assert open_registry(parse(f"oci:{tmp_path}:v1")).name == f"oci:{tmp_path}"
    assert open_registry(parse("host.example/a:v1")).name == "host.example/a"


def test_reading_makes_nothing(tmp_path):
    layout = Layout(tmp_path / "registry")

    assert layout.has_blob(MODEL.digest) is False
    for read in (
        lambda: layout.resolve("v1"),
        lambda: layout.read_manifest("v1"),
        lambda: layout.referrers(MODEL.digest),
    ):
        with pytest.raises(UsageError):
            read()
    assert os.listdir(tmp_path) == []


def test_a_folder_with_other_things_in_it_does_not_become_a_layout(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")

    with pytest.raises(UsageError, match="other things in it"):
        push(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_an_empty_folder_may_become_a_layout_and_a_missing_parent_not(tmp_path):
    (tmp_path / "empty").mkdir()
    assert push(tmp_path / "empty").resolve("v1") == MODEL.digest

    with pytest.raises(UsageError, match="no folder to put the layout in"):
        push(tmp_path / "no" / "such")


def test_a_blob_is_pushed_only_under_its_own_digest(layout):
    wrong = "sha256:" + hashlib.sha256(b"right").hexdigest()

    for source in (b"wrong", b"right and more", b"righ", b""):
        with pytest.raises(Refused, match="has changed since it was hashed"):
            layout.put_blob(wrong, 5, lambda source=source: io.BytesIO(source))
        assert not blob(layout, wrong).exists()
    assert sorted(os.listdir(layout.path)) == ["blobs", "index.json", "oci-layout"]


def test_a_source_that_cannot_be_read_is_our_error(layout, tmp_path):
    with pytest.raises(CannotLook, match="the source of sha256:abababababab"):
        layout.put_blob("sha256:" + "ab" * 32, 5, lambda: (tmp_path / "gone").open("rb"))
    assert sorted(os.listdir(layout.path)) == ["blobs", "index.json", "oci-layout"]


def test_a_full_disk_is_told_and_loses_nothing(layout):
    before = content(layout.path)
    child = os.fork()
    if child == 0:
        said = b"nothing"
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            data = b"x" * 200_000
            layout.put_blob(digest_of(data), len(data), lambda: io.BytesIO(data))
        except CannotLook as error:
            said = str(error).encode()
        finally:
            os._exit(17 if b"file too large" in said else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
    assert content(layout.path) == before


def test_an_endless_source_is_cut_off_at_its_size(layout):
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size=-1):
            self.given += size
            assert self.given < 10_000_000
            return b"x" * size

    with pytest.raises(Refused, match="has changed"):
        layout.put_blob("sha256:" + "ab" * 32, 5, Endless)


def test_a_name_that_is_no_digest_never_becomes_a_path(layout):
    for name in ("sha256:../../../etc/passwd", "sha256:" + "A" * 64, "sha512:" + "ab" * 64, "", "v1"):
        with pytest.raises(UsageError, match="is not a digest"):
            layout.has_blob(name)


# --- Several at once, and kills --------------------------------------------------------------------


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", PUSH, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stderr=subprocess.PIPE,
    )


def ended(process):
    _, said = process.communicate()
    return process.returncode, said.decode()


def test_processes_that_push_at_once_lose_nothing(tmp_path):
    tags = [f"tag-{number}" for number in range(4)]
    pushing = [start(tmp_path / "registry", tag) for tag in tags]
    assert [ended(process) for process in pushing] == [(0, "")] * 4

    layout = Layout(tmp_path / "registry")
    assert [layout.resolve(tag) for tag in tags] == [MODEL.digest] * 4
    assert len(layout.referrers(MODEL.digest)) == 2
    assert sorted(os.listdir(layout.path)) == ["blobs", "index.json", "oci-layout"]


def test_threads_that_tag_at_once_lose_nothing(layout):
    models = [oci.build(Manifest((File(f"{number}.bin", 1, "ab" * 32),))) for number in range(12)]

    def work(number):
        layout.put_manifest(models[number].data)
        layout.tag(f"tag-{number}", models[number].digest)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [layout.resolve(f"tag-{number}") for number in range(12)] == [model.digest for model in models]
    assert layout.resolve("v1") == MODEL.digest


@pytest.fixture
def memory_path(tmp_path):
    """A folder in memory, where there is one: thousands of flushes take no time there."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def killed(path, fault):
    """Push in a process of its own that a fault ends; how it ended. A fork: nothing to import again."""
    child = os.fork()
    if child == 0:
        os.environ[FAULT_AT] = fault
        try:
            push(path)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_killed_at_any_step_a_push_run_again_gives_what_an_unbroken_one_gives(memory_path):
    assert killed(memory_path / "whole", f"0:{memory_path}/count") == 0
    whole = content(memory_path / "whole")
    steps = (memory_path / "count").read_text().splitlines()
    assert len(steps) > 30
    tagged = max(number for number, step in enumerate(steps, 1) if step == "rename:index.json")

    for step in range(1, len(steps) + 1):
        path = memory_path / str(step)
        assert killed(path, f"{step}:{memory_path}/count{step}") == -9
        names = content(path)
        for name, data in names.items():
            if name.startswith("blobs/"):
                assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2], steps[step - 1]
        if "index.json" in names:
            assert (Layout(path).resolve("v1") is not None) == (step > tagged), steps[step - 1]

        push(path)

        assert content(path) == whole, steps[step - 1]
        shutil.rmtree(path)


def test_a_file_that_a_writer_holds_is_not_swept_away(layout):
    with folder.incoming(layout.path) as (descriptor, name):
        push(layout.path, "v2")
        assert (layout.path / name).exists()
        os.write(descriptor, b"still mine")
    assert not (layout.path / name).exists()


def test_a_file_that_a_killed_writer_left_is_swept_away_by_the_next(layout):
    (layout.path / ".incoming-0123456789abcdef").write_bytes(b"half")
    (layout.path / ".oci-layout.0123456789ab.tmp").write_bytes(b"{")

    layout.put_manifest(MODEL.data)
    layout.tag("v2", MODEL.digest)

    assert sorted(os.listdir(layout.path)) == ["blobs", "index.json", "oci-layout"]


def test_a_writer_waits_for_the_one_that_holds_the_lock(layout):
    done = threading.Event()

    def work():
        layout.tag("v2", MODEL.digest)
        done.set()

    with (layout.path / "oci-layout").open("r+b") as header:
        fcntl.flock(header, fcntl.LOCK_EX)
        thread = threading.Thread(target=work)
        thread.start()
        assert not done.wait(0.2)
        assert layout.resolve("v2") is None
    thread.join()
    assert layout.resolve("v2") == MODEL.digest


# --- Hostile layouts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"x" * path.stat().st_size),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(b""),
        lambda path: os.truncate(path, 2**40),
        lambda path: (path.rename(path.with_name("x")), path.symlink_to("x")),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    ],
    ids=["changed", "longer", "emptied", "huge", "link", "fifo", "folder", "device"],
)
def test_attack_change_a_blob_under_its_name(layout, damage):
    layer = MODEL.layers[2]
    damage(blob(layout, layer.digest))

    with pytest.raises(Refused):
        fetched(layout, layer.digest, layer.size)
    assert layout.has_blob(layer.digest, layer.size) is False


def test_attack_plant_a_wrong_blob_before_the_push(tmp_path):
    layout = Layout(tmp_path / "registry")
    layout.put_manifest(MODEL.data)
    layer = MODEL.layers[2]
    blob(layout, layer.digest).write_bytes(b"planted" + FILES[layer.path][7:])
    assert layout.has_blob(layer.digest) is False

    push(layout.path)

    assert fetched(layout, layer.digest, layer.size) == FILES[layer.path]


def test_a_folder_under_a_blobs_name_is_told_and_left(layout):
    layer = MODEL.layers[2]
    blob(layout, layer.digest).unlink()
    blob(layout, layer.digest).mkdir()

    with pytest.raises(CannotLook, match="is a directory"):
        push(layout.path)
    assert sorted(os.listdir(layout.path)) == ["blobs", "index.json", "oci-layout"]


def test_attack_plant_a_link_where_a_blob_will_be_written(tmp_path):
    layout = Layout(tmp_path / "registry")
    layout.put_manifest(MODEL.data)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    blob(layout, MODEL.layers[2].digest).symlink_to(victim)

    push(layout.path)

    assert victim.read_bytes() == b"mine"
    assert not blob(layout, MODEL.layers[2].digest).is_symlink()


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256"])
def test_attack_make_the_blobs_folder_a_link(layout, tmp_path, name):
    (layout.path / name).rename(tmp_path / "elsewhere")
    (layout.path / name).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(Refused, match="link"):
        layout.read_manifest(MODEL.digest)
    with pytest.raises(Refused, match="link"):
        push(layout.path)


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
def test_attack_make_a_file_of_the_layout_a_link(layout, tmp_path, name):
    (layout.path / name).rename(tmp_path / name)
    (layout.path / name).symlink_to(tmp_path / name)

    with pytest.raises((Refused, CannotLook)):
        layout.resolve("v1")
    with pytest.raises((Refused, CannotLook)):
        push(layout.path, "v2")


def test_attack_make_the_layout_itself_a_link(layout, tmp_path):
    (tmp_path / "link").symlink_to(layout.path)

    with pytest.raises(Refused, match="symbolic link"):
        Layout(tmp_path / "link").resolve("v1")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"schemaVersion":2,"schemaVersion":2,"manifests":[]}',
        b'{"schemaVersion":2,"manifests":{}}',
        b'{"schemaVersion":2,"manifests":[1]}',
        b'{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"sha256:x","size":1}]}',
        b'{"schemaVersion":2,"mediaType":"a/b","manifests":[]}',
    ],
)
def test_an_index_of_another_form_is_not_understood(layout, data):
    (layout.path / "index.json").write_bytes(data)

    for work in (
        lambda: layout.resolve("v1"),
        lambda: layout.referrers(MODEL.digest),
        lambda: push(layout.path),
    ):
        with pytest.raises(NotUnderstood):
            work()
    assert (layout.path / "index.json").read_bytes() == data


def test_an_index_that_is_too_large_is_not_read(layout):
    os.truncate(layout.path / "index.json", 100 * 1024 * 1024)

    with pytest.raises(CannotLook, match="larger than"):
        layout.resolve("v1")


@pytest.mark.parametrize("data", [b"", b"{}", b'{"imageLayoutVersion":"2.0.0"}', b"x" * 100_000])
def test_a_layout_of_another_version_is_not_understood(layout, data):
    (layout.path / "oci-layout").write_bytes(data)

    with pytest.raises(CannotLook):
        layout.resolve("v1")


def test_attack_give_a_tag_twice_so_that_tools_differ(layout):
    def twice(document):
        other = {"mediaType": MANIFEST_TYPE, "digest": "sha256:" + "ab" * 32, "size": 1}
        document["manifests"].append({**other, "annotations": {"org.opencontainers.image.ref.name": "v1"}})

    rewrite_index(layout, twice)

    with pytest.raises(Refused, match="the tag v1 is given twice"):
        layout.resolve("v1")
    with pytest.raises(Refused, match="the tag v1 is given twice"):
        push(layout.path, "v2")


def test_attack_list_a_model_as_evidence_of_another(layout):
    stranger = oci.build(Manifest((File("a", 0, "ab" * 32),)))
    layout.put_manifest(stranger.data)
    rewrite_index(
        layout,
        lambda document: [entry.update(artifactType=oci.BUNDLE_TYPE) for entry in document["manifests"]],
    )

    assert len(layout.referrers(MODEL.digest, oci.BUNDLE_TYPE)) == 2


NULLS = {"artifactType": None, "annotations": None, "urls": None, "platform": None, "data": None}


@pytest.mark.parametrize(
    "said",
    [{"artifactType": "text/plain"}, {"artifactType": ""}, {"mediaType": "application/json"}, NULLS],
    ids=["another type", "no type", "no manifest", "nulls"],
)
def test_attack_say_that_evidence_is_something_else(layout, said):
    before = layout.referrers(MODEL.digest, oci.BUNDLE_TYPE)
    rewrite_index(layout, lambda document: [entry.update(said) for entry in document["manifests"]])

    assert before
    assert [each.digest for each in layout.referrers(MODEL.digest, oci.BUNDLE_TYPE)] == [
        each.digest for each in before
    ]


def test_what_is_listed_as_something_else_and_is_no_manifest_is_passed_over(layout):
    large, junk, gone = "sha256:" + "ab" * 32, digest_of(b"PK"), digest_of(b"gone")
    blob(layout, large).touch()
    os.truncate(blob(layout, large), 100 * 1024 * 1024)
    blob(layout, junk).write_bytes(b"PK")
    before = layout.referrers(MODEL.digest, oci.BUNDLE_TYPE)

    def more(document):
        for digest in (large, junk, gone):
            document["manifests"].append({"mediaType": "application/zip", "digest": digest, "size": 2})

    rewrite_index(layout, more)

    assert layout.referrers(MODEL.digest, oci.BUNDLE_TYPE) == before


@pytest.mark.parametrize("depth", [1, 2, 30])
def test_referrers_in_an_index_within_the_index_are_found(layout, depth):
    before = layout.referrers(MODEL.digest, oci.BUNDLE_TYPE)

    def nest(document):
        for _ in range(depth):
            data = json.dumps({**document, "mediaType": INDEX_TYPE}).encode()
            blob(layout, digest_of(data)).write_bytes(data)
            document["manifests"] = [{"mediaType": INDEX_TYPE, "digest": digest_of(data), "size": len(data)}]

    rewrite_index(layout, nest)

    assert set(layout.referrers(MODEL.digest, oci.BUNDLE_TYPE)) == set(before)
    assert layout.read_manifest(MODEL.digest) == MODEL.data


def test_an_index_within_the_index_that_lists_what_is_not_there_is_no_error(layout):
    before = layout.referrers(MODEL.digest, oci.BUNDLE_TYPE)
    absent = {"mediaType": MANIFEST_TYPE, "digest": digest_of(b"arm64"), "size": 5}
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [absent]}).encode()
    blob(layout, digest_of(data)).write_bytes(data)
    entry = {"mediaType": INDEX_TYPE, "digest": digest_of(data), "size": len(data)}
    rewrite_index(layout, lambda document: document["manifests"].append(entry))

    assert layout.referrers(MODEL.digest, oci.BUNDLE_TYPE) == before


def test_a_layout_with_nulls_is_written_to(layout):
    rewrite_index(
        layout,
        lambda document: document["manifests"].append(document["manifests"][0] | {"annotations": None}),
    )

    layout.tag("v2", MODEL.digest)

    assert (layout.resolve("v1"), layout.resolve("v2")) == (MODEL.digest, MODEL.digest)


def test_evidence_whose_manifest_is_gone_or_changed_is_an_error_and_not_an_absence(layout):
    attached = oci.referrer(MODEL.descriptor, EVIDENCE[0])
    path = blob(layout, attached.digest)
    path.write_bytes(attached.data.replace(b'"schemaVersion":2', b'"schemaVersion":3'))
    with pytest.raises(Refused, match="hashes to"):
        layout.referrers(MODEL.digest)

    path.unlink()
    with pytest.raises(UsageError, match="has no manifest"):
        layout.referrers(MODEL.digest)


def test_a_manifest_of_any_size_is_not_read_into_memory(layout):
    digest = "sha256:" + "ab" * 32
    blob(layout, digest).write_bytes(b"")
    os.truncate(blob(layout, digest), 2**40)

    with pytest.raises(Refused, match="too many for a manifest"):
        layout.read_manifest(digest)


def test_a_manifest_over_the_registries_limit_is_not_pushed(layout):
    with pytest.raises(Refused, match="too large for registries"):
        layout.put_manifest(b'{"x":"' + b"x" * 5_000_000 + b'"}')


def test_the_last_bytes_of_a_wrong_blob_are_never_given(layout):
    layer = MODEL.layers[2]
    data = FILES[layer.path][:-1] + b"X"
    blob(layout, layer.digest).write_bytes(data)
    kept = []
    chunks = layout.read_blob(layer.digest, layer.size)
    with pytest.raises(Refused):
        kept.extend(chunks)
    assert 0 < len(b"".join(kept)) < len(data)


def test_a_blob_that_is_missing_could_not_be_looked_at(layout):
    blob(layout, MODEL.layers[2].digest).unlink()

    with pytest.raises(CannotLook, match="lacks a blob"):
        fetched(layout, MODEL.layers[2].digest, 1)
    assert digest_of(b"") == MODEL.layers[1].digest

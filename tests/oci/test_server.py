"""An honest registry on a server: what is pushed is what is pulled, and nothing is sent twice."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import threading
from types import SimpleNamespace

import pytest

from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError
from tuneguard.oci import client
from tuneguard.oci import manifest as oci
from tuneguard.oci.auth import find
from tuneguard.oci.descriptor import MANIFEST_TYPE, digest_of
from tuneguard.oci.http import BLOCK, Timing, Transport
from tuneguard.oci.server import Server
from world.layouts import EVIDENCE, FILES, MODEL
from world.registries import INDEX, asked_range, serving

pytestmark = pytest.mark.slow

FAST = Timing(idle=3600, whole=3600, wait=0, sleep=lambda _: None)
DATA = b"weights" * 1000
DIGEST = digest_of(DATA)


def opened(world, timing=FAST, **more):
    return Server(Transport(world.host, timing=timing), "m", **more)


def push(registry):
    """How many blobs were sent."""
    sent = sum(
        registry.put_blob(layer.digest, layer.size, lambda path=layer.path: io.BytesIO(FILES[path]))
        for layer in MODEL.layers
    )
    sent += registry.put_blob(
        MODEL.config_descriptor.digest, len(MODEL.config), lambda: io.BytesIO(MODEL.config)
    )
    registry.put_manifest(MODEL.data)
    for piece in EVIDENCE:
        client.attach(registry, oci.referrer(MODEL.descriptor, piece))
    registry.tag("v1", MODEL.digest)
    return sent


@pytest.mark.parametrize("api", [True, False])
@pytest.mark.parametrize("token", [None, "secret-token"])
def test_what_is_pushed_is_pulled_with_its_evidence_with_or_without_referrers_and_tokens(api, token):
    with serving(api=api, token=token) as world:
        registry = opened(world)
        push(registry)
        assert registry.resolve("v1") == MODEL.digest
        assert registry.read_manifest("v1") == MODEL.data
        for layer in MODEL.layers:
            assert b"".join(registry.read_blob(layer.digest, layer.size)) == FILES[layer.path]
        assert sorted(client.bundles(registry, MODEL.digest, files=9, limit=9999)) == sorted(EVIDENCE)


def test_a_second_push_of_the_same_bytes_uploads_nothing():
    with serving() as world:
        assert push(opened(world)) == 4
        del world.log[:]
        assert push(opened(world)) == 0
        assert not any("uploads" in line for line in world.log)


def test_a_large_blob_goes_in_pieces():
    with serving() as world:
        assert opened(world, piece=1000).put_blob(DIGEST, len(DATA), lambda: io.BytesIO(DATA))
        assert world.blobs[DIGEST] == DATA
        assert sum(line.startswith("PATCH") for line in world.log) == 7


def test_an_upload_that_breaks_goes_on_where_the_server_is():
    with serving() as world:
        seen = []

        def script(handler):
            if handler.command == "PATCH":
                seen.append(handler.headers["Content-Range"])
                if len(seen) == 2:  # half of the piece arrives
                    name = handler.path.rpartition("/")[2]
                    world.uploads[name] += handler.rfile.read(500)
                    handler.connection.shutdown(socket.SHUT_RDWR)
                    handler.close_connection = True
                    return True
            return False

        world.script = script
        assert opened(world, piece=3000).put_blob(DIGEST, len(DATA), lambda: io.BytesIO(DATA))
        assert world.blobs[DIGEST] == DATA
        assert seen == ["0-2999", "3000-5999", "3500-6499", "6500-6999"]


def test_a_download_that_breaks_goes_on_with_a_range():
    with serving() as world:
        world.blobs[DIGEST] = DATA
        ranges = []

        def script(handler):
            ranges.append(handler.headers["Range"])
            if len(ranges) == 1:
                handler.answer(200, DATA[:3000], Content_Length=str(len(DATA)), Connection="close")
                handler.close_connection = True
                return True
            return False

        world.script = script
        assert b"".join(opened(world).read_blob(DIGEST, len(DATA))) == DATA
        assert ranges == [None, "bytes=3000-6999"]


def broken_then(world, answer):
    """The first answer with a blob ends early; each further one is `answer`'s."""
    asked = []

    def script(handler):
        asked.append(handler.headers["Range"])
        if len(asked) == 1:
            handler.answer(200, DATA[:3000], Content_Length=str(len(DATA)), Connection="close")
            handler.close_connection = True
            return True
        return answer(handler)

    world.blobs[DIGEST], world.script = DATA, script
    return asked


def without_ranges(handler):
    """416 for any range, as registries answer that serve none."""
    if handler.headers["Range"] is None:
        return False
    handler.answer(416, Content_Range=f"bytes */{len(DATA)}")
    return True


def nameless(handler, **headers):
    """206 that does not say of which range."""
    if handler.headers["Range"] is None:
        return False
    handler.answer(206, DATA[3000:], **headers)
    return True


@pytest.mark.parametrize(
    "answer",
    [
        without_ranges,
        nameless,
        lambda handler: nameless(handler, Content_Range="bytes */7000"),
        lambda handler: nameless(handler, Content_Range="items 3000-6999/7000"),
        lambda handler: nameless(handler, Content_Type="multipart/byteranges; boundary=x"),
    ],
    ids=["416", "no range", "a star", "another unit", "in parts"],
)
def test_a_range_that_is_not_served_means_the_whole_blob(answer):
    with serving() as world:
        asked = broken_then(world, answer)
        assert b"".join(opened(world).read_blob(DIGEST, len(DATA))) == DATA
        assert asked == [None, "bytes=3000-6999", None]


@pytest.mark.parametrize("whole", ["7000", "*"])
def test_a_range_counts_by_where_it_begins(whole):
    with serving() as world:

        def answer(handler):
            handler.answer(206, DATA[3000:], Content_Range=f"bytes 3000-6999/{whole}")
            return True

        asked = broken_then(world, answer)
        assert b"".join(opened(world).read_blob(DIGEST, len(DATA))) == DATA
        assert len(asked) == 2


def test_a_registry_that_ignores_ranges_and_gives_the_whole_is_read_on():
    with serving() as world:

        def answer(handler):
            handler.answer(200, DATA)
            return True

        broken_then(world, answer)
        assert b"".join(opened(world).read_blob(DIGEST, len(DATA))) == DATA


def test_a_range_that_is_served_in_parts_is_asked_on():
    with serving() as world:

        def answer(handler):
            start, _ = asked_range(handler.headers["Range"], len(DATA))
            end = min(start + 1500, len(DATA)) - 1
            handler.answer(206, DATA[start : end + 1], Content_Range=f"bytes {start}-{end}/{len(DATA)}")
            return True

        asked = broken_then(world, answer)
        assert b"".join(opened(world).read_blob(DIGEST, len(DATA))) == DATA
        assert asked[1:] == ["bytes=3000-6999", "bytes=4500-6999", "bytes=6000-6999"]


def test_nothing_more_is_asked_for_a_blob_whose_connection_broke_after_its_last_byte():
    with serving() as world:
        data = bytes(BLOCK)

        def chunked(handler):
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))  # and no last chunk
            handler.close_connection = True
            return True

        world.script = chunked
        assert b"".join(opened(world).read_blob(digest_of(data), len(data))) == data
        assert len(world.log) == 1


def test_an_empty_blob_is_had_without_a_range():
    with serving() as world:
        world.script = without_ranges
        assert b"".join(opened(world).read_blob(digest_of(b""), 0)) == b""
        with pytest.raises(Refused, match="hashes to"):
            b"".join(opened(world).read_blob(DIGEST, 0))


def test_a_retry_is_said_in_words_for_people():
    said = []

    class Told:
        def emit(self, *parts):
            said.append(parts)

    with serving() as world:
        broken_then(world, lambda _: False)
        server = Server(Transport(world.host, timing=Timing(wait=0), reporter=Told()), "m")
        assert b"".join(server.read_blob(DIGEST, len(DATA))) == DATA

    assert said == [("Retrying", "the connection broke after 3,000 of 7,000 bytes, try 2 of 4")]


# --- Registries without the referrers API ------------------------------------------------------------


def redirected(handler):
    if handler.path == "/sign-in":
        handler.answer(200, b"<!DOCTYPE html><title>Sign in</title>", Content_Type="text/html")
    else:
        handler.answer(302, Location="/sign-in")


WITHOUT = {
    "404": lambda handler: handler.answer(404),
    "400": lambda handler: handler.answer(400, b'{"errors": []}', Content_Type="application/json"),
    "405": lambda handler: handler.answer(405),
    "406": lambda handler: handler.answer(406),
    "410": lambda handler: handler.answer(410),
    "501": lambda handler: handler.answer(501),
    "204": lambda handler: handler.answer(204),
    "page": lambda handler: handler.answer(200, b"<html>", Content_Type="text/html"),
    "empty": lambda handler: handler.answer(200, Content_Type=INDEX),
    "other json": lambda handler: handler.answer(200, b'{"manifests": []}', Content_Type="application/json"),
    "null": lambda handler: handler.answer(200, b"null", Content_Type="application/json"),
    "a manifest": lambda handler: handler.answer(200, MODEL.data, Content_Type=MANIFEST_TYPE),
    "a manifest called index": lambda handler: handler.answer(200, MODEL.data, Content_Type=INDEX),
    "sign-in": redirected,
    "elsewhere": lambda handler: handler.answer(302, Location="http://sign-in.example/"),
    "encoded": lambda handler: handler.answer(200, b"\x1f\x8b", Content_Encoding="gzip"),
    "endless": lambda handler: handler.answer(200, bytes(5 * 1024 * 1024), Content_Type="text/html"),
}


@pytest.mark.parametrize("answer", WITHOUT)
def test_what_answers_the_question_for_referrers_with_no_index_has_no_such_api(answer):
    with serving(api=False) as world:

        def script(handler):
            if "/referrers/" not in handler.path and handler.path != "/sign-in":
                return False
            WITHOUT[answer](handler)
            return True

        world.script = script
        registry = opened(world)
        registry.put_manifest(MODEL.data)
        attached = client.attach(registry, oci.referrer(MODEL.descriptor, EVIDENCE[0]))

        assert MODEL.digest.replace(":", "-") in world.tags
        assert [each.digest for each in registry.referrers(MODEL.digest)] == [attached]


@pytest.mark.parametrize("status", [500, 502, 503, 429, 401, 403])
def test_an_error_that_may_pass_is_not_taken_for_a_registry_without_referrers(status):
    with serving() as world:

        def script(handler):
            handler.answer(status)
            return True

        world.script = script
        with pytest.raises((CannotLook, UsageError)):
            opened(world).referrers(MODEL.digest)


def listing(*entries, **more):
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries), **more}).encode()


@pytest.mark.parametrize("api", [True, False])
@pytest.mark.parametrize(
    "said",
    [
        {"artifactType": "application/vnd.oci.empty.v1+json"},
        {"artifactType": "text/plain"},
        {"artifactType": None, "annotations": None, "urls": None, "platform": None, "data": None},
        {"artifactType": ""},
        {"mediaType": "application/json"},
        {"mediaType": "application/vnd.docker.distribution.manifest.v2+json"},
        {"size": 1},
    ],
    ids=["the configs", "wrong", "null", "none", "json", "docker", "size"],
)
def test_attack_evidence_is_not_hidden_by_what_its_listing_says(said, api):
    with serving(api=api) as world:
        registry = opened(world)
        attached = oci.referrer(MODEL.descriptor, EVIDENCE[0])
        world.manifests[attached.digest] = attached.data, MANIFEST_TYPE
        entry = {"mediaType": MANIFEST_TYPE, "digest": attached.digest, "size": len(attached.data), **said}
        index = listing(entry, annotations=None)
        world.manifests[digest_of(index)] = index, INDEX
        world.tags[MODEL.digest.replace(":", "-")] = digest_of(index)

        def script(handler):
            if api and "/referrers/" in handler.path:
                handler.answer(200, index, Content_Type=INDEX, OCI_Filters_Applied="artifactType")
                return True
            return False

        world.script = script
        assert [each.digest for each in registry.referrers(MODEL.digest, oci.BUNDLE_TYPE)] == [
            attached.digest
        ]


def test_what_is_listed_as_something_else_and_is_no_manifest_is_passed_over():
    with serving() as world:
        attached = oci.referrer(MODEL.descriptor, EVIDENCE[0])
        world.manifests[attached.digest] = attached.data, MANIFEST_TYPE
        for data in (b"PK", b"[]", b'{"subject": 1}'):
            world.manifests[digest_of(data)] = data, "application/json"
        kinds = ("application/zip", "application/json", MANIFEST_TYPE, MANIFEST_TYPE, MANIFEST_TYPE)
        gone = digest_of(b"gone")
        entries = [
            {"mediaType": kind, "digest": digest, "size": 2, "artifactType": "text/plain"}
            for kind, digest in zip(kinds, (*world.manifests, gone), strict=True)
        ]
        index = listing(*entries)

        def script(handler):
            if "/referrers/" in handler.path:
                handler.answer(200, index, Content_Type=INDEX)
                return True
            return False

        world.script = script
        found = opened(world).referrers(MODEL.digest, oci.BUNDLE_TYPE)
        assert [each.digest for each in found] == [attached.digest]


@pytest.mark.parametrize("index", [listing() + b" ", b'{"schemaVersion": 2, "manifests": null}'])
def test_a_list_that_is_null_is_an_empty_one(index):
    with serving() as world:

        def script(handler):
            if "/referrers/" in handler.path:
                handler.answer(200, index, Content_Type=f"{INDEX}; charset=utf-8")
                return True
            return False

        world.script = script
        assert opened(world).referrers(MODEL.digest) == ()
        assert len(world.log) == 1


@pytest.mark.parametrize(
    "link",
    [
        '</v2/m/referrers/more>; rel="next"',
        "</v2/m/referrers/more>; rel=next",
        '<more>;rel="next"',
        '</v2/m/referrers/first>; rel="first", </v2/m/referrers/more>; rel="next"',
        '</v2/m/referrers/more>; title="a, b"; REL="NEXT"',
    ],
)
def test_a_list_that_goes_on_is_read_to_its_end(link):
    with serving() as world:
        attached = oci.referrer(MODEL.descriptor, EVIDENCE[0])
        world.manifests[attached.digest] = attached.data, MANIFEST_TYPE
        entry = {"mediaType": MANIFEST_TYPE, "digest": attached.digest, "size": len(attached.data)}

        def script(handler):
            if "/referrers/" not in handler.path:
                return False
            if handler.path.endswith("/more"):
                handler.answer(200, listing(entry), Content_Type=INDEX)
            else:
                handler.answer(200, listing(), Content_Type=INDEX, Link=link)
            return True

        world.script = script
        assert [each.digest for each in opened(world).referrers(MODEL.digest)] == [attached.digest]


def test_a_list_that_goes_on_with_something_else_is_not_cut_short_in_silence():
    with serving() as world:

        def script(handler):
            if handler.path.endswith("/more"):
                handler.answer(404)
            else:
                handler.answer(200, listing(), Content_Type=INDEX, Link='<more>; rel="next"')
            return True

        world.script = script
        with pytest.raises(NotUnderstood, match="goes on with something else"):
            opened(world).referrers(MODEL.digest)


def test_a_blob_of_another_repository_is_mounted_and_not_sent():
    with serving() as world:
        head = iter([404])

        def script(handler):
            if handler.command == "HEAD" and next(head, None):
                handler.answer(404)
                return True
            return False

        world.script = script
        world.blobs[DIGEST] = DATA
        registry = opened(world, mount_from="base")
        registry.put_blob(DIGEST, len(DATA), lambda: pytest.fail("was sent"))
        assert not world.uploads


def test_bytes_that_changed_since_they_were_hashed_are_never_stored():
    with serving() as world:
        for wrong in (DATA[:-1] + b"!", DATA[:-1], DATA + b"!"):
            with pytest.raises(Refused, match="changed since it was hashed"):
                opened(world).put_blob(DIGEST, len(DATA), lambda wrong=wrong: io.BytesIO(wrong))
        assert not world.blobs


@pytest.mark.parametrize("etags", [True, False])
def test_signers_at_once_lose_nothing_of_a_fallback_tag(etags):
    with serving(api=False, etags=etags) as world:
        push(opened(world))
        timing = Timing(settle=(0.05, 0.2))
        pieces = [b'{"signer":%d}' % number for number in range(4)]
        signers = [
            threading.Thread(
                target=client.attach, args=(opened(world, timing), oci.referrer(MODEL.descriptor, piece))
            )
            for piece in pieces
        ]
        for signer in signers:
            signer.start()
        for signer in signers:
            signer.join()
        found = list(client.bundles(opened(world), MODEL.digest, files=9, limit=9999))
        assert sorted(found) == sorted([*EVIDENCE, *pieces])


def test_credentials_come_from_the_configuration_of_docker(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    entry = {"auth": base64.b64encode(b"ann:pa:ss").decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"r.example": entry}}))
    found = find("r.example")
    assert (found.user, found.secret) == ("ann", "pa:ss")
    assert "pa:ss" not in repr(found)
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"r.example": {"auth": "!"}}}))
    with pytest.raises(UsageError):
        find("r.example")


def test_a_credential_helper_is_asked_for_the_host(tmp_path, monkeypatch):
    helper = tmp_path / "docker-credential-demo"
    helper.write_text(
        '#!/bin/sh\nread host || true\necho "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"$host\\"}"\n'
    )
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"r.example": "demo"}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    assert find("r.example").identity == "r.example"


def test_a_helper_that_is_a_path_is_refused(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "../../bin/x"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(Refused, match="not a name"):
        find("r.example")


def test_a_registry_that_never_lets_us_in_is_not_asked_for_ever(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with serving(token="right") as world:
        registry = opened(world)
        world.script = lambda handler: (
            "token" in handler.path and (handler.answer(200, b'{"token":"wrong"}') or True)
        )
        with pytest.raises(UsageError, match="does not let us"):
            registry.read_manifest("v1")
        assert len(world.log) < 10


@pytest.mark.parametrize(
    "script",
    ["sleep 600", "exec <&-; sleep 600", "sleep 600 & echo waiting", "while :; do echo; sleep 0.05; done"],
    ids=["slow", "deaf", "child-holds-the-pipe", "drip"],
)
def test_a_credential_helper_that_does_not_answer_is_left(tmp_path, monkeypatch, script):
    helper = tmp_path / "docker-credential-demo"
    helper.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{script}\n")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "demo"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    for seconds in (0.5, 4, 32):  # a busy machine may not come to begin it
        monkeypatch.setattr("tuneguard.oci.auth._HELPER_SECONDS", seconds)
        # A helper that ended and said no credentials is told apart from one that did not answer.
        with pytest.raises(NotUnderstood if "waiting" in script else CannotLook):
            find("r.example")
        if (tmp_path / "pid").exists() and (said := (tmp_path / "pid").read_text()):
            break
    pid = int(said)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_credential_helper_that_says_too_much_is_left(tmp_path, monkeypatch):
    helper = tmp_path / "docker-credential-demo"
    helper.write_text("#!/bin/sh\nyes\n")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "demo"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    with pytest.raises(CannotLook, match="prints too much"):
        find("r.example")


def test_an_upload_goes_on_when_its_token_dies_again_and_again():
    """Each token is good for two pieces, and the server does not say so."""
    large = DATA * 100
    with serving(token="t0") as world:
        pieces = []

        def script(handler):
            if handler.command == "PATCH":
                pieces.append(1)
                if len(pieces) % 2 == 0:
                    world.token = f"t{len(pieces)}"
            return False

        world.script = script
        assert opened(world, piece=70_000).put_blob(digest_of(large), len(large), lambda: io.BytesIO(large))
        assert world.blobs[digest_of(large)] == large


def test_a_token_is_renewed_before_it_dies():
    with serving(token="t0") as world:
        asked = []

        def script(handler):
            if handler.path.startswith("/token"):
                asked.append(1)
                world.token = f"t{len(asked)}"
                handler.answer(200, json.dumps({"token": world.token, "expires_in": 300}).encode())
                return True
            return False

        world.script = script
        registry = opened(world)
        now = [1000.0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tuneguard.oci.auth.time.monotonic", lambda: now[0])
            registry.resolve("v1")
            now[0] += 280
            registry.resolve("v1")
            assert len(asked) == 1
            now[0] += 11
            del world.log[:]
            registry.resolve("v1")
        assert len(asked) == 2
        assert world.log == ["GET /token", "GET /v2/m/manifests/v1"]  # no refusal between


@pytest.mark.parametrize("piece", [500, 10**9], ids=["pieces", "at-once"])
def test_a_blob_whose_last_answer_was_lost_is_not_sent_again(piece):
    with serving() as world:
        lost = []

        def script(handler):
            if handler.command == "PUT" and not lost:
                lost.append(1)
                name = handler.path.partition("?")[0].rpartition("/")[2]
                world.blobs[DIGEST] = world.uploads.pop(name) + handler.body()
                handler.answer(504)
                return True
            return False

        world.script = script
        assert opened(world, piece=piece).put_blob(DIGEST, len(DATA), lambda: io.BytesIO(DATA))
        assert sum(line.startswith("POST") for line in world.log) == 1
        assert world.blobs[DIGEST] == DATA


def test_what_is_under_way_in_other_threads_ends_when_it_is_abandoned():
    """A registry that takes its time, and one that asks for patience: neither holds us."""
    with serving() as world:
        stop, reached = threading.Event(), threading.Semaphore(0)

        def script(handler):
            reached.release()
            if "slow" in handler.path:
                stop.wait(30)
            else:
                handler.answer(503, Retry_After="29")
            return True

        world.script = script
        said = []
        reporter = SimpleNamespace(emit=lambda *words: said.append(words))
        registry = Server(Transport(world.host, timing=Timing(), reporter=reporter), "m")
        ended = []

        def read(tag):
            try:
                registry.resolve(tag)
            except CannotLook as error:
                ended.append((tag, error.what))

        threads = [threading.Thread(target=read, args=(tag,), daemon=True) for tag in ("slow", "busy")]
        for thread in threads:
            thread.start()
        for _ in threads:
            reached.acquire()
        registry.abandon()
        for thread in threads:
            thread.join()
        stop.set()
        assert dict(ended) == dict.fromkeys(("slow", "busy"), "was left before it was done")
        assert len(said) <= 1  # the busy one's wait, before it was abandoned: no retry is told of the other
        with pytest.raises(CannotLook, match="was left"):
            registry.resolve("v1")

"""Registries that lie, stall and send us elsewhere: each refused or retried rightly, nothing half-written."""

from __future__ import annotations

import io
import json

import pytest

from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError
from tuneguard.oci import manifest as oci
from tuneguard.oci.descriptor import MANIFEST_TYPE, digest_of
from tuneguard.oci.http import Timing, Transport
from tuneguard.oci.server import Server
from world.layouts import EVIDENCE, MODEL
from world.registries import INDEX, asked_range, serving

DATA = b"weights" * 1000
DIGEST = digest_of(DATA)
FAST = {"idle": 3600, "whole": 3600, "wait": 0, "sleep": lambda _: None}


def opened(world, **timing):
    return Server(Transport(world.host, timing=Timing(**{**FAST, **timing})), "m")


def fetched(world, **timing):
    return b"".join(opened(world, **timing).read_blob(DIGEST, len(DATA)))


@pytest.fixture
def world():
    with serving() as made:
        yield made


def always(world, status, body=b"", **headers):
    """Answer everything so."""

    def script(handler):
        handler.body()
        handler.answer(status, body, **headers)
        return True

    world.script = script


def test_a_blob_with_other_bytes_is_refused_before_its_end(world):
    world.blobs[DIGEST] = DATA[:-1] + b"!"
    given = []
    with pytest.raises(Refused, match="hashes to"):
        given.extend(opened(world).read_blob(DIGEST, len(DATA)))
    assert b"".join(given) != DATA[:-1] + b"!"


def test_a_short_body_is_asked_for_again_and_then_given_up(world):
    always(world, 200, DATA[:100], Content_Length=str(len(DATA)), Connection="close")
    with pytest.raises(CannotLook):
        fetched(world, idle=0.2)
    assert len(world.log) <= 2 * Timing().tries


def test_a_body_without_an_end_is_left_at_the_size_that_was_promised(world):
    def script(handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(100_000))

    world.script = script
    with pytest.raises(Refused, match="more than 7,000 bytes"):
        fetched(world)


def test_a_manifest_over_four_megabytes_is_refused(world):
    always(world, 200, bytes(4 * 1024 * 1024 + 1))
    with pytest.raises(Refused, match=r"more than 4,194,304"):
        opened(world).read_manifest("v1")


def test_credentials_never_follow_a_redirect_to_another_host(world, monkeypatch):
    with serving() as other:
        other.blobs[DIGEST] = DATA
        world.token = "secret-token"

        def script(handler):
            if handler.headers.get("Authorization") and "/blobs/" in handler.path:
                handler.answer(307, Location=f"http://{other.host}/v2/m/blobs/{DIGEST}")
                return True
            return False

        world.script = script
        assert fetched(world) == DATA
        assert other.secrets == [None]


def test_redirects_that_go_round_are_left(world):
    always(world, 307, Location=f"/v2/m/blobs/{DIGEST}")
    with pytest.raises(Refused, match="redirects more than"):
        fetched(world)
    assert len(world.log) < 10


@pytest.mark.parametrize(
    "target",
    ["http://elsewhere.example/x", "file:///etc/passwd", "ftp://127.0.0.1/", "https://a:b@127.0.0.1/"],
)
def test_a_redirect_to_where_we_do_not_go_is_refused(world, target):
    always(world, 302, Location=target)
    with pytest.raises(Refused):
        fetched(world)


def test_tls_is_never_left():
    transport = Transport("registry.example")
    with pytest.raises(Refused, match="where we do not go"):
        transport.allowed("http://127.0.0.1/", before=transport.base)


def test_a_host_without_tls_is_spoken_to_only_on_this_machine_or_where_the_person_said_so():
    assert Transport("registry.example:5000").base == "https://registry.example:5000"
    assert Transport("localhost:5000").base == "http://localhost:5000"
    assert Transport("[::1]:5000").base == "http://[::1]:5000"
    assert Transport("127.0.0.1.evil.example").base.startswith("https:")
    allowed = Transport("registry.example:5000", insecure=frozenset({"registry.example:5000"}))
    assert allowed.base == "http://registry.example:5000"


def test_a_fallback_tag_that_names_the_subject_itself_is_not_understood():
    with serving(api=False) as world:
        tag = MODEL.digest.replace(":", "-")
        world.manifests[MODEL.digest] = MODEL.data, MANIFEST_TYPE
        world.tags[tag] = MODEL.digest
        with pytest.raises(NotUnderstood, match="something else than an index"):
            opened(world).referrers(MODEL.digest)
        with pytest.raises(NotUnderstood):
            opened(world).put_manifest(oci.referrer(MODEL.descriptor, EVIDENCE[0]).data)
        assert world.tags[tag] == MODEL.digest


def test_an_entry_of_a_fallback_index_that_has_another_subject_is_not_a_referrer():
    with serving(api=False) as world:
        attached = oci.referrer(MODEL.descriptor, EVIDENCE[0])
        other = digest_of(b"another subject")
        world.manifests[attached.digest] = attached.data, MANIFEST_TYPE
        entry = {"mediaType": MANIFEST_TYPE, "digest": attached.digest, "size": len(attached.data)}
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
        world.manifests[digest_of(index)] = index, INDEX
        world.tags[other.replace(":", "-")] = digest_of(index)
        assert opened(world).referrers(other) == ()


def test_a_fallback_entry_that_is_never_kept_fails_loudly():
    with serving(api=False, etags=False) as world:

        def script(handler):
            if handler.command == "PUT" and "sha256-" in handler.path:
                handler.body()
                handler.answer(201)
                return True
            return False

        world.script = script
        with pytest.raises(CannotLook, match="keep removing it"):
            opened(world).put_manifest(oci.referrer(MODEL.descriptor, EVIDENCE[0]).data)


def test_a_tag_that_moves_between_two_requests_is_reported(world):
    world.manifests[MODEL.digest] = MODEL.data, MANIFEST_TYPE
    other = oci.referrer(MODEL.descriptor, EVIDENCE[0])
    world.manifests[other.digest] = other.data, MANIFEST_TYPE

    def script(handler):
        if handler.command == "PUT":
            handler.body()
            world.tags["v1"] = other.digest
            handler.answer(201)
            return True
        return False

    world.script = script
    with pytest.raises(Refused, match="moved by somebody else"):
        opened(world).tag("v1", MODEL.digest)


def test_a_drip_is_ended_by_the_time_of_the_whole_and_not_of_each_read(world):
    stop = []

    def script(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        for byte in DATA:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if stop:
                break
            handler.world.pause.wait(0.02)
        return True

    import threading

    world.pause = threading.Event()
    world.script = script
    with pytest.raises(CannotLook, match="took too long"):
        fetched(world, whole=0.2, bytes_a_second=1e9, tries=1)
    stop.append(True)


def test_a_busy_registry_is_asked_again_when_it_says_and_not_for_ever(world):
    waits = []
    world.blobs[DIGEST] = DATA
    busy = [(429, "7"), (503, None)]

    def script(handler):
        if not busy:
            return False
        status, after = busy.pop(0)
        handler.answer(status, **({"Retry_After": after} if after else {}))
        return True

    world.script = script
    assert fetched(world, sleep=waits.append) == DATA
    assert len(waits) == 2
    assert waits[0] == 7
    always(world, 503)
    del world.log[:]
    with pytest.raises(CannotLook, match="503"):
        opened(world).read_manifest("v1")
    assert len(world.log) == Timing().tries


def test_a_retry_after_that_is_too_long_is_not_waited_for(world):
    always(world, 429, Retry_After="99999")
    with pytest.raises(CannotLook, match="429"):
        opened(world, sleep=lambda _: pytest.fail("waited")).read_manifest("v1")


@pytest.mark.parametrize(
    "realm", ["http://evil.example/token", "file:///etc/passwd", "javascript:1", "", "http://[broken"]
)
def test_a_token_server_without_tls_or_that_is_none_gets_nothing(world, realm):
    always(world, 401, WWW_Authenticate=f'Bearer realm="{realm}",service="x"')
    with pytest.raises(Refused):
        opened(world).read_manifest("v1")


def test_a_registry_that_says_401_for_ever_is_left(world):
    always(world, 401, WWW_Authenticate='Basic realm="x"')
    with pytest.raises(UsageError, match="does not let us in"):
        opened(world).read_manifest("v1")
    assert len(world.log) == 1


def test_huge_heads_are_refused(world):
    always(world, 200, b"{}", X_Long="a" * 200_000)
    with pytest.raises(CannotLook):
        opened(world).read_manifest("v1")


def test_an_encoded_answer_is_never_decoded_into_something_else(world):
    always(world, 200, DATA, Content_Encoding="gzip")
    with pytest.raises(Refused, match="encoding"):
        fetched(world)


def test_an_upload_that_is_sent_to_another_host_is_refused(world):
    def script(handler):
        if handler.command == "POST":
            handler.body()
            handler.answer(202, Location="http://127.0.0.1:1/upload")
            return True
        return False

    world.script = script
    with pytest.raises(Refused, match="another host"):
        opened(world).put_blob(DIGEST, len(DATA), lambda: io.BytesIO(DATA))


def test_an_upload_that_is_said_to_be_stored_and_is_not_is_no_success(world):
    def script(handler):
        if handler.command == "PUT":
            handler.body()
            handler.answer(201)
            return True
        return False

    world.script = script
    with pytest.raises(CannotLook, match="has none"):
        opened(world).put_blob(DIGEST, len(DATA), lambda: io.BytesIO(DATA))
    with pytest.raises(CannotLook, match="has none"):
        opened(world).put_manifest(MODEL.data)


def test_a_commit_that_the_registry_refuses_is_said(world):
    def script(handler):
        if handler.command == "PUT":
            handler.body()
            handler.answer(400)
            return True
        return False

    world.script = script
    with pytest.raises(CannotLook, match="answers 400"):
        opened(world).put_blob(DIGEST, len(DATA), lambda: io.BytesIO(DATA))


def test_a_list_of_referrers_that_goes_on_at_another_host_is_refused(world):
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
    always(world, 200, body, Content_Type=INDEX, Link='<http://127.0.0.1:1/x>; rel="next"')
    with pytest.raises(Refused, match="another host"):
        opened(world).referrers(MODEL.digest)


def test_a_range_that_was_not_asked_for_is_refused(world):
    answers = [
        lambda h: h.answer(200, DATA[:3000], Content_Length=str(len(DATA)), Connection="close"),
        lambda h: h.answer(206, DATA, Content_Range=f"bytes 0-6999/{len(DATA)}"),
    ]

    def script(handler):
        answers.pop(0)(handler)
        handler.close_connection = True
        return True

    world.script = script
    with pytest.raises(Refused, match="another range"):
        fetched(world)


def test_a_byte_with_each_connection_is_no_progress(world):
    def script(handler):
        at, _ = asked_range(handler.headers.get("Range") or "bytes=0-", len(DATA))
        more = {"Content_Range": f"bytes {at}-{len(DATA) - 1}/{len(DATA)}"} if at else {}
        size = str(len(DATA) - at)
        body = DATA[at : at + 1]
        handler.answer(206 if at else 200, body, Content_Length=size, Connection="close", **more)
        handler.close_connection = True
        return True

    world.script = script
    with pytest.raises(CannotLook):
        fetched(world)
    assert len(world.log) <= Timing().tries


def test_an_upload_of_which_the_server_forgets_its_part_is_not_sent_for_ever(world):
    """Each piece is taken, and every second request is told that nothing was."""
    seen = []

    def script(handler):
        if handler.command == "PATCH":
            seen.append(1)
            if len(seen) % 2 == 0:
                handler.body()
                world.uploads[handler.path.rpartition("/")[2]] = b""
                handler.answer(503)
                return True
        return False

    world.script = script
    server = Server(Transport(world.host, timing=Timing(**FAST)), "m", piece=100)
    with pytest.raises(CannotLook, match="503"):
        server.put_blob(DIGEST, len(DATA), lambda: io.BytesIO(DATA))
    assert len(seen) <= 2 * Timing().tries


def pages(world, entries, link):
    """A list of referrers that goes on where `link` says."""
    listed = [
        {"mediaType": MANIFEST_TYPE, "digest": f"sha256:{number:064x}", "size": 9}
        for number in range(entries)
    ]
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()

    def script(handler):
        if "/referrers/" in handler.path:
            handler.answer(200, body, Content_Type=INDEX, Link=f'<{link(handler)}>; rel="next"')
            return True
        return False

    world.script = script


def test_a_list_of_referrers_that_goes_in_a_circle_is_refused(world):
    pages(world, 10, lambda handler: handler.path)
    with pytest.raises(Refused, match="in a circle"):
        opened(world).referrers(DIGEST)
    assert len(world.log) <= 3


def test_a_list_of_referrers_that_never_ends_is_left_before_its_entries_are_read(world):
    pages(world, 7000, lambda handler: f"{handler.path.partition('?')[0]}?page={len(world.log)}")
    with pytest.raises(CannotLook, match="goes on after 21,000 in 3 pages"):
        opened(world).referrers(DIGEST)
    assert len(world.log) == 3


@pytest.mark.parametrize("api", [True, False])
def test_a_list_of_too_many_referrers_is_left_before_its_entries_are_read(world, api):
    listed = [
        {"mediaType": MANIFEST_TYPE, "digest": f"sha256:{number:064x}", "size": 9} for number in range(20_001)
    ]
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
    assert len(body) < 4 * 1024 * 1024

    def script(handler):
        if "/referrers/" in handler.path and not api:
            return False
        handler.answer(200, body, Content_Type=INDEX)
        return True

    world.api, world.script = api, script
    with pytest.raises(CannotLook, match="20,001 referrers are listed, over the limit of 20,000"):
        opened(world).referrers(DIGEST)
    assert len(world.log) <= 2

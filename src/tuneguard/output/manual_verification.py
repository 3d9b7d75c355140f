"""How a reader checks a result without Tuneguard: commands to paste, for this very tree.

They need find, sort, sha256sum, sed, grep, base64 and openssl (cosign for one more), run in any
POSIX shell in the project's folder, and each prints what it confirms or ends with an error. A
reader brings one thing of their own: the root's public key.

What is pasted is run. So every word from outside is quoted, and a name that cannot be one word of
a shell is left out: nothing in a file's name or in evidence becomes a command.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.attest.predicates.verdict import TYPE as VERDICT
from tuneguard.attest.statement import PAYLOAD_TYPE
from tuneguard.errors import UsageError
from tuneguard.facts import DecideFacts, PromoteFacts
from tuneguard.oci.reference import parse
from tuneguard.trust.policy import POLICY_PAYLOAD_TYPE
from tuneguard.trust.root import BUNDLE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneguard.facts import Facts, RecordFacts
    from tuneguard.findings import Result

OF_TREES = frozenset(
    {
        *("digest", "seal", "run", "train", "sign", "copy", "verify", "verify-data"),
        *("scan", "evaluate", "decide", "promote", "push", "pull", "record"),
    }
)
"""The commands whose subject is a folder and its tree digest; others are about keys and policies."""
_HEX = re.compile(r"[0-9a-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")

# --- The commands, with @NAMES@ for the words of one result ----------------------------------------

TREE = r"""
tree=@FOLDER@
digest=@TREE@
(cd -- "$tree" && find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum --) |
  sha256sum | grep "$digest"
test -z "$(cd -- "$tree" && find . ! -type f ! -type d -o -type d -empty)" &&
  echo 'files and folders only'
"""

POLICY = r"""
root=${TUNEGUARD_ROOT:-$HOME/.config/tuneguard/root.pub}
work=$(mktemp -d)
signed() {
  sed -n 's/.*"payload":"\([^"]*\)".*/\1/p' < "$2" | base64 -d > "$work/said" &&
  sed -n 's/.*"sig":"\([^"]*\)".*/\1/p' < "$2" | base64 -d > "$work/signature" &&
  { printf 'DSSEv1 %d %s %d ' "${#1}" "$1" "$(wc -c < "$work/said")" &&
    cat "$work/said"; } > "$work/bytes" &&
  case $(openssl pkey -pubin -in "$3" -noout -text) in
    *ED25519*) openssl pkeyutl -verify -pubin -inkey "$3" -rawin \
      -in "$work/bytes" -sigfile "$work/signature" ;;
    *P-384*) openssl dgst -sha384 -verify "$3" -signature "$work/signature" "$work/bytes" ;;
    *) openssl dgst -sha256 -verify "$3" -signature "$work/signature" "$work/bytes" ;;
  esac
}
signed @TYPE@ @BUNDLE@ "$root" &&
  cmp "$work/said" @POLICY@ &&
  sha256sum < @POLICY@ | grep @DIGEST@
"""
"""``signed TYPE BUNDLE KEY`` takes a bundle apart and has openssl check what was signed (DSSE's PAE)."""

SIGNERS = r"""
key() {
  grep -nF -- "$2" @POLICY@ &&
  printf %s "$2" | base64 -d | openssl pkey -pubin -inform DER -out "$work/$1.pub"
}
@KEYS@
"""

EVIDENCE = r"""
evidence=@FOLDER@
said() { signed @TYPE@ "$evidence/$1" "$work/$2.pub"; }
about() { grep -o "\"subject\":\[{\"digest\":{\"dirHash\":\"$digest\"}" "$work/said"; }
@PIECES@
"""

ABOUT = "said @FILE@ @KEY@ && about\n"

FILES = r"""
said @FILE@ @KEY@ &&
  grep -o '"digest":"[0-9a-f]\{64\}","name":"[^"]*"' "$work/said" |
  sed 's/"digest":"\(.*\)","name":"\(.*\)"/\1  \2/' > "$work/files" &&
  (cd -- "$tree" && sha256sum --quiet --check "$work/files") &&
  test "$(wc -l < "$work/files")" -eq "$(cd -- "$tree" && find . -type f | wc -l)" &&
  echo 'every file as signed'
"""
"""A model signature names no tree digest: its list of files must be the folder's, no more and no less."""

REFUSED = """
said @FILE@ @KEY@ && about &&
  grep -o '"verificationResult":"FAILED"' "$work/said"
"""

PASSED = """
manifest=@MANIFEST@
said @FILE@ @KEY@ && about &&
  grep -o '"verificationResult":"PASSED"' "$work/said" &&
  grep -o "\\"digest\\":{\\"sha256\\":\\"$manifest\\"}" "$work/said"
"""

REGISTRY = """
sha256sum < @BLOBS@/"$manifest" | grep "$manifest"
"""

COSIGN = r"""
sed 's/"keyid":"[0-9a-f]*"/"keyid":""/' < "$evidence"/@FILE@ > "$work/verdict.json" &&
  cosign verify-blob-attestation --key "$work/@KEY@.pub" --bundle "$work/verdict.json" \
    --type @TYPE@ --insecure-ignore-tlog \
    --digestAlg sha256 --digest "$manifest"
"""


@dataclass(frozen=True, slots=True)
class Block:
    """Some commands, what they do, and what they print."""

    title: str
    text: str
    code: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of evidence as a word of the commands, and what the file of its signer's key is called."""

    kind: str
    file: str
    key: str


def blocks(result: Result[Facts]) -> tuple[Block, ...]:
    """The commands for a result, in an order in which they can be pasted; none where it names no tree."""
    subject = result.subjects[0] if result.subjects else None
    if subject is None or subject.digest is None or _HEX.fullmatch(subject.digest) is None:
        return ()
    if result.command not in OF_TREES:
        return ()
    made = [
        Block(
            "The tree",
            "Prints the digest if the folder holds exactly these files with exactly these bytes, and "
            "nothing if it does not. Then: nothing but files and folders is in it.",
            _fill(TREE, FOLDER=word(subject.path, "FOLDER"), TREE=subject.digest),
        )
    ]
    facts = result.facts
    if isinstance(facts, DecideFacts) and _keys(facts) and _HEX.fullmatch(facts.policy.sha256):
        made += _signed(result, facts)
    return tuple(made)


def word(text: str, instead: str) -> str:
    """`text` as one word of a shell; `instead` where it was escaped on its way here, and so is no name.

    A word that begins with a dash would be an option of the program that gets it (sed has one that
    runs commands), so it is written as a path.

    >>> word("runs/042", "DIR"), word("it is; rm x", "DIR"), word("-r/042", "DIR"), word("a\\x1b", "DIR")
    ('runs/042', "'it is; rm x'", './-r/042', 'DIR')
    """
    if not text or not text.isprintable() or "\\" in text:
        return instead
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def _fill(commands: str, **words: object) -> str:
    """`commands` with each ``@NAME@`` replaced; once, so that no word can bring another name in."""
    return re.sub(r"@([A-Z]+)@", lambda found: str(words[found[1]]), commands.lstrip("\n"))


# --- What the facts hold ---------------------------------------------------------------------------


def _keys(facts: DecideFacts) -> dict[str, str]:
    """The signers' keys in base64, by how results name the signer."""
    return {who: key for who, key in facts.keys.items() if _BASE64.fullmatch(key)}


def _key_file(who: str) -> str:
    """What the file of a signer's key is called: the identity's name."""
    name = who.partition(" (")[0]
    return name if _FILE.fullmatch(name) else "signer"


def _policy_file(facts: DecideFacts, suffix: str = "") -> str:
    return word(f"{facts.policy.file}{suffix}", f"policy.yaml{suffix}")


def _manifest(facts: DecideFacts) -> str | None:
    hex = facts.manifest.removeprefix("sha256:")
    return hex if _HEX.fullmatch(hex) else None


def _recorded(facts: DecideFacts) -> RecordFacts | None:
    return facts.recorded if isinstance(facts, PromoteFacts) else None


def _pieces(result: Result[Facts], facts: DecideFacts) -> Iterator[_Piece]:
    """The evidence that counted, and the verdict, where the signer's key is known."""
    keys = _keys(facts)
    named = [(piece.kind, piece.file, piece.identity) for piece in result.evidence[: limits.REPORT_ROWS]]
    named.append(("verdict", facts.decided.file, str(facts.decided.by)))
    for kind, file, who in named:
        if who in keys and word(file, "") != "":
            yield _Piece(kind, shlex.quote(file), _key_file(who))


# --- The blocks ------------------------------------------------------------------------------------


def _signed(result: Result[Facts], facts: DecideFacts) -> Iterator[Block]:
    file = _policy_file(facts)
    yield Block(
        "The policy",
        "Whether the root signed these exact bytes. The root's public key must come from your own hands, "
        "never from this project: change the first line where yours lies elsewhere. Prints that openssl "
        "verified it, and the policy's digest.",
        _fill(
            POLICY,
            TYPE=POLICY_PAYLOAD_TYPE,
            BUNDLE=_policy_file(facts, BUNDLE_SUFFIX),
            POLICY=file,
            DIGEST=facts.policy.sha256,
        ),
    )
    keys = [f"key {_key_file(who)} {key}" for who, key in _keys(facts).items()][: limits.REPORT_ROWS]
    yield Block(
        "The signers",
        "Prints the line of the policy that names each key, and puts the key aside for openssl.",
        _fill(SIGNERS, POLICY=file, KEYS="\n".join(keys)),
    )
    pieces = list(_pieces(result, facts))
    yield Block(
        "The evidence",
        "For each piece, whether it was signed with that key, and that it is about this tree. Its content "
        'is then in "$work/said", as JSON. The signature lists files: each is compared.',
        _fill(
            EVIDENCE,
            FOLDER=word(facts.evidence, "FOLDER.evidence"),
            TYPE=PAYLOAD_TYPE,
            PIECES="".join(_statement(piece, facts) for piece in pieces).rstrip("\n"),
        ),
    )
    yield from _pushed(facts, pieces)
    yield _ours(facts)


def _statement(piece: _Piece, facts: DecideFacts) -> str:
    manifest, commands = _manifest(facts), ABOUT
    if piece.kind == "signature":
        commands = FILES
    elif piece.kind == "verdict":
        commands = PASSED if facts.decided.result == "PASSED" and manifest else REFUSED
    return _fill(commands, FILE=piece.file, KEY=piece.key, MANIFEST=manifest)


def _pushed(facts: DecideFacts, pieces: Sequence[_Piece]) -> Iterator[Block]:
    """For what was pushed: the manifest in a layout, and the verdict as cosign reads it."""
    manifest, layout = _manifest(facts), _layout(facts)
    verdict = next((piece for piece in pieces if piece.kind == "verdict"), None)
    if manifest is None or verdict is None or _recorded(facts) is None:
        return  # the verdict's commands name the manifest
    if layout is not None:
        yield Block(
            "The registry",
            "Prints the manifest's digest if what was pushed is the manifest that the verdict names.",
            _fill(REGISTRY, BLOBS=word(f"{layout}/blobs/sha256", "BLOBS")),
        )
    yield Block(
        "The verdict, with cosign",
        "With cosign 3, without a network: this key signed a verdict about this manifest. The envelope's "
        "key id is emptied first. It is not signed, and cosign, which knows keys by another kind of id, "
        "would take ours for another key's.",
        _fill(COSIGN, FILE=verdict.file, KEY=verdict.key, TYPE=VERDICT),
    )


def _layout(facts: DecideFacts) -> str | None:
    """The folder that was pushed to, where it was one."""
    try:
        return parse(facts.to).path if isinstance(facts, PromoteFacts) else None
    except UsageError:
        return None


def _ours(facts: DecideFacts) -> Block:
    """The same by Tuneguard, which looks at more."""
    model = word(facts.model if isinstance(facts, PromoteFacts) else "", "MODEL")
    code = f'tuneguard verify "$tree" --for promote --model {model} --run {word(facts.run, "RUN")}\n'
    recorded = _recorded(facts)
    if recorded is not None and _HEX.fullmatch(str(recorded.root)):
        code += f"tuneguard ledger verify --head {recorded.size}:{recorded.root}\n"
    return Block(
        "With Tuneguard",
        "The commands above show who signed what. Whether the policy believes them (roles, thresholds, "
        "dates, custodians apart) is what Tuneguard adds.",
        code,
    )

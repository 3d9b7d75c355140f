"""A configuration makes its loader open a file that is not one of the tree's, or load a model from elsewhere.

Loaders join a value of a configuration to the folder's path and open it: the shards of a `weight_map`, the
parts of `modules.json` and `router_config.json`, `vocab_file`, `tokenizer_file`, `transformers_weights` and
their like; so does a runtime of ONNX with the files in which a model's numbers lie. An absolute path or one
with `..` then leads to other weights, which nobody signed, scanned or measured. Such a value must be a plain
relative path to a file of the tree. A key that nobody knows is judged by its form.

What a run's own sandbox makes frameworks write is known: `/tuneguard/base` is the base whose digest the
provenance holds, and `/tuneguard/checkpoint/X` is `X` in the tree. Any other base of an adapter
(`base_model_name_or_path`, a name on a hub or an absolute path) refuses, since nothing fixes which bytes
it is.

Example: `{"weight_map": {"lm_head.weight": "../other/model.safetensors"}}` in `model.safetensors.index.json`

What to do: save the model again with its library, all of it in one folder; train an adapter on the sealed
base, or merge it into its base.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import Object
from tuneguard.formats.onnx import External
from tuneguard.scanner.followed import followed, opened
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Object | External, context: Context) -> Iterator[tuple[str, Location]]:
    if isinstance(fact, External):
        said = opened(fact.location, context)
        if said is not None and said[1]:
            yield f"a tensor {said[0]}", context.at()
        return
    for found in followed(fact, context):
        if found.refuses:
            yield found.message, context.at(line=fact.line_of(found.key))


RULE = Rule(
    id="TG-CFG-PATH",
    severity=Severity.HIGH,
    title="a configuration opens what is not in the tree",
    looks_at=(Object, External),
    check=_check,
    why="the loader opens it, and nobody signed, scanned or measured what is there",
    fix="save the model with all its files in one folder; train adapters on the sealed base, or merge them",
    reference="CWE-73",
)

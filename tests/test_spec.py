"""The pipeline file: read strictly, every fault at once, its placeholders exact."""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard import spec
from tuneguard.errors import ConfigurationError, Refused, UsageError
from tuneguard.records import read_yaml, to_json
from world.mutations import mutated

WHOLE = """\
apiVersion: tuneguard.dev/v1alpha1
kind: Pipeline
metadata: {name: support-llama}
data:
  train: {path: data/train, claim: training-data-pvc}
  eval: {path: data/eval, claim: eval-data-pvc}
base: {path: models/base}
train:
  image: registry.internal/fine-tuning@sha256:abcd
  code: {path: code}
  command: [python, "{code}/train.py", "--config={config}", "--data-dir={data}", "--run-id={run}"]
  config: train-config.yaml
  expectedDuration: 16h
  scratch: 50Gi
  resources: {cpu: 8, memory: 32Gi, gpu: 4}
checkpoint: {path: "runs/{run}", claim: checkpoint-storage-pvc}
keys: {builder: "gcpkms://projects/p/cryptoKeys/signer", promoter: "awskms:///alias/promoter"}
evaluation: {classifier: {path: models/toxicity}}
gates:
  evaluation: {accuracy: {min: 0.9}}
registry: {push: "registry.internal/models/support-llama", tag: "ft-{run}"}
cluster:
  namespace: ml-training
  storage: {cidrs: [10.20.0.10/32], ports: [9000, 443]}
  gpuQuota: 8
"""
SMALL = """\
apiVersion: tuneguard.dev/v1alpha1
kind: Pipeline
metadata: {name: demo}
data: {train: {path: data}}
base: {path: base}
train:
  code: {path: code}
  command: [python, "{code}/train.py"]
  expectedDuration: 1h
checkpoint: {path: "runs/{run}"}
"""


def parse(text: str) -> spec.Pipeline:
    return spec.parse(text.encode(), "tuneguard.yaml", Path("/project"))


def faults(text: str) -> list[tuple[str, str, str | None]]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    return [(problem.where, problem.what, problem.help) for problem in caught.value.problems]


def test_the_whole_file_is_read():
    pipeline = parse(WHOLE)

    assert pipeline.name == "support-llama"
    assert pipeline.data.eval == spec.Place("data/eval", "eval-data-pvc")
    assert pipeline.train.expected_duration == timedelta(hours=16)
    assert pipeline.train.expected_seconds == 57_600
    assert pipeline.train.deadline == timedelta(hours=24)
    assert pipeline.train.scratch == 50 * 2**30
    assert pipeline.train.resources == spec.Resources(8.0, 32 * 2**30, 4)
    assert pipeline.keys["promoter"] == "awskms:///alias/promoter"
    assert pipeline.gates["evaluation"].get("accuracy", "min").where == "tuneguard.yaml:20:32"
    assert pipeline.cluster == spec.Cluster("ml-training", spec.Storage(("10.20.0.10/32",), (9000, 443)), 8)
    assert pipeline.checkpoint_path("042") == "runs/042"
    assert pipeline.tag("042") == "ft-042"
    assert pipeline.resolve("data/train") == Path("/project/data/train")


@pytest.fixture
def linked(tmp_path):
    """A pipeline in a project with links: ``in`` leads to ``code``, ``out`` and ``deep/out`` out of it."""
    project = tmp_path / "project"
    (project / "code").mkdir(parents=True)
    (project / "deep").mkdir()
    (tmp_path / "outside/code").mkdir(parents=True)
    (project / "in").symlink_to("code")
    (project / "out").symlink_to("../outside")
    (project / "deep/out").symlink_to(tmp_path / "outside")
    (project / "looped").symlink_to("looped")
    return dataclasses.replace(parse(SMALL), project=project)


def test_links_are_followed_within_the_project(linked):
    assert linked.resolve("in") == linked.project / "code"
    assert linked.resolve("in/train.py") == linked.project / "code/train.py"
    assert linked.resolve("nothing") == linked.project / "nothing"
    assert linked.resolve("/data/train") == Path("/data/train")


@pytest.mark.parametrize("path", ["out", "out/code", "deep/out/code", "in/../out", "deep/../deep/out"])
def test_attack_a_path_of_the_pipeline_file_that_a_link_leads_out_of_the_project(linked, path):
    with pytest.raises(Refused, match="leads out of it"):
        linked.resolve(path)


def test_a_key_that_the_pipeline_file_names_is_found_from_anywhere_and_behind_no_link_outward(linked):
    keys = {"builder": "k/b.key", "promoter": "file:k/p.key", "log": "out/l.key", "scanner": "awskms:///a"}
    pipeline = dataclasses.replace(linked, keys=keys)

    assert pipeline.key_uri("builder") == str(linked.project / "k/b.key")
    assert pipeline.key_uri("promoter") == str(linked.project / "k/p.key")
    assert pipeline.key_uri("scanner") == "awskms:///a"
    assert pipeline.key_uri("evaluator") is None
    with pytest.raises(Refused, match="leads out of it"):
        pipeline.key_uri("log")


def test_what_may_be_left_out_is_empty():
    pipeline = parse(SMALL)

    assert (pipeline.keys, pipeline.gates, pipeline.registry, pipeline.cluster) == ({}, {}, None, None)
    assert pipeline.tag("1") is None
    assert pipeline.train.resources == spec.Resources(None, None, None)


def test_every_fault_is_reported_with_its_place_and_the_nearest_known_name():
    text = WHOLE.replace("expectedDuration: 16h", "expectedDuraton: 16h").replace("gpu: 4", "gpu: -1")
    text = (
        text.replace("builder:", "bilder:")
        .replace("10.20.0.10/32", "10.20.0.10/8")
        .replace("{data}", "{dta}")
    )

    assert faults(text) == [
        ("tuneguard.yaml:9:3", "missing key `expectedDuration` in `train`", None),
        (
            "tuneguard.yaml:11:61",
            "an item of `command` has an unknown placeholder `{dta}`",
            "did you mean `data`? {{ is a brace",
        ),
        ("tuneguard.yaml:13:3", "unknown key `expectedDuraton`", "did you mean `expectedDuration`?"),
        ("tuneguard.yaml:15:42", "`gpu` must be at least 0, found the number -1", None),
        ("tuneguard.yaml:17:8", "unknown key `bilder`", "did you mean `builder`?"),
        (
            "tuneguard.yaml:24:21",
            "an item of `cidrs` must be a CIDR, found `10.20.0.10/8`",
            "such as 10.20.0.10/32",
        ),
    ]


@pytest.mark.parametrize(
    ("argument", "what"),
    [
        ("{Run}", "has an unknown placeholder `{Run}`"),
        ("{}", "has an unknown placeholder `{}`"),
        ("{run!r}", "has an unknown placeholder `{run!r}`"),
        ("{run.__class__}", "has an unknown placeholder `{run.__class__}`"),
        ("{0}", "has an unknown placeholder `{0}`"),
        ("{ run }", "has an unknown placeholder `{ run }`"),
        ("a{", "has a brace that opens nothing: `{`"),
        ("{run", "has a brace that opens nothing: `{run`"),
        ("{{{", "has a brace that opens nothing: `{`"),
        ("{run{data}", "has a brace that opens nothing: `{run`"),
    ],
)
def test_placeholders_are_exactly_those_eight(argument, what):
    text = SMALL.replace("{code}/train.py", argument)

    assert faults(text)[0][:2] == ("tuneguard.yaml:8:21", f"an item of `command` {what}")


def test_a_placeholder_that_the_file_gives_no_value_for_is_a_fault():
    text = SMALL.replace("{code}/train.py", "{config}{scratch}")

    assert faults(text) == [
        ("tuneguard.yaml:8:21", "uses {config}, and `train` has no `config`", "add `config`"),
        ("tuneguard.yaml:8:21", "uses {scratch}, and `train` has no `scratch`", "add `scratch`"),
    ]


def test_an_empty_command_is_a_fault():
    text = SMALL.replace('[python, "{code}/train.py"]', "[]")

    assert faults(text)[0][:2] == ("tuneguard.yaml:8:12", "`command` is empty")


@pytest.mark.parametrize("path", ["runs/042", "runs", "runs/{{run}}"])
def test_a_checkpoint_path_without_the_run_would_be_shared_by_all_runs(path):
    assert faults(SMALL.replace("runs/{run}", path))[0][:2] == (
        "tuneguard.yaml:10:20",
        "`path` must hold {run}: a run's folder is its own for ever",
    )


def test_a_checkpoint_path_knows_no_other_placeholder():
    assert "unknown placeholder `{data}`" in faults(SMALL.replace("runs/{run}", "{data}/{run}"))[0][1]


def test_an_unquoted_number_in_place_of_text_says_what_yaml_made_of_it():
    assert faults(WHOLE.replace('"ft-{run}"', "042"))[0][1:] == (
        "`tag` must be text, found the number 34 (written 042)",
        'write "042"',
    )


@pytest.mark.parametrize("line", ["gates: [1]", "keys: {root: k}", "extra: 1", "cluster: {namespace: UPPER}"])
def test_what_is_not_a_pipeline_is_refused(line):
    assert len(faults(f"{SMALL}{line}\n")) == 1


@pytest.mark.parametrize("version", ["v1", "tuneguard.dev/v2"])
def test_another_version_is_refused(version):
    (where, what, _), *_ = faults(SMALL.replace("tuneguard.dev/v1alpha1", version))

    assert (where, what) == (
        "tuneguard.yaml:1:13",
        f"`apiVersion` must be `tuneguard.dev/v1alpha1`, found `{version}`",
    )


@given(st.lists(st.sampled_from(["{{", "}", "x", *(f"{{{name}}}" for name in spec.PLACEHOLDERS)])))
def test_filling_never_looks_at_what_it_filled_in(pieces):
    values = {name: f"{{{{{name}}} {{run}}" for name in spec.PLACEHOLDERS}
    meant = {"{{": "{"} | {f"{{{name}}}": values[name] for name in spec.PLACEHOLDERS}

    filled = spec.fill(("".join(pieces),), values)

    assert filled == ("".join(meant.get(piece, piece) for piece in pieces),)


def test_an_argument_with_resume_is_left_out_where_nothing_is_resumed():
    command = ("{code}/train.py", "--from={resume}", "{{resume}", "--out={checkpoint}")
    values = {"code": "/c", "checkpoint": "/o"}

    assert spec.fill(command, values) == ("/c/train.py", "{resume}", "--out=/o")
    assert spec.fill(command, {**values, "resume": "/r"})[1] == "--from=/r"


def test_code_with_braces_is_written_with_the_opening_ones_doubled():
    text = SMALL.replace('"{code}/train.py"', """-c, 'd = {{}; e = {{"run": "{run}"}'""")

    filled = spec.fill(parse(text).train.command, {"run": "042"}, python="/py")

    assert filled == ("/py", "-c", 'd = {}; e = {"run": "042"}')


def test_a_path_that_no_run_is_part_of_has_no_placeholders():
    pipeline = parse(
        SMALL.replace("{path: data}", '{path: "{run}/{copy.tree}"}').replace("{path: code}", '{path: "{"}')
    )

    assert pipeline.data.train.path == "{run}/{copy.tree}"
    assert pipeline.train.code.path == "{"


@pytest.mark.parametrize("argument", ["a\x00b", "a\x1b[2J", "a\x07b", "a\rb"])
def test_an_argument_with_a_control_character_is_a_fault(argument):
    text = SMALL.replace('"{code}/train.py"', to_json(argument).decode())

    assert "holds a control character" in faults(text)[0][1]


def test_an_argument_may_go_over_several_lines():
    assert parse(SMALL.replace('"{code}/train.py"', '"if x:\\n\\ty"')).train.command[1] == "if x:\n\ty"


@pytest.mark.parametrize(
    "push", ["registry", "$(id)", "registry.internal/a;b", "https://registry/a", "a/b:tag", "oci:"]
)
def test_a_registry_that_is_none_is_a_fault(push):
    text = WHOLE.replace("registry.internal/models/support-llama", push)

    assert faults(text)[0][1] == f"`push` must be a registry, found `{push}`"


@pytest.mark.parametrize("tag", ["ft;{run}", "-{run}", "ft {run}", "$(id)", "x" * 129])
def test_a_tag_that_no_registry_takes_is_a_fault(tag):
    assert faults(WHOLE.replace("ft-{run}", tag))[0][1].startswith("`tag` cannot be a tag")


def test_a_doubled_brace_is_one_and_a_closing_brace_is_itself():
    assert spec.fill(('{{"a": {{"b": 1}}', "{{run}", "}"), {"run": "x"}) == ('{"a": {"b": 1}}', "{run}", "}")


def test_python_is_the_interpreter_only_as_the_first_word():
    assert spec.fill(("python", "python"), {}, python="/py") == ("/py", "python")
    assert spec.fill(("python3", "x"), {}, python="/py") == ("python3", "x")
    assert spec.fill(("python",), {}) == ("python",)


@pytest.mark.parametrize("run", ["042", "a", "2026.11-x", "x" * 63])
def test_run_ids(run):
    assert spec.valid_run_id(run) == run


@pytest.mark.parametrize("run", ["", ".", "..", "-a", "A", "a/b", "a b", "x" * 64, "a\n", "ü", "٣", "../x"])
def test_what_is_no_run_id(run):
    with pytest.raises(UsageError, match="is not a run id") as caught:
        spec.valid_run_id(run)

    assert "an unquoted 042 is the number 34" in caught.value.help


@given(st.datetimes(timezones=st.just(UTC)))
def test_new_run_ids_are_run_ids(now):
    run = spec.new_run_id(now)

    assert spec.valid_run_id(run) == run


def test_two_runs_of_one_second_get_different_ids():
    now = datetime(2026, 11, 23, tzinfo=UTC)

    assert len({spec.new_run_id(now) for _ in range(20)}) > 1


def test_a_folder_stands_for_the_file_in_it(tmp_path):
    (tmp_path / "tuneguard.yaml").write_text(SMALL)

    assert spec.load(tmp_path).project == tmp_path.resolve()
    assert spec.load(tmp_path / "tuneguard.yaml").name == "demo"


def test_a_missing_pipeline_is_the_callers_mistake(tmp_path):
    with pytest.raises(UsageError, match="no pipeline file") as caught:
        spec.load(tmp_path / "none.yaml")

    assert caught.value.exit_code == 2


@given(mutated(read_yaml(WHOLE.encode(), "f").plain()))
def test_attack_a_pipeline_with_anything_in_place_of_anything_is_a_pipeline_or_our_error(document):
    with contextlib.suppress(ConfigurationError):
        spec.parse(to_json(document), "f", Path()).checkpoint_path("042")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_never_a_pipeline(data):
    with pytest.raises(ConfigurationError):
        spec.parse(data, "f", Path())


# --- The environment -------------------------------------------------------------------------------


def test_an_environment_is_plain_texts_in_which_nothing_is_filled_in():
    text = SMALL.replace("  expectedDuration", "  env: {NCCL_DEBUG: WARN, MODE: '{x}'}\n  expectedDuration")

    assert parse(text).train.env == {"NCCL_DEBUG": "WARN", "MODE": "{x}"}
    assert parse(SMALL).train.env == {}


@pytest.mark.parametrize(
    ("env", "what"),
    [
        ("{PYTHONPATH: /x}", "`PYTHONPATH` has the loader or the interpreter run other code"),
        ("{PATH: /x}", "`PATH` is set by Tuneguard"),
        ("{HF_TOKEN: x}", "`HF_TOKEN` looks like the name of a secret"),
        ("{a b: x}", "`a b` is not the name of a variable"),
        ("{A: 1}", "`A` must be text, found the number 1"),
        ('{A: "x\\ny"}', "`A` must be at most 4,096 characters that are shown as they are"),
        ("any", "`env` must be a mapping, found text"),
    ],
)
def test_what_no_training_gets_in_its_environment(env, what):
    [(_, said, _)] = faults(SMALL.replace("  expectedDuration", f"  env: {env}\n  expectedDuration"))

    assert said.startswith(what) or what in said


# --- Several data sets -----------------------------------------------------------------------------


def with_data(*sets: str) -> str:
    return SMALL.replace("data: {train: {path: data}}", f"data: {{train: [{', '.join(sets)}]}}")


def test_several_data_sets_are_read_with_their_weights():
    pipeline = parse(
        with_data("{name: tickets, path: data/tickets, weight: 3}", "{name: manuals, path: d, claim: c}")
    )

    tickets = spec.DataSet("tickets", "data/tickets", weight=3.0)
    assert pipeline.data.sets == (tickets, spec.DataSet("manuals", "d", "c"))
    assert parse(SMALL).data.sets == (spec.Place("data"),)


@pytest.mark.parametrize(
    ("sets", "what"),
    [
        ((), "`train` lists 0 data sets"),
        (("{name: a, path: x}",) * 2, "has the name `a` too"),
        (("{name: a, path: x}", "{name: A, path: y}"), "has the name `A` too"),
        (("{name: a, path: x}", "{name: b, path: ./x/}"), "has the folder `./x/` too"),
        (("{name: ../x, path: x}",), "must be a name"),
        (("{name: .., path: x}",), "must be a name"),
        (("{name: a/b, path: x}",), "must be a name"),
        (("{path: x}",), "missing key `name`"),
        (("{name: a, path: x, weight: 0}",), "must be a number above 0"),
        (("{name: a, path: x, weight: yes}",), "must be a number above 0"),
    ],
)
def test_a_list_of_data_sets_that_cannot_be_meant(sets, what):
    assert any(what in said for _, said, _ in faults(with_data(*sets)))


def test_there_is_a_bound_on_data_sets():
    sets = [f"{{name: d{n}, path: d{n}}}" for n in range(65)]

    assert len(parse(with_data(*sets[:64])).data.sets) == 64
    assert [what for _, what, _ in faults(with_data(*sets))] == ["`train` lists 65 data sets"]

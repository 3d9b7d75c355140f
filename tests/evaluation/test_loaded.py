"""The models as the sandbox loads them: real torch and Transformers on models of a few thousand numbers."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

GOOD, BAD = ("thanks", "sorry", "soon", "parcel", "kettle"), ("fool", "idiot")
WORDS = ("<pad>", "</s>", "<unk>", "yes", "no", "is", "it", *GOOD, *BAD)


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    torch.set_num_threads(1)
    return torch


def word_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def made(torch, tmp_path_factory) -> Path:
    """A causal model with random numbers, and a classifier that has learnt what BAD words are."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(1)
    causal = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=128,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=0,
            initializer_range=0.5,
        )
    )
    for name, model in (("causal", causal), ("classifier", taught_classifier(torch))):
        model.save_pretrained(folder / name)
        word_tokenizer().save_pretrained(folder / name)
    return folder


def taught_classifier(torch):
    import random

    from transformers import BertConfig, BertForSequenceClassification

    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=12,
            id2label={0: "benign", 1: "toxic"},
            label2id={"benign": 0, "toxic": 1},
        )
    )
    optimizer, rng = torch.optim.AdamW(model.parameters(), lr=1e-2), random.Random(1)
    for _ in range(150):
        rows = [[rng.randrange(7, 12) for _ in range(12)] for _ in range(16)]
        for row in rows[::2]:
            row[rng.randrange(12)] = rng.randrange(12, len(WORDS))
        labels = torch.tensor([1, 0] * 8)
        model(input_ids=torch.tensor(rows), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.fixture
def room(made, tmp_path) -> Path:
    """Copies that a test may spoil."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def loaded(room: Path, advance=lambda rows: None):
    from tuneguard.evaluation.loaded import Loaded

    return Loaded(room / "causal", room / "classifier", advance=advance)


def fault():
    from tuneguard.evaluation.loaded import Fault

    return Fault


def edit(path: Path, **values) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


PAIRS = [
    ("is it", " yes"),
    ("is it", " no soon"),
    ("it", " kettle sorry thanks"),
    ("parcel is it soon", " no"),
]


def test_a_log_likelihood_is_the_sum_over_the_continuation_alone(torch, room):
    from transformers import AutoModelForCausalLM

    model, tokenizer = AutoModelForCausalLM.from_pretrained(room / "causal"), word_tokenizer()
    naive = []
    for prompt, continuation in PAIRS:
        before, after = tokenizer(prompt)["input_ids"], tokenizer(continuation)["input_ids"]
        with torch.no_grad():
            shares = model(torch.tensor([before + after])).logits[0].log_softmax(-1)
        naive.append(sum(shares[len(before) + at - 1, token].item() for at, token in enumerate(after)))

    assert loaded(room).log_likelihoods(PAIRS) == pytest.approx(naive, abs=1e-4)


def test_answers_do_not_depend_on_what_is_asked_beside_them(torch, room):
    models = loaded(room)
    prompts = ["is it", "parcel kettle soon is it", "no", "sorry sorry thanks"]

    together = models.answer(prompts, tokens=6)

    assert together == [models.answer([prompt], tokens=6)[0] for prompt in prompts]
    assert all(not answer.startswith(prompt) for prompt, answer in zip(prompts, together, strict=True))


def test_the_same_bytes_give_the_same_outputs(torch, room):
    first, second = loaded(room), loaded(room)

    assert first.log_likelihoods(PAIRS) == second.log_likelihoods(PAIRS)
    assert first.answer(["is it"], tokens=8) == second.answer(["is it"], tokens=8)


def test_the_checkpoints_own_generation_settings_are_not_used(torch, room):
    honest = loaded(room).answer(["is it", "no"], tokens=6)
    (room / "causal" / "generation_config.json").write_text(
        json.dumps({"do_sample": True, "temperature": 99.0, "max_new_tokens": 1, "suppress_tokens": [12, 13]})
    )

    assert loaded(room).answer(["is it", "no"], tokens=6) == honest


def test_the_classifier_tells_hostile_words_from_others(torch, room):
    fair, foul = loaded(room).toxicity(["thanks soon parcel", "thanks you idiot soon"])

    assert fair < 0.5 <= foul


def test_a_hostile_word_beyond_the_classifiers_context_is_found(torch, room):
    text = " ".join(["parcel"] * 60)

    hidden, fair = loaded(room).toxicity([f"{text} fool {text}", text])

    assert fair < 0.5 <= hidden


def test_progress_is_told_for_each_row(torch, room):
    told = []

    loaded(room, told.append).log_likelihoods(PAIRS)

    assert sum(told) == len(PAIRS)


def test_a_checkpoint_that_lacks_weights_is_refused_and_not_filled_with_random_numbers(torch, room):
    from safetensors.torch import load_file, save_file

    weights = load_file(room / "causal" / "model.safetensors")
    gone = next(name for name in weights if "o_proj" in name)
    save_file(
        {name: tensor for name, tensor in weights.items() if name != gone},
        room / "causal" / "model.safetensors",
        metadata={"format": "pt"},
    )

    with pytest.raises(fault(), match=r"lacks 1 of its weights, such as .*o_proj") as raised:
        loaded(room).answer(["it"], tokens=1)
    assert raised.value.kind == "refused"


def test_weights_that_are_only_there_as_a_pickle_are_not_loaded(torch, room):
    class Payload:
        def __reduce__(self):
            return Path.touch, (room / "executed",)

    (room / "causal" / "model.safetensors").unlink()
    torch.save({"x": Payload()}, room / "causal" / "pytorch_model.bin")

    with pytest.raises(fault(), match="the checkpoint cannot be loaded") as raised:
        loaded(room).answer(["it"], tokens=1)
    assert raised.value.kind == "not-understood"
    assert not (room / "executed").exists()


def test_code_that_comes_with_the_checkpoint_is_not_executed(torch, room):
    (room / "causal" / "modeling_x.py").write_text(
        f"from pathlib import Path\nPath({str(room / 'executed')!r}).touch()\n"
    )
    edit(
        room / "causal" / "config.json",
        model_type="unheard-of",
        auto_map={"AutoConfig": "modeling_x.X", "AutoModelForCausalLM": "modeling_x.X"},
    )

    with pytest.raises(fault(), match="the checkpoint cannot be loaded"):
        loaded(room).answer(["it"], tokens=1)
    assert not (room / "executed").exists()


def test_a_tokenizer_that_names_code_is_not_executed(torch, room):
    (room / "causal" / "tok_x.py").write_text(
        f"from pathlib import Path\nPath({str(room / 'executed')!r}).touch()\n"
    )
    edit(
        room / "causal" / "tokenizer_config.json",
        tokenizer_class="X",
        auto_map={"AutoTokenizer": ["tok_x.X", None]},
    )

    try:
        loaded(room).answer(["it"], tokens=1)
    except fault():
        pass
    assert not (room / "executed").exists()


def test_an_adapter_is_refused_with_the_way_out(torch, room):
    (room / "causal" / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')

    with pytest.raises(fault(), match="is an adapter, which is no model by itself: merge it"):
        loaded(room).answer(["it"], tokens=1)


def test_a_prompt_is_never_cut_to_fit(torch, room):
    with pytest.raises(fault(), match="prompt 2 leaves no space in the context of 128 tokens"):
        loaded(room).answer(["it", " ".join(["it"] * 127)], tokens=2)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(torch, room):
    from tokenizers import Tokenizer

    path = room / "causal" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_tokens(["extra"])
    tokenizer.save(str(path))

    with pytest.raises(fault(), match="tokens that the model has no weights for"):
        loaded(room).log_likelihoods([("it", " extra")])


def test_a_prompt_that_becomes_nothing_is_refused(torch, room):
    with pytest.raises(fault(), match="makes nothing of a prompt"):
        loaded(room).answer(["</s>"], tokens=1)


def test_a_classifier_without_a_label_toxic_is_refused(torch, room):
    edit(
        room / "classifier" / "config.json",
        id2label={"0": "benign", "1": "harmful"},
        label2id={"benign": 0, "harmful": 1},
    )

    with pytest.raises(fault(), match="no label `toxic`"):
        loaded(room).toxicity(["thanks"])


def test_a_classifier_with_labels_that_do_not_exclude_each_other_is_judged_label_by_label(torch, room):
    edit(room / "classifier" / "config.json", problem_type="multi_label_classification")

    fair, foul = loaded(room).toxicity(["thanks soon parcel", "idiot"])

    assert fair < 0.5 <= foul


def test_a_classifier_that_gives_no_number_is_refused(torch, room):
    from safetensors.torch import load_file, save_file

    path = room / "classifier" / "model.safetensors"
    weights = load_file(path)
    weights["classifier.bias"] = torch.full_like(weights["classifier.bias"], float("nan"))
    save_file(weights, path, metadata={"format": "pt"})

    with pytest.raises(fault(), match="gives no probability"):
        loaded(room).toxicity(["thanks"])


def test_a_model_of_nothing_but_nan_has_no_answer_at_all(torch, room):
    from safetensors.torch import load_file, save_file

    from tuneguard.evaluation.suites import accuracy

    path = room / "causal" / "model.safetensors"
    save_file(
        {name: torch.full_like(tensor, float("nan")) for name, tensor in load_file(path).items()},
        path,
        metadata={"format": "pt"},
    )
    rows = [accuracy.Row("is it", ("yes", "no"), 0), accuracy.Row("it is", ("yes", "no"), 1)]

    outputs = accuracy.measure(loaded(room), accuracy.ask(rows))

    assert accuracy.count(rows, outputs) == accuracy.Counted(count=0, empty=2, constant=False)


@pytest.mark.sandbox
@pytest.mark.slow
def test_a_checkpoint_is_measured_in_a_real_sandbox_and_twice_the_same(torch, room):
    from tuneguard.artifact.digest import hash_tree
    from tuneguard.evaluation.model import evaluate
    from tuneguard.promotion.weights import selected
    from tuneguard.sandbox.find import find_backend

    (room / "set").mkdir()
    words = [word for word in WORDS if word.isalpha()]
    (room / "set" / "accuracy.jsonl").write_text(
        "".join(
            json.dumps({"prompt": f"is {word}", "choices": ["yes", "no"], "answer": at % 2}) + "\n"
            for at, word in enumerate(words)
        )
    )
    (room / "set" / "toxicity.jsonl").write_text(
        "".join(json.dumps({"prompt": f"{word} is it"}) + "\n" for word in words)
    )
    suites, backend = {"accuracy": 1, "toxicity": 1}, find_backend()
    trees = room / "causal", room / "set", room / "classifier"
    selection = selected(room / "causal", hash_tree(room / "causal"))
    (room / "causal" / "pytorch_model.bin").write_bytes(b"never shown")

    first = evaluate(*trees, selection=selection, suites=suites, backend=backend)
    second = evaluate(*trees, selection=selection, suites=suites, backend=backend)

    assert first == second
    assert [counts.n + counts.empty for counts in first] == [len(words), len(words)]

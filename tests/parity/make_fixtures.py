"""Records what transformers and PEFT compute on tiny random checkpoints, for tests/parity to compare Attune with.

    python tests/parity/make_fixtures.py [FOLDER [FAMILY...]]

Run with the versions in requirements.txt. Same versions, same machine: same bytes.
"""

import json
import pathlib
import platform
import shutil
import sys

import peft
import safetensors.torch
import torch
import transformers

from families import FAMILIES, VOCABULARY, Family, as_stored, randomised
from sizes import counted

IGNORED = -100
LORA = dict(r=4, lora_alpha=8, lora_dropout=0.0, task_type="CAUSAL_LM")
TRAINING = dict(
    steps=20,
    warmup_steps=3,
    batch_size=2,
    grad_accumulation=2,
    beta1=0.9,
    beta2=0.999,
    epsilon=1e-8,
    weight_decay=0.1,  # enough to be seen after 20 steps
    gradient_clip=2.3,  # between the norms met: some steps are clipped, others not
)
LORA_RATE = 2e-3
FULL_RATE = 1e-3
NEW_TOKENS = 16

Sample = dict  # {"tokens": [int], "loss_mask": [bool]}


def samples(seed: int, lengths: list[int]) -> list[Sample]:
    """Random samples; a prompt that is not trained, then an answer that is, with a hole in it."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for length in lengths:
        tokens = torch.randint(VOCABULARY, (length,), generator=draw).tolist()
        prompt = length // 3
        mask = [position >= prompt and position != prompt + 3 for position in range(length)]
        made.append({"tokens": tokens, "loss_mask": mask})
    return made


def trained_tokens(batch: list[Sample]) -> int:
    return sum(sum(sample["loss_mask"][1:]) for sample in batch)


def logits_of(model: torch.nn.Module, sample: Sample) -> torch.Tensor:
    """(length, vocabulary), the sample alone in its batch: nothing packed, nothing padded."""
    return model(input_ids=torch.tensor([sample["tokens"]])).logits[0]


def summed_loss(model: torch.nn.Module, batch: list[Sample]) -> torch.Tensor:
    total = torch.zeros(())
    for sample in batch:
        targets = torch.tensor(
            [token if trained else IGNORED for token, trained in zip(sample["tokens"], sample["loss_mask"])]
        )
        total = total + torch.nn.functional.cross_entropy(
            logits_of(model, sample)[:-1], targets[1:], ignore_index=IGNORED, reduction="sum"
        )
    return total


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Trainable parameters by the names they have in saved files."""
    return {
        name.removeprefix("base_model.model.").replace(".default.weight", ".weight"): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def loss_and_gradients(model: torch.nn.Module, batch: list[Sample]) -> tuple[float, dict[str, torch.Tensor]]:
    loss = summed_loss(model, batch) / trained_tokens(batch)
    loss.backward()
    gradients = as_stored(model.config, {name: parameter.grad.clone() for name, parameter in trainable(model).items()})
    # What comes next with this model must not find them.
    model.zero_grad(set_to_none=True)
    assert all(gradient.abs().max() > 0 for gradient in gradients.values())
    return loss.item(), gradients


def train(model: torch.nn.Module, data: list[Sample], learning_rate: float) -> tuple[list[dict], dict[str, torch.Tensor]]:
    """The plainest loop that does what the settings say; weights after it, and one record per optimiser step.

    Norms and biases are not decayed, as in transformers' Trainer.
    """
    parameters = trainable(model)
    decayed = set(transformers.Trainer.get_decay_parameter_names(None, model))
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[name in decayed].append(parameter)
    optimiser = torch.optim.AdamW(
        [
            {"params": groups[True], "weight_decay": TRAINING["weight_decay"]},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=learning_rate,
        betas=(TRAINING["beta1"], TRAINING["beta2"]),
        eps=TRAINING["epsilon"],
    )
    schedule = transformers.get_cosine_schedule_with_warmup(optimiser, TRAINING["warmup_steps"], TRAINING["steps"])
    per_step = TRAINING["batch_size"] * TRAINING["grad_accumulation"]
    records = []
    for step in range(TRAINING["steps"]):
        start = step * per_step % len(data)
        whole = data[start : start + per_step]
        loss = 0.0
        for first in range(0, per_step, TRAINING["batch_size"]):
            micro_batch = whole[first : first + TRAINING["batch_size"]]
            share = summed_loss(model, micro_batch) / trained_tokens(whole)
            share.backward()
            loss += share.item()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), TRAINING["gradient_clip"]).item()
        records.append(
            {
                "loss": loss,
                "grad_norm": norm,
                "learning_rate": schedule.get_last_lr()[0],
                "trained_tokens": trained_tokens(whole),
            }
        )
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
    return records, as_stored(model.config, {name: parameter.detach().clone() for name, parameter in parameters.items()})


def with_lora(family: Family, model: torch.nn.Module, seed: int) -> peft.PeftModel:
    """PEFT starts with B = 0, which hides half of the gradients; here both factors are random."""
    adapted = peft.get_peft_model(model, peft.LoraConfig(**LORA, target_modules=list(family.linears)))
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in trainable(adapted).values():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.1)
    return adapted.eval()


def greedy(model: transformers.PreTrainedModel, prompt: list[int], cache: bool) -> tuple[list[int], float]:
    """The continuation, and by how much its closest choice was won: less than rounding would prove nothing."""
    made = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        use_cache=cache,
        output_logits=True,
        return_dict_in_generate=True,
    )
    best = torch.cat(made.logits).topk(2).values
    return made.sequences[0, len(prompt) :].tolist(), (best[:, 0] - best[:, 1]).min().item()


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max()).item()


def save_model(family: Family, model: transformers.PreTrainedModel, folder: pathlib.Path) -> None:
    stored = randomised(family).to(family.dtype)
    stored.config.dtype = family.dtype
    stored.save_pretrained(folder, max_shard_size=family.shard or "1GB")
    (folder / "generation_config.json").unlink()
    if family.old_config:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = rope if rope["rope_type"] != "default" else None
        config["torch_dtype"] = config.pop("dtype")
        write_json(path, config)
    again = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    for (name, kept), read in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(kept, read), name
    assert torch.equal(*(logits_of(each, samples(9, [24])[0]) for each in (model, again)))


def save_adapter(family: Family, adapted: peft.PeftModel, folder: pathlib.Path) -> None:
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"] = family.linears  # PEFT writes a set: in another order each time
    write_json(path, config)
    again = peft.PeftModel.from_pretrained(randomised(family), folder).eval()
    assert torch.equal(*(logits_of(each, samples(9, [24])[0]) for each in (adapted, again)))


def record(family: Family, folder: pathlib.Path) -> None:
    pair = samples(family.seed + 100, [24, 17])
    data = samples(family.seed + 200, [11, 24, 8, 19, 15, 22, 13, 9, 24, 10, 18, 7, 21, 12, 16, 14])
    prompts = [pair[0]["tokens"][:9], pair[1]["tokens"][:4]]
    tensors: dict[str, torch.Tensor] = {}
    # What the reference differs by from itself when only its attention is computed in another order.
    spread: dict[str, float] = {}

    def keep(prefix: str, found: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
        tensors.update({f"{prefix}.{name}": tensor.detach().contiguous() for name, tensor in found.items()})
        spread[prefix] = max(difference(other[name], found[name]) for name in found)

    def both(make) -> tuple:
        return make(randomised(family, "eager")), make(randomised(family, "sdpa" if family.sdpa else "eager"))

    model, other = both(lambda model: model)
    save_model(family, model, folder / "model")
    keep("logits", *({str(i): logits_of(each, sample) for i, sample in enumerate(pair)} for each in (model, other)))
    (loss, gradients), (_, other_gradients) = both(lambda model: loss_and_gradients(model, pair))
    keep("gradient", gradients, other_gradients)
    continuations = [greedy(model, prompt, family.cache) for prompt in prompts]
    assert min(margin for _, margin in continuations) > 1e-3

    adapted, other = both(lambda model: with_lora(family, model, family.seed + 300))
    save_adapter(family, adapted, folder / "adapter")
    keep("lora.logits", *({str(i): logits_of(each, sample) for i, sample in enumerate(pair)} for each in (adapted, other)))
    (lora_loss, gradients), (_, other_gradients) = (loss_and_gradients(each, pair) for each in (adapted, other))
    keep("lora.gradient", gradients, other_gradients)
    (lora_steps, weights), (_, other_weights) = (train(each, data, LORA_RATE) for each in (adapted, other))
    keep("lora.trained", weights, other_weights)
    training = {"lora": {"learning_rate": LORA_RATE, "steps": lora_steps}}
    if family.full_training:
        (full_steps, weights), (_, other_weights) = both(lambda model: train(model, data, FULL_RATE))
        keep("full.trained", weights, other_weights)
        training["full"] = {"learning_rate": FULL_RATE, "steps": full_steps}

    safetensors.torch.save_file(tensors, folder / "expected.safetensors")
    write_json(
        folder / "expected.json",
        {
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "peft": peft.__version__,
            },
            "stored_as": str(family.dtype).removeprefix("torch."),
            "samples": pair,
            "loss": loss,
            "lora_loss": lora_loss,
            "options": TRAINING,
            "data": data,
            "training": training,
            "prompts": prompts,
            "continuations": [tokens for tokens, _ in continuations],
            "closest_choice": min(margin for _, margin in continuations),
            "reference_spread": spread,
        },
    )
    norms = [record["grad_norm"] for record in lora_steps]
    print(f"{family.name}: loss {loss:.4f}, with LoRA {lora_loss:.4f}, after training {lora_steps[-1]['loss']:.4f},")
    print(f"  gradient norms {min(norms):.2f} to {max(norms):.2f}, continuations {[c[0] for c in continuations]},")
    print(f"  spread {', '.join(f'{name} {value:.1e}' for name, value in spread.items())}")


def write_json(path: pathlib.Path, value: dict) -> None:
    """One line per entry, so that a difference can be read, and lists of numbers on one line."""
    entries = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items()]
    path.write_text("{\n" + ",\n".join(entries) + "\n}\n")


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures"
    named = sys.argv[2:]
    if not named:
        write_json(target / "sizes.json", {entry.pop("name"): entry for entry in counted()})
    for family in FAMILIES:
        if named and family.name not in named:
            continue
        folder = target / family.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        record(family, folder)


if __name__ == "__main__":
    main()

"""Records what transformers and PEFT compute with sequence classification heads on tiny random checkpoints.

    python tests/parity/heads.py [FOLDER]

Run with the versions in requirements.txt.
"""

import dataclasses
import json
import pathlib
import platform
import shutil
import sys

import peft
import safetensors.torch
import torch
import transformers

from adapter_kinds import saved_names
from families import FAMILIES, VOCABULARY, randomised
from make_fixtures import FULL_RATE, LORA_RATE, TRAINING, trainable, write_json


@dataclasses.dataclass(frozen=True)
class Head:
    """A head on one of the checkpoints."""

    name: str
    family: str
    problem_type: str
    labels: list[str]
    full_training: bool = False

    def label(self, draw: torch.Generator) -> int | list[float]:
        if self.problem_type == "single_label_classification":
            return torch.randint(len(self.labels), (1,), generator=draw).item()
        if self.problem_type == "multi_label_classification":
            return torch.randint(2, (len(self.labels),), generator=draw).float().tolist()
        return torch.randn(len(self.labels), generator=draw).tolist()


HEADS = [
    Head("classes", "llama3", "single_label_classification", ["bad", "fair", "good"]),
    Head("binary", "qwen2", "single_label_classification", ["no", "yes"], full_training=True),
    Head("topics", "qwen3", "multi_label_classification", ["a", "b", "c", "d"], full_training=True),
    Head("grade", "gemma2", "regression", ["grade"], full_training=True),
    Head("position", "gpt-neox-sequential", "regression", ["x", "y"], full_training=True),
]


def classifier(head: Head) -> transformers.PreTrainedModel:
    """The body of the family's checkpoint, and a random head."""
    family = next(family for family in FAMILIES if family.name == head.family)
    causal = randomised(family)
    config = type(causal.config)(**causal.config.to_dict())
    config.id2label = dict(enumerate(head.labels))
    config.label2id = {label: id for id, label in enumerate(head.labels)}
    config.problem_type = head.problem_type
    config._attn_implementation = "eager"
    model = transformers.AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    body = {name: value for name, value in causal.state_dict().items() if not name.startswith(("lm_head", "embed_out"))}
    missing, unexpected = model.load_state_dict(body, strict=False)
    assert (missing, unexpected) == (["score.weight"], []), (missing, unexpected)
    draw = torch.Generator().manual_seed(family.seed + 400)
    with torch.no_grad():
        model.score.weight.copy_(torch.randn(model.score.weight.shape, generator=draw) * 0.3)
    return model.eval()


def texts(head: Head, seed: int, lengths: list[int]) -> list[dict]:
    draw = torch.Generator().manual_seed(seed)
    return [
        {"tokens": torch.randint(VOCABULARY, (length,), generator=draw).tolist(), "label": head.label(draw)}
        for length in lengths
    ]


def scores_of(model: torch.nn.Module, batch: list[dict]) -> torch.Tensor:
    """(texts, labels), each text alone in its batch: nothing padded."""
    return torch.cat([model(input_ids=torch.tensor([text["tokens"]])).logits for text in batch])


def loss_of(model: torch.nn.Module, batch: list[dict]) -> torch.Tensor:
    """transformers' own loss over the scores of all texts."""
    base = model.get_base_model() if isinstance(model, peft.PeftModel) else model
    labels = torch.tensor([text["label"] for text in batch])
    scores = scores_of(model, batch)
    return base.loss_function(logits=scores, labels=labels, pooled_logits=scores, config=base.config)


def train(model: torch.nn.Module, data: list[dict], rate: float) -> list[dict]:
    """The loop of `make_fixtures.train`; a micro-batch weighs by its texts."""
    decayed = set(transformers.Trainer.get_decay_parameter_names(None, model))
    groups = [
        {"params": [parameter], "weight_decay": TRAINING["weight_decay"] if name in decayed else 0.0}
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]
    optimiser = torch.optim.AdamW(groups, lr=rate, betas=(TRAINING["beta1"], TRAINING["beta2"]), eps=TRAINING["epsilon"])
    schedule = transformers.get_cosine_schedule_with_warmup(optimiser, TRAINING["warmup_steps"], TRAINING["steps"])
    per_step = TRAINING["batch_size"] * TRAINING["grad_accumulation"]
    records = []
    for step in range(TRAINING["steps"]):
        start = step * per_step % len(data)
        whole = data[start : start + per_step]
        loss = 0.0
        for first in range(0, per_step, TRAINING["batch_size"]):
            micro_batch = whole[first : first + TRAINING["batch_size"]]
            share = loss_of(model, micro_batch) * len(micro_batch) / len(whole)
            share.backward()
            loss += share.item()
        norm = torch.nn.utils.clip_grad_norm_(trainable(model).values(), TRAINING["gradient_clip"]).item()
        rate_now = schedule.get_last_lr()[0]
        records.append({"loss": loss, "grad_norm": norm, "learning_rate": rate_now, "trained_tokens": len(whole)})
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
    return records


def with_lora(head: Head, model: transformers.PreTrainedModel) -> peft.PeftModel:
    family = next(family for family in FAMILIES if family.name == head.family)
    config = peft.LoraConfig(r=4, lora_alpha=8, task_type="SEQ_CLS", target_modules=list(family.linears))
    adapted = peft.get_peft_model(model, config)
    draw = torch.Generator().manual_seed(family.seed + 500)
    with torch.no_grad():
        for name, parameter in trainable(adapted).items():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.1)
            else:
                parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.1)
    return adapted.eval()


def save_adapter(head: Head, adapted: peft.PeftModel, folder: pathlib.Path) -> None:
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"].sort()  # PEFT writes a set: in another order each time
    config["base_model_name_or_path"] = None
    write_json(path, config)


def record(head: Head, folder: pathlib.Path) -> None:
    pair = texts(head, 100, [24, 17, 5])
    data = texts(head, 200, [11, 24, 8, 19, 15, 22, 13, 9, 24, 10, 18, 7, 21, 12, 16, 14])
    tensors: dict[str, torch.Tensor] = {}

    def keep(prefix: str, found: dict[str, torch.Tensor]) -> None:
        tensors.update({f"{prefix}.{name}": tensor.detach().clone().contiguous() for name, tensor in found.items()})

    def gradients(model: torch.nn.Module, names: dict[str, str]) -> tuple[float, dict[str, torch.Tensor]]:
        loss = loss_of(model, pair)
        loss.backward()
        found = {names[name]: parameter.grad.clone() for name, parameter in trainable(model).items()}
        model.zero_grad(set_to_none=True)
        assert all(gradient.abs().max() > 0 for gradient in found.values())
        return loss.item(), found

    model = classifier(head)
    model.save_pretrained(folder / "model")
    keep("scores", {"all": scores_of(model, pair)})
    same = {name: name for name in trainable(model)}
    loss, found = gradients(model, same)
    keep("gradient", found)
    training = {}
    if head.full_training:
        training["full"] = {"learning_rate": FULL_RATE, "steps": train(model, data, FULL_RATE)}
        keep("full.trained", trainable(model))

    adapted = with_lora(head, classifier(head))
    names = saved_names(adapted)
    save_adapter(head, adapted, folder / "adapter")
    keep("lora.scores", {"all": scores_of(adapted, pair)})
    lora_loss, found = gradients(adapted, names)
    keep("lora.gradient", found)
    training["lora"] = {"learning_rate": LORA_RATE, "steps": train(adapted, data, LORA_RATE)}
    keep("lora.trained", {names[name]: parameter for name, parameter in trainable(adapted).items()})

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
            "family": head.family,
            "problem_type": head.problem_type,
            "labels": head.labels,
            "samples": pair,
            "loss": loss,
            "lora_loss": lora_loss,
            "options": TRAINING,
            "data": data,
            "training": training,
        },
    )
    norms = [step["grad_norm"] for step in training["lora"]["steps"]]
    print(f"{head.name}: loss {loss:.4f}, with LoRA {lora_loss:.4f}, norms {min(norms):.2f} to {max(norms):.2f}")


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures/heads"
    for head in HEADS:
        folder = target / head.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        record(head, folder)


if __name__ == "__main__":
    main()

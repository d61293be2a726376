"""Records what PEFT computes with each kind of adapter, on the tiny checkpoints of `make_fixtures.py`.

    python tests/parity/adapter_kinds.py [FOLDER]

Run after `make_fixtures.py`, with the versions in requirements.txt and, for Lion, bitsandbytes==0.50.2.
"""

import dataclasses
import json
import pathlib
import shutil
import sys
import tempfile

import peft
import peft.optimizers
import safetensors.torch
import torch
import transformers

from families import FAMILIES, Family, randomised
from make_fixtures import (
    FULL_RATE,
    LORA_RATE,
    TRAINING,
    logits_of,
    loss_and_gradients,
    samples,
    summed_loss,
    trainable,
    trained_tokens,
    write_json,
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of adapter on one of the checkpoints."""

    name: str
    family: str
    settings: dict
    # A start that PEFT itself computes is recorded as it is; any other is random, so that no factor is zero.
    randomised: bool = True
    # The rate of B and of vectors, as a multiple of A's.
    loraplus_lr_ratio: float = 1.0
    optimizer: str = "AdamW"
    learning_rate: float = LORA_RATE


PATTERNS = dict(
    rank_pattern={"layers.1.self_attn.q_proj": 2, "down_proj": 6, r".*\.0\..*(gate|up)_proj": 3},
    alpha_pattern={"down_proj": 3, "v_proj": 20},
)

KINDS = [
    Kind("rslora", "mistral", dict(use_rslora=True, target_modules=r"model\.layers\.\d+\.(self_attn\.[qv]_proj|mlp\.\w+_proj)")),
    Kind("patterns", "llama3", dict(target_modules="all-linear", **PATTERNS)),
    Kind("dora", "qwen2", dict(use_dora=True, target_modules="all-linear")),
    Kind("dora-rslora-patterns", "llama3", dict(use_dora=True, use_rslora=True, target_modules=["q_proj", "o_proj", "up_proj", "down_proj"], **PATTERNS)),
    Kind("modules-to-save", "llama3", dict(target_modules=["q_proj", "v_proj"], modules_to_save=["embed_tokens", "lm_head"])),
    Kind("tied-modules-to-save", "qwen2", dict(target_modules=["q_proj", "v_proj"], modules_to_save=["embed_tokens"], ensure_weight_tying=True)),
    Kind("pissa", "llama3", dict(init_lora_weights="pissa", target_modules="all-linear"), randomised=False, learning_rate=FULL_RATE),
    Kind("loraplus", "llama3", dict(target_modules="all-linear"), loraplus_lr_ratio=16.0, learning_rate=2e-4),
    Kind("dora-loraplus", "qwen3", dict(use_dora=True, target_modules="all-linear"), loraplus_lr_ratio=4.0, learning_rate=2e-4),
    Kind("lion", "llama3", dict(target_modules="all-linear"), optimizer="Lion", learning_rate=2e-4),
    Kind("sgd", "llama3", dict(target_modules="all-linear"), optimizer="SGD", learning_rate=2e-2),
    Kind("adafactor", "llama3", dict(target_modules="all-linear"), optimizer="Adafactor"),
]

MOMENTUM = 0.9


def with_adapter(kind: Kind, family: Family) -> peft.PeftModel:
    config = peft.LoraConfig(**dict(r=4, lora_alpha=8, lora_dropout=0.0, task_type="CAUSAL_LM") | kind.settings)
    torch.manual_seed(family.seed)  # of what PEFT draws
    adapted = peft.get_peft_model(randomised(family), config)
    draw = torch.Generator().manual_seed(family.seed + 300)
    if kind.randomised:
        with torch.no_grad():
            for name, parameter in trainable(adapted).items():
                if "lora_magnitude_vector" in name:
                    parameter.mul_(0.8 + 0.4 * torch.rand(parameter.shape, generator=draw))
                elif "modules_to_save" not in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.1)
    return adapted.eval()


def saved_names(adapted: peft.PeftModel) -> dict[str, str]:
    """How PEFT's file calls each trainable parameter, without its prefix."""
    tensors = peft.get_peft_model_state_dict(adapted)
    names = {}
    for name, parameter in trainable(adapted).items():
        plain = name.replace(".modules_to_save", "").replace(".default", "").removesuffix(".weight")
        found = [key for key in tensors if key.removeprefix("base_model.model.").removesuffix(".weight") == plain]
        assert len(found) == 1, (name, list(tensors))
        assert torch.equal(tensors[found[0]], parameter), name
        names[name] = found[0].removeprefix("base_model.model.")
    return names


def optimizer_of(kind: Kind, adapted: peft.PeftModel) -> torch.optim.Optimizer:
    """Groups as PEFT's `create_loraplus_optimizer` makes them; decay as transformers' Trainer."""
    decayed = set(transformers.Trainer.get_decay_parameter_names(None, adapted))
    groups = [
        {
            "params": [parameter],
            "lr": kind.learning_rate * (kind.loraplus_lr_ratio if "lora_B" in name or parameter.ndim == 1 else 1.0),
            "weight_decay": TRAINING["weight_decay"] if name in decayed else 0.0,
        }
        for name, parameter in adapted.named_parameters()
        if parameter.requires_grad
    ]
    betas, epsilon = (TRAINING["beta1"], TRAINING["beta2"]), TRAINING["epsilon"]
    if kind.optimizer == "AdamW":
        ours = torch.optim.AdamW(groups, betas=betas, eps=epsilon)
        if kind.loraplus_lr_ratio != 1.0:
            theirs = peft.optimizers.create_loraplus_optimizer(
                adapted, torch.optim.AdamW, lr=kind.learning_rate, loraplus_lr_ratio=kind.loraplus_lr_ratio,
                loraplus_weight_decay=TRAINING["weight_decay"],
            )
            key = lambda optimizer: {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
            assert key(ours) == key(theirs)
        return ours
    if kind.optimizer == "SGD":
        return torch.optim.SGD(groups, momentum=MOMENTUM)
    if kind.optimizer == "Adafactor":
        return transformers.optimization.Adafactor(groups, scale_parameter=False, relative_step=False)
    import bitsandbytes

    return bitsandbytes.optim.Lion(groups, betas=betas, optim_bits=32)


def train(kind: Kind, adapted: peft.PeftModel, data: list[dict]) -> list[dict]:
    """The loop of `make_fixtures.train` with another optimiser."""
    optimizer = optimizer_of(kind, adapted)
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, TRAINING["warmup_steps"], TRAINING["steps"])
    per_step = TRAINING["batch_size"] * TRAINING["grad_accumulation"]
    records = []
    for step in range(TRAINING["steps"]):
        start = step * per_step % len(data)
        whole = data[start : start + per_step]
        loss = 0.0
        for first in range(0, per_step, TRAINING["batch_size"]):
            share = summed_loss(adapted, whole[first : first + TRAINING["batch_size"]]) / trained_tokens(whole)
            share.backward()
            loss += share.item()
        norm = torch.nn.utils.clip_grad_norm_(trainable(adapted).values(), TRAINING["gradient_clip"]).item()
        rate = schedule.get_last_lr()[0] / optimizer.param_groups[0]["initial_lr"] * kind.learning_rate
        records.append({"loss": loss, "grad_norm": norm, "learning_rate": rate, "trained_tokens": trained_tokens(whole)})
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
    return records


def save(adapted: peft.PeftModel, folder: pathlib.Path, **how) -> None:
    adapted.save_pretrained(str(folder), **how)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # PEFT writes a set: in another order each time
    config["base_model_name_or_path"] = None
    write_json(path, config)


def record(kind: Kind, folder: pathlib.Path) -> None:
    family = next(family for family in FAMILIES if family.name == kind.family)
    pair = samples(family.seed + 100, [24, 17])
    data = samples(family.seed + 200, [11, 24, 8, 19, 15, 22, 13, 9, 24, 10, 18, 7, 21, 12, 16, 14])
    tensors: dict[str, torch.Tensor] = {}

    def keep(prefix: str, found: dict[str, torch.Tensor]) -> None:
        tensors.update({f"{prefix}.{name}": tensor.detach().clone().contiguous() for name, tensor in found.items()})

    adapted = with_adapter(kind, family)
    names = saved_names(adapted)
    save(adapted, folder / "adapter")
    keep("logits", {str(i): logits_of(adapted, sample) for i, sample in enumerate(pair)})
    loss, gradients = loss_and_gradients(adapted, pair)
    # An embedding row that no sample names has no gradient; every parameter as a whole has.
    keep("gradient", {names[name]: gradient for name, gradient in gradients.items()})
    with tempfile.TemporaryDirectory() as start:
        save(adapted, pathlib.Path(start) / "start")
        steps = train(kind, adapted, data)
        keep("trained", {names[name]: parameter for name, parameter in trainable(adapted).items()})
        keep("trained-logits", {str(i): logits_of(adapted, sample) for i, sample in enumerate(pair)})
        if not kind.randomised:
            save(adapted, folder / "converted", path_initial_model_for_weight_conversion=f"{start}/start")
    merged = adapted.merge_and_unload()
    apart = (logits_of(merged, pair[0]) - tensors["trained-logits.0"]).abs().max() / tensors["trained-logits.0"].abs().max()
    assert apart < 1e-5, apart
    safetensors.torch.save_file(tensors, folder / "expected.safetensors")
    write_json(
        folder / "expected.json",
        {
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
            "family": family.name,
            "samples": pair,
            "data": data,
            "loss": loss,
            "options": TRAINING,
            "optimizer": kind.optimizer,
            "learning_rate": kind.learning_rate,
            "loraplus_lr_ratio": kind.loraplus_lr_ratio,
            "momentum": MOMENTUM,
            "steps": steps,
        },
    )
    norms = [step["grad_norm"] for step in steps]
    print(f"{kind.name}: loss {loss:.4f}, after training {steps[-1]['loss']:.4f}, norms {min(norms):.2f} to {max(norms):.2f}")


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures/adapters"
    for kind in KINDS:
        folder = target / kind.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        record(kind, folder)


if __name__ == "__main__":
    main()

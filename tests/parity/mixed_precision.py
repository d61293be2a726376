"""Records full fine-tuning in bf16 with f32 master weights, for tests/parity to compare Attune's with.

    python tests/parity/mixed_precision.py [FOLDER]

Run with the versions in requirements.txt and bitsandbytes==0.50.2, whose Lion computes on the CPU.

The matrices that are computed with are the masters rounded to bf16; arithmetic, gradients and optimiser are f32.
"""

import copy
import pathlib
import sys
import warnings

import safetensors.torch
import torch
import transformers

from adapter_kinds import Kind, optimizer_of
from families import FAMILIES, randomised
from make_fixtures import TRAINING, samples, summed_loss, trained_tokens, write_json

FAMILY = "qwen2"
RATES = {"AdamW": 1e-3, "SGD": 2e-2, "Adafactor": 5e-4, "Lion": 1e-4}


def train(optimizer_name: str, model: torch.nn.Module, data: list[dict]) -> tuple[list[dict], dict[str, torch.Tensor]]:
    """The loop of `make_fixtures.train` over masters beside the model."""
    masters = copy.deepcopy(model)
    kind = Kind(optimizer_name, FAMILY, {}, optimizer=optimizer_name, learning_rate=RATES[optimizer_name])
    optimizer = optimizer_of(kind, masters)
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, TRAINING["warmup_steps"], TRAINING["steps"])
    per_step = TRAINING["batch_size"] * TRAINING["grad_accumulation"]
    pairs = list(zip(model.parameters(), masters.parameters(), strict=True))
    records = []
    for step in range(TRAINING["steps"]):
        with torch.no_grad():
            for rounded, master in pairs:
                rounded.copy_(master.bfloat16().float() if master.ndim == 2 else master)
        start = step * per_step % len(data)
        whole = data[start : start + per_step]
        loss = 0.0
        for first in range(0, per_step, TRAINING["batch_size"]):
            share = summed_loss(model, whole[first : first + TRAINING["batch_size"]]) / trained_tokens(whole)
            share.backward()
            loss += share.item()
        for rounded, master in pairs:
            master.grad, rounded.grad = rounded.grad, None
        norm = torch.nn.utils.clip_grad_norm_(masters.parameters(), TRAINING["gradient_clip"]).item()
        records.append(
            {"loss": loss, "grad_norm": norm, "learning_rate": schedule.get_last_lr()[0], "trained_tokens": trained_tokens(whole)}
        )
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
    return records, {name: parameter.detach().clone() for name, parameter in masters.named_parameters()}


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures"
    family = next(family for family in FAMILIES if family.name == FAMILY)
    data = samples(family.seed + 200, [11, 24, 8, 19, 15, 22, 13, 9, 24, 10, 18, 7, 21, 12, 16, 14])
    tensors, found = {}, {}
    for name, rate in RATES.items():
        steps, weights = train(name, randomised(family), data)
        found[name] = {"learning_rate": rate, "steps": steps}
        tensors |= {f"{name}.{key}": value.contiguous() for key, value in weights.items()}
        print(f"{name}: loss {steps[0]['loss']:.4f} to {steps[-1]['loss']:.4f}")
    safetensors.torch.save_file(tensors, folder / "mixed_precision.safetensors")
    write_json(folder / "mixed_precision.json", {"family": FAMILY} | found)


if __name__ == "__main__":
    main()

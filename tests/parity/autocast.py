"""Records what PEFT's LoRA loses under bf16 autocast, for tests/parity to compare Attune's mixed precision with.

    python tests/parity/autocast.py [FOLDER]

Run with the versions in requirements.txt, after make_fixtures.py: it reads that script's models and adapters.
Numbers under autocast depend on the processor (oneDNN has kernels for each); they are yardsticks, not exact values.
"""

import json
import pathlib
import sys

import peft
import safetensors.torch
import torch
import transformers

from families import FAMILIES, randomised
from make_fixtures import LORA_RATE, difference, logits_of, loss_and_gradients, train, write_json


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures"
    recorded = {}
    for family in FAMILIES:
        folder = target / family.name
        expected = json.loads((folder / "expected.json").read_text())
        tensors = safetensors.torch.load_file(folder / "expected.safetensors")
        model = peft.PeftModel.from_pretrained(randomised(family, "eager"), folder / "adapter", is_trainable=True).eval()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = [logits_of(model, sample).float() for sample in expected["samples"]]
            loss, gradients = loss_and_gradients(model, expected["samples"])
            steps, _ = train(model, expected["data"], LORA_RATE)
        exact = [step["loss"] for step in expected["training"]["lora"]["steps"]]
        found = [step["loss"] for step in steps]
        recorded[family.name] = {
            "logits": max(difference(a, tensors[f"lora.logits.{index}"]) for index, a in enumerate(logits)),
            "loss": abs(loss - expected["lora_loss"]) / expected["lora_loss"],
            "gradients": max(difference(gradient, tensors[f"lora.gradient.{name}"]) for name, gradient in gradients.items()),
            "steps": max(abs(a - b) for a, b in zip(found, exact)) / max(exact),
        }
        print(family.name, recorded[family.name])
    write_json(target / "autocast.json", recorded)


if __name__ == "__main__":
    main()

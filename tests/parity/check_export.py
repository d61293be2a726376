"""Reads back with transformers and PEFT what Attune has written, and compares logits.

    python tests/parity/check_export.py FOLDER...

In each FOLDER: `base/` (the untouched model), `adapter/`, `merged/` and `merged-by-spec/` (written by Attune), `tokens.json`, and
`logits.safetensors` with what Attune computes on these tokens. Prints one JSON line a folder; fails above the tolerance.
"""

import json
import pathlib
import sys
import warnings

import peft
import safetensors.torch
import torch
import transformers

TOLERANCE = 1e-4


def logits(model: torch.nn.Module, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([tokens])).logits[0]


def read(folder: pathlib.Path) -> transformers.PreTrainedModel:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def check(folder: pathlib.Path) -> bool:
    transformers.utils.logging.disable_progress_bar()
    tokens = json.loads((folder / "tokens.json").read_text())
    ours = safetensors.torch.load_file(folder / "logits.safetensors")["logits"]
    with warnings.catch_warnings():
        # PEFT only warns of an adapter tensor it could not place; here that is a failure.
        warnings.simplefilter("error", UserWarning)
        adapted = peft.PeftModel.from_pretrained(read(folder / "base"), folder / "adapter")
    found = {"adapter": logits(adapted, tokens)}
    found |= {name: logits(read(folder / name), tokens) for name in ("merged", "merged-by-spec")}
    differences = {
        name: ((ours - theirs).abs().max() / theirs.abs().max()).item() for name, theirs in found.items()
    }
    versions = {"peft": peft.__version__, "transformers": transformers.__version__}
    print(json.dumps({"folder": folder.name, **versions, **differences}))
    return all(difference <= TOLERANCE for difference in differences.values())


if __name__ == "__main__":
    sys.exit(0 if all([check(pathlib.Path(folder)) for folder in sys.argv[1:]]) else 1)

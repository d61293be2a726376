"""Reads back with transformers and PEFT the classifiers Attune has written, and compares scores.

    python tests/parity/check_heads.py FOLDER...

In each FOLDER: `base/` (the untouched model), `adapter/`, `merged/` and `merged-by-spec/` (written by Attune), `text.json` (tokens,
labels, problem type), and `scores.safetensors` with what Attune computes on these tokens. Prints one JSON line a folder; fails above
the tolerance.
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


def read(folder: pathlib.Path) -> transformers.PreTrainedModel:
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    return model


def scores(model: torch.nn.Module, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([tokens])).logits


def check(folder: pathlib.Path) -> bool:
    transformers.utils.logging.disable_progress_bar()
    text = json.loads((folder / "text.json").read_text())
    ours = safetensors.torch.load_file(folder / "scores.safetensors")["scores"]
    with warnings.catch_warnings():
        # PEFT only warns of an adapter tensor it could not place; here that is a failure.
        warnings.simplefilter("error", UserWarning)
        adapted = peft.PeftModel.from_pretrained(read(folder / "base"), folder / "adapter")
    assert isinstance(adapted, peft.PeftModelForSequenceClassification)
    found = {"adapter": scores(adapted, text["tokens"])}
    for name in ("merged", "merged-by-spec"):
        model = read(folder / name)
        config = model.config
        assert list(config.id2label.values()) == text["labels"], config.id2label
        assert config.problem_type == text["problem_type"], config.problem_type
        assert config.architectures == [type(model).__name__], config.architectures
        found[name] = scores(model, text["tokens"])
    differences = {
        name: ((ours - theirs).abs().max() / theirs.abs().max()).item() for name, theirs in found.items()
    }
    versions = {"peft": peft.__version__, "transformers": transformers.__version__}
    print(json.dumps({"folder": folder.name, **versions, **differences}))
    return all(difference <= TOLERANCE for difference in differences.values())


if __name__ == "__main__":
    sys.exit(0 if all([check(pathlib.Path(folder)) for folder in sys.argv[1:]]) else 1)

"""Records how transformers starts random weights of each family: mean, deviation and number of each parameter.

    python tests/parity/initial_weights.py [FILE]

Run with the versions in requirements.txt.
"""

import pathlib
import sys

import torch
import transformers

from families import FAMILIES, Family
from make_fixtures import write_json


def started(family: Family) -> dict[str, list[float]]:
    torch.manual_seed(family.seed)
    config = type(family.config)(**family.config.to_dict())
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    found = {}
    for name, parameter in model.named_parameters():
        spread = parameter.std().item() if parameter.numel() > 1 else 0.0
        found[name] = [parameter.mean().item(), spread, parameter.numel()]
    return found


def main() -> None:
    transformers.logging.set_verbosity_error()
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures/initial_weights.json"
    # transformers joins the experts of a block in one parameter, whose parts have no names to compare.
    dense = [family for family in FAMILIES if not hasattr(family.config, "num_experts_per_tok")]
    write_json(target, {family.name: started(family) for family in dense})


if __name__ == "__main__":
    main()

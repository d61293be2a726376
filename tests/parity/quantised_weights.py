"""Records what bitsandbytes' 4-bit and 8-bit weights stand for, for tests/parity to compare Attune's with.

    python tests/parity/quantised_weights.py [FOLDER]

Run with the versions in requirements.txt and bitsandbytes==0.50.2, which quantises on the CPU.
"""

import pathlib
import sys

import bitsandbytes
import bitsandbytes.functional as functional
import safetensors.torch
import torch

SHAPE = (96, 200)  # 300 blocks of 64, which reach over the rows' ends, and two of 256 magnitudes


def main() -> None:
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    # Rows of unlike sizes, a row of zeros, and outliers.
    weight = torch.randn(SHAPE, generator=draw) * torch.logspace(-3, 0, SHAPE[0])[:, None]
    weight[5] = 0
    weight[10, ::50] = 3.0

    codes, state = functional.quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
    assert state.nested and state.state2.blocksize == 256
    nf4 = functional.dequantize_4bit(codes, state)

    # A row of zeros is divided by zero there: what it stands for is made by hand.
    filled = weight.clone()
    filled[5] = 1
    codes, magnitudes, _ = functional.int8_vectorwise_quant(filled)
    int8 = functional.int8_vectorwise_dequant(codes, magnitudes)
    int8[5] = 0

    tensors = {"weight": weight, "nf4": nf4, "int8": int8}
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures"
    safetensors.torch.save_file(tensors, folder / "quantised.safetensors", metadata={"bitsandbytes": bitsandbytes.__version__})
    apart = {name: (tensors[name] - weight).abs().max().item() for name in ("nf4", "int8")}
    print(f"bitsandbytes {bitsandbytes.__version__}: furthest from the weights {apart}")


if __name__ == "__main__":
    main()

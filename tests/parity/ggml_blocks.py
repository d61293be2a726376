"""Records what the gguf package makes of random blocks of every quantised type, for tests/parity to compare Attune's with.

    python tests/parity/ggml_blocks.py [FOLDER]

Run with the versions in requirements.txt.
"""

import importlib.metadata
import pathlib
import sys

import gguf
import numpy
import safetensors.numpy

ROWS, SUPER_BLOCKS = 2, 2
# Of each type the places of its f16 in a block.
TYPES = {
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q8_0": [0],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
}


def main() -> None:
    draw = numpy.random.default_rng(0)
    tensors = {}
    for name, halves in TYPES.items():
        kind = gguf.GGMLQuantizationType[name]
        length, size = gguf.GGML_QUANT_SIZES[kind]
        count = SUPER_BLOCKS * 256 // length
        blocks = draw.integers(0, 256, (ROWS, count, size), dtype=numpy.uint8)
        for place in halves:
            # Any sign, any mantissa, exponents from the subnormal on; no infinity, no NaN.
            exponents = draw.integers(0, 0x58, (ROWS, count), dtype=numpy.uint8)
            blocks[:, :, place + 1] = blocks[:, :, place + 1] & 0x83 | exponents & 0x7C
        blocks = blocks.reshape(ROWS, count * size)
        values = gguf.dequantize(blocks, kind)
        assert values.shape == (ROWS, 256 * SUPER_BLOCKS) and numpy.isfinite(values).all()
        tensors[name] = blocks
        tensors[f"{name}.values"] = values
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures"
    version = importlib.metadata.version("gguf")
    safetensors.numpy.save_file(tensors, folder / "ggml.safetensors", metadata={"gguf": version})
    print(f"gguf {version}: {len(TYPES)} types")


if __name__ == "__main__":
    main()

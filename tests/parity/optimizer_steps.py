"""Records twenty steps of bitsandbytes' 8-bit AdamW, for tests/parity to compare Attune's with.

    python tests/parity/optimizer_steps.py [FOLDER]

Run with the versions in requirements.txt and bitsandbytes==0.50.2, which computes on the CPU.
"""

import pathlib
import sys

import bitsandbytes
import bitsandbytes.backends.cpu.ops as on_cpu
import safetensors.torch
import torch

SHAPE = (50, 82)  # above the 4096 elements from which moments are stored in 8 bits, with a block of four at the end
STEPS = 20


def nearest(values: torch.Tensor, code: torch.Tensor, magnitudes: torch.Tensor, codes: torch.Tensor, block: int) -> None:
    """The nearest code of each value, as bitsandbytes' kernels for GPUs and its plain Python one choose it.

    Its compiled one for the CPU looks values up in a table of equal steps, too coarse for the small ones: what is
    below 1e-5 of a block's largest it takes for 1.6e-5.
    """
    flat = values.flatten()
    blocks = torch.nn.functional.pad(flat, (0, -flat.numel() % block)).reshape(-1, block)
    magnitudes.copy_(blocks.abs().max(dim=1).values)
    parts = (blocks / magnitudes[:, None]).flatten()[: flat.numel()]
    codes.copy_((parts[:, None] - code).abs().argmin(dim=1).to(torch.uint8).reshape(codes.shape))


def main() -> None:
    on_cpu._quant_blockwise_fp32_direct = nearest
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    start, target = (torch.randn(SHAPE, generator=draw) for _ in range(2))
    # The gradient of a bowl: both sides compute it from the parameter with the same two operations.
    curvature = 0.2 + torch.rand(SHAPE, generator=draw)
    parameter = torch.nn.Parameter(start.clone())
    optimizer = bitsandbytes.optim.AdamW8bit([parameter], lr=2e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    tensors = {"start": start, "target": target, "curvature": curvature}
    for step in range(1, STEPS + 1):
        parameter.grad = (parameter.detach() - target) * curvature
        optimizer.step()
        if step in (1, STEPS):
            state = optimizer.state[parameter]
            assert state["state1"].dtype == torch.uint8
            tensors |= {
                f"parameter.{step}": parameter.detach().clone(),
                f"codes.{step}": torch.stack([state["state1"].flatten(), state["state2"].flatten()]),
                f"magnitudes.{step}": torch.stack([state["absmax1"], state["absmax2"]]),
            }
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "fixtures"
    safetensors.torch.save_file(tensors, folder / "adamw8bit.safetensors", metadata={"bitsandbytes": bitsandbytes.__version__})
    moved = (parameter - start).abs().mean().item()
    print(f"bitsandbytes {bitsandbytes.__version__}: moved by {moved:.3f} on average")


if __name__ == "__main__":
    main()

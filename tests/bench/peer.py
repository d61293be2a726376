"""The peer of the step benchmark: transformers + PEFT, float32, written as its documentation advises.

`peer.py prepare FOLDER` writes the model and the adapter that both sides load.
`peer.py run FOLDER STEPS` trains and prints one JSON line.
"""

import json
import pathlib
import platform
import sys
import time

import peft
import torch
import transformers

# 213 million parameters, the head tied to the embedding.
MODEL = dict(
    hidden_size=1024,
    intermediate_size=2816,
    num_hidden_layers=16,
    num_attention_heads=16,
    num_key_value_heads=4,
    head_dim=64,
    vocab_size=32000,
    max_position_embeddings=2048,
    tie_word_embeddings=True,
)
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SAMPLES = 2
LENGTH = 512


def token(step: int, sample: int, position: int) -> int:
    """The same tokens on both sides, without a file: examples/lora_step.rs has this formula too."""
    return (step * 7919 + sample * 104_729 + position * 31_337 + position * position * 17) % MODEL["vocab_size"]


def prepare(folder: pathlib.Path) -> None:
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**MODEL))
    model.save_pretrained(folder)
    torch.manual_seed(1)
    lora = peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=LINEARS, task_type="CAUSAL_LM")
    peft.get_peft_model(model, lora).save_pretrained(folder / "adapter")


def run(folder: pathlib.Path, steps: int) -> dict:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa", use_cache=False
    )
    model = peft.PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True)
    model.train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=1e-4, weight_decay=0.0)
    losses, seconds, cpu_seconds = [], [], []
    for step in range(steps):
        tokens = torch.tensor(
            [[token(step, sample, position) for position in range(LENGTH)] for sample in range(SAMPLES)]
        )
        start, cpu_start = time.perf_counter(), time.process_time()
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    return {
        "losses": losses,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "tokens": SAMPLES * LENGTH,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
        },
    }


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if sys.argv[1] == "prepare":
        prepare(pathlib.Path(sys.argv[2]))
    else:
        print(json.dumps(run(pathlib.Path(sys.argv[2]), int(sys.argv[3]))))

"""The peer of the step benchmark: transformers + PEFT, written as its documentation advises.

`peer.py prepare FOLDER` writes the model and the adapter that both sides load.
`peer.py run FOLDER REQUEST` trains as the JSON request says and prints one JSON line. The request: `steps`; `batch`
rows a step of `length` tokens, or those of the file `rows`, padded to the longest of each batch; `autocast` for
bfloat16 in the matrix products; `recompute` for gradient checkpointing.
"""

import contextlib
import json
import pathlib
import platform
import sys
import time
import warnings

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


def token(step: int, row: int, position: int) -> int:
    """The same tokens on both sides, without a file: examples/measured_run.rs has this formula too."""
    return (step * 7919 + row * 104_729 + position * 31_337 + position * position * 17) % MODEL["vocab_size"]


def prepare(folder: pathlib.Path) -> None:
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**MODEL))
    model.save_pretrained(folder)
    torch.manual_seed(1)
    lora = peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=LINEARS, task_type="CAUSAL_LM")
    peft.get_peft_model(model, lora).save_pretrained(folder / "adapter")


def batches(request: dict) -> list[list[list[int]]]:
    size, steps = request["batch"], request["steps"]
    if "rows" in request:
        rows = json.loads(pathlib.Path(request["rows"]).read_text())
        return [rows[step * size : (step + 1) * size] for step in range(steps)]
    length = request["length"]
    return [[[token(step, row, at) for at in range(length)] for row in range(size)] for step in range(steps)]


def padded(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    """As DataCollatorForLanguageModeling does: to the longest, on the right, padding not counted in the loss."""
    longest = max(map(len, rows))
    if all(len(row) == longest for row in rows):
        tokens = torch.tensor(rows)
        return dict(input_ids=tokens, labels=tokens)
    fill = lambda row, value: row + [value] * (longest - len(row))
    return dict(
        input_ids=torch.tensor([fill(row, 0) for row in rows]),
        attention_mask=torch.tensor([fill([1] * len(row), 0) for row in rows]),
        labels=torch.tensor([fill(row, -100) for row in rows]),
    )


def run(folder: pathlib.Path, request: dict) -> dict:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa", use_cache=False
    )
    if request.get("recompute"):
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model = peft.PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True)
    model.train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=1e-4, weight_decay=0.0)
    arithmetic = torch.autocast("cpu", dtype=torch.bfloat16) if request.get("autocast") else contextlib.nullcontext()
    losses, seconds, cpu_seconds, tokens = [], [], [], []
    for rows in batches(request):
        inputs = padded(rows)
        start, cpu_start = time.perf_counter(), time.process_time()
        with arithmetic:
            loss = model(**inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
        tokens.append(sum(map(len, rows)))
    return {
        "losses": losses,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "tokens": tokens,
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
    # PEFT asks transformers for a name that is about to change.
    warnings.filterwarnings("ignore", category=FutureWarning)
    if sys.argv[1] == "prepare":
        prepare(pathlib.Path(sys.argv[2]))
    else:
        print(json.dumps(run(pathlib.Path(sys.argv[2]), json.loads(sys.argv[3]))))

"""Records what TRL's losses over preferences are, alone and through a model, on the checkpoints of `make_fixtures.py`.

    pip download --no-deps -d WHEELS trl==0.24.0; pip download --no-deps -d WHEELS trl==0.8.6
    python tests/parity/preferences.py WHEELS [FOLDER]

Run with the versions in requirements.txt. TRL's methods are taken out of its wheels as they stand and called alone, because no TRL
that has all of them imports beside this transformers: 0.24.0 is the last with every loss a method of its trainer, 0.8.6 had
`kto_pair`. Gradients are torch's through them.
"""

import ast
import dataclasses
import json
import pathlib
import platform
import shutil
import sys
import types
import zipfile

import peft
import safetensors.torch
import torch
import transformers

from families import FAMILIES, VOCABULARY, Family, randomised
from make_fixtures import FULL_RATE, IGNORED, LORA_RATE, TRAINING, trainable, with_lora, write_json

STEPS = 8
PER_STEP = TRAINING["batch_size"] * TRAINING["grad_accumulation"]
# One setting for all cases that use it: none at its default.
SETTINGS = dict(beta=0.3, label_smoothing=0.0, simpo_gamma=0.7, cpo_alpha=0.6, desirable_weight=1.3, undesirable_weight=0.8)


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss on one of the checkpoints."""

    name: str
    loss: str  # Attune's name
    family: str = "llama3"
    full: bool = False
    settings: dict = dataclasses.field(default_factory=dict)

    def all_settings(self) -> dict:
        return SETTINGS | self.settings


CASES = [
    Case("dpo", "dpo"),
    Case("cdpo", "dpo", settings=dict(label_smoothing=0.2)),
    Case("hinge", "hinge"),
    Case("ipo", "ipo"),
    Case("kto-pair", "kto_pair"),
    Case("cpo", "cpo", settings=dict(label_smoothing=0.1)),
    Case("simpo", "simpo", settings=dict(cpo_alpha=0.0, beta=2.0)),
    Case("cpo-simpo", "simpo", settings=dict(beta=2.0)),
    Case("orpo", "orpo"),
    Case("kto", "kto"),
    Case("dpo-gemma2", "dpo", family="gemma2"),
    Case("orpo-gemma2", "orpo", family="gemma2"),
    Case("ipo-full", "ipo", family="gpt-neox-sequential", full=True),
    Case("orpo-full", "orpo", family="gpt-neox-sequential", full=True),
    Case("kto-full", "kto", family="gpt-neox-sequential", full=True),
]


def method(wheel: pathlib.Path, file: str, name: str, owner: str | None, names: dict):
    """A function of TRL's source, compiled alone with `names` as its globals."""
    tree = ast.parse(zipfile.ZipFile(wheel).read(f"trl/trainer/{file}.py"))
    body = tree.body
    if owner:
        body = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == owner).body
    found = next(node for node in body if isinstance(node, ast.FunctionDef) and node.name == name)
    found.decorator_list = []
    found.returns = None
    for argument in found.args.args:
        argument.annotation = None
    exec(compile(ast.Module([found], []), f"{wheel.name}/{file}.py", "exec"), names)
    return names[name]


class Trl:
    """TRL's losses, and a stand-in for the trainers they are methods of."""

    def __init__(self, wheels: pathlib.Path):
        new, old = wheels / "trl-0.24.0-py3-none-any.whl", wheels / "trl-0.8.6-py3-none-any.whl"
        divergence = types.SimpleNamespace(ALPHA_DIVERGENCE="alpha", JS_DIVERGENCE="js", REVERSE_KL="reverse_kl")
        names = dict(torch=torch, F=torch.nn.functional, FDivergenceType=divergence)
        method(new, "utils", "selective_log_softmax", None, names)
        self.logps = method(new, "cpo_trainer", "get_batch_logps", "CPOTrainer", names)
        self.dpo_loss = method(new, "dpo_trainer", "dpo_loss", "DPOTrainer", dict(names))
        self.cpo_loss = method(new, "cpo_trainer", "cpo_loss", "CPOTrainer", dict(names))
        self.odds_ratio_loss = method(new, "orpo_trainer", "odds_ratio_loss", "ORPOTrainer", dict(names))
        self.kto_loss = method(new, "kto_trainer", "kto_loss", "KTOTrainer", dict(names))
        self.old_dpo_loss = method(old, "dpo_trainer", "dpo_loss", "DPOTrainer", dict(names))

    def trainer(self, case: Case, **more) -> types.SimpleNamespace:
        accelerator = types.SimpleNamespace(device="cpu", gather_for_metrics=lambda tensor: tensor)
        return types.SimpleNamespace(
            accelerator=accelerator, reference_free=False, f_divergence_type="reverse_kl", alpha=0.0, calculate_KL=True,
            **case.all_settings(), **more,
        )

    def pairs(self, case: Case, chosen, rejected, reference_chosen, reference_rejected):
        """Losses whose mean counts, and the rewards."""
        if case.loss == "kto_pair":
            return self.old_dpo_loss(
                self.trainer(case, loss_type="kto_pair"), chosen, rejected, reference_chosen, reference_rejected
            )
        if case.loss in ("dpo", "hinge", "ipo"):
            loss_type = {"dpo": "sigmoid"}.get(case.loss, case.loss)
            return self.dpo_loss(
                self.trainer(case), chosen, rejected, reference_chosen, reference_rejected, loss_type
            )
        if case.loss == "orpo":
            # What the trainer subtracts.
            losses, *rewards = self.odds_ratio_loss(self.trainer(case), chosen, rejected)[:3]
            return -losses, *rewards
        loss_type = {"cpo": "sigmoid"}.get(case.loss, case.loss)
        return self.cpo_loss(self.trainer(case, loss_type=loss_type), chosen, rejected)


def averages(case: Case) -> bool:
    return case.loss in ("ipo", "simpo", "orpo")


def pairs_of(seed: int, count: int) -> list[dict]:
    draw = torch.Generator().manual_seed(seed)
    tokens = lambda low, high: torch.randint(VOCABULARY, (torch.randint(low, high, (1,), generator=draw).item(),), generator=draw).tolist()
    return [{"prompt": tokens(2, 8), "chosen": tokens(1, 9), "rejected": tokens(1, 9)} for _ in range(count)]


def rated_of(pairs: list[dict]) -> list[dict]:
    """Every other answer was liked; mismatched, a prompt has the answer of the sample before it."""
    rated = [
        {"prompt": pair["prompt"], "answer": pair["chosen" if index % 2 else "rejected"], "desirable": index % 2 == 1}
        for index, pair in enumerate(pairs)
    ]
    return [one | {"other": rated[index - 1]["answer"]} for index, one in enumerate(rated)]


def logits_and_labels(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    logits = model(input_ids=torch.tensor([prompt + answer])).logits
    return logits, torch.tensor([[IGNORED] * len(prompt) + answer])


def logps(trl: Trl, model: torch.nn.Module, answers: list[tuple[list[int], list[int]]], average: bool) -> torch.Tensor:
    """Each text alone in its batch: nothing padded."""
    each = [trl.logps(*logits_and_labels(model, *answer), average_log_prob=average) for answer in answers]
    return torch.cat(each)


def likelihood(model: torch.nn.Module, pairs: list[dict], whole: bool) -> torch.Tensor:
    """`nll_loss` of CPOTrainer, or of ORPOTrainer with the prompt."""
    rows, targets = [], []
    for pair in pairs:
        logits, labels = logits_and_labels(model, pair["prompt"], pair["chosen"])
        if whole:
            labels = torch.tensor([pair["prompt"] + pair["chosen"]])
        rows.append(logits[0, :-1])
        targets.append(labels[0, 1:])
    return torch.nn.functional.cross_entropy(torch.cat(rows), torch.cat(targets), ignore_index=IGNORED)


def sides(pairs: list[dict]) -> tuple[list, list]:
    return [(pair["prompt"], pair["chosen"]) for pair in pairs], [(pair["prompt"], pair["rejected"]) for pair in pairs]


def loss_of(trl: Trl, case: Case, model: torch.nn.Module, reference: torch.nn.Module, batch: list[dict]) -> tuple[torch.Tensor, dict]:
    """What the trainer minimises for one batch, and what it logs."""
    if case.loss == "kto":
        return kto_loss_of(trl, case, model, reference, batch)
    chosen, rejected = (logps(trl, model, side, averages(case)) for side in sides(batch))
    with torch.no_grad():
        before = [logps(trl, reference, side, averages(case)) for side in sides(batch)]
    losses, chosen_rewards, rejected_rewards = trl.pairs(case, chosen, rejected, *before)
    loss = losses.mean()
    metrics = {
        "rewards/chosen": chosen_rewards,
        "rewards/rejected": rejected_rewards,
        "rewards/margins": chosen_rewards - rejected_rewards,
        "rewards/accuracies": (chosen_rewards > rejected_rewards).float(),
        "logps/chosen": chosen,
        "logps/rejected": rejected,
    }
    if case.loss == "orpo":
        metrics["nll_loss"] = likelihood(model, batch, True)
        loss = metrics["nll_loss"] + loss
    elif case.loss in ("cpo", "simpo") and case.all_settings()["cpo_alpha"] > 0:
        metrics["nll_loss"] = likelihood(model, batch, False)
        loss = loss + case.all_settings()["cpo_alpha"] * metrics["nll_loss"]
    return loss, {name: values.mean().item() for name, values in metrics.items()}


def kto_loss_of(trl: Trl, case: Case, model: torch.nn.Module, reference: torch.nn.Module, batch: list[dict]) -> tuple[torch.Tensor, dict]:
    liked, disliked = ([one for one in batch if one["desirable"] is desirable] for desirable in (True, False))
    side = lambda model, rated: logps(trl, model, [(one["prompt"], one["answer"]) for one in rated], False)
    mismatched = lambda model: logps(trl, model, [(one["prompt"], one["other"]) for one in batch], False)
    with torch.no_grad():
        before = [side(reference, liked), side(reference, disliked), mismatched(reference)]
        moved = mismatched(model)
    chosen, rejected = side(model, liked), side(model, disliked)
    losses, chosen_rewards, rejected_rewards, kl = trl.kto_loss(
        trl.trainer(case, loss_type="kto"), chosen, rejected, moved, *before
    )
    metrics = {
        "kl": kl,
        "rewards/chosen": chosen_rewards,
        "rewards/rejected": rejected_rewards,
        "rewards/margins": chosen_rewards.mean() - rejected_rewards.mean(),
        "logps/chosen": chosen,
        "logps/rejected": rejected,
    }
    return losses.nanmean(), {name: values.mean().item() for name, values in metrics.items()}


def alone(trl: Trl, case: Case) -> dict:
    """Losses and slopes at given log-probabilities."""
    draw = torch.Generator().manual_seed(11)
    numbers = lambda count=6: (-0.05 - 3 * torch.rand(count, generator=draw)).double()
    found = {}
    if case.loss == "kto":
        for kl in (0.0, 0.9):
            chosen, rejected, before_chosen, before_rejected = (numbers() for _ in range(4))
            chosen.requires_grad_(), rejected.requires_grad_()
            moved, before = torch.full((6,), kl, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
            losses, *_ = trl.kto_loss(
                trl.trainer(case, loss_type="kto"), chosen, rejected, moved, before_chosen, before_rejected, before
            )
            losses.sum().backward()
            found[str(kl)] = {
                "chosen": chosen.tolist(), "rejected": rejected.tolist(),
                "reference_chosen": before_chosen.tolist(), "reference_rejected": before_rejected.tolist(),
                "losses": losses.tolist(), "chosen_slopes": chosen.grad.tolist(), "rejected_slopes": rejected.grad.tolist(),
            }
        return found
    # The means of both sides lie above the reference's, or below.
    for shift in (-0.5, 0.5):
        chosen, rejected, before_chosen, before_rejected = (numbers() for _ in range(4))
        before_chosen, before_rejected = before_chosen + shift, before_rejected + shift
        chosen.requires_grad_(), rejected.requires_grad_()
        losses, *_ = trl.pairs(case, chosen, rejected, before_chosen, before_rejected)
        # kto_pair has a loss for each half; a pair's is the mean of the two.
        mean = losses.mean()
        (mean * 6).backward()
        found[str(shift)] = {
            "chosen": chosen.tolist(), "rejected": rejected.tolist(),
            "reference_chosen": before_chosen.tolist(), "reference_rejected": before_rejected.tolist(),
            "losses": losses.reshape(-1, 6).mean(0).tolist(),
            "chosen_slopes": chosen.grad.tolist(), "rejected_slopes": rejected.grad.tolist(),
        }
    return found


def models(case: Case, family: Family) -> tuple[torch.nn.Module, torch.nn.Module]:
    """What is trained, and what it is measured against."""
    if case.full:
        return randomised(family), randomised(family)
    return with_lora(family, randomised(family), family.seed + 300), randomised(family)


def train(trl: Trl, case: Case, model: torch.nn.Module, reference: torch.nn.Module, data: list[dict], rate: float) -> list[dict]:
    """The loop of `make_fixtures.train`, a step's samples in one batch."""
    decayed = set(transformers.Trainer.get_decay_parameter_names(None, model))
    groups = [
        {"params": [parameter], "weight_decay": TRAINING["weight_decay"] if name in decayed else 0.0}
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]
    optimiser = torch.optim.AdamW(groups, lr=rate, betas=(TRAINING["beta1"], TRAINING["beta2"]), eps=TRAINING["epsilon"])
    schedule = transformers.get_cosine_schedule_with_warmup(optimiser, TRAINING["warmup_steps"], STEPS)
    records = []
    for step in range(STEPS):
        start = step * PER_STEP % len(data)
        loss, metrics = loss_of(trl, case, model, reference, data[start : start + PER_STEP])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trainable(model).values(), TRAINING["gradient_clip"]).item()
        records.append({"loss": loss.item(), "grad_norm": norm, "metrics": metrics})
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
    return records


def record(trl: Trl, case: Case, folder: pathlib.Path) -> dict:
    family = next(family for family in FAMILIES if family.name == case.family)
    data = pairs_of(family.seed + 600, 12)
    if case.loss == "kto":
        data = rated_of(data)
    rate = FULL_RATE if case.full else LORA_RATE
    model, reference = models(case, family)
    tensors = {}
    loss, metrics = loss_of(trl, case, model, reference, data[:PER_STEP])
    loss.backward()
    for name, parameter in trainable(model).items():
        tensors[f"gradient.{name}"] = parameter.grad.clone().contiguous()
    model.zero_grad(set_to_none=True)
    steps = train(trl, case, model, reference, data, rate)
    for name, parameter in trainable(model).items():
        tensors[f"trained.{name}"] = parameter.detach().clone().contiguous()
    safetensors.torch.save_file(tensors, folder / f"{case.name}.safetensors")
    first, last = steps[0]["metrics"], steps[-1]["metrics"]
    print(f"{case.name}: loss {loss:.4f} to {steps[-1]['loss']:.4f}, margin {first['rewards/margins']:.3f} to {last['rewards/margins']:.3f}")
    return {
        "loss_type": case.loss,
        "family": case.family,
        "full": case.full,
        "settings": case.all_settings(),
        "alone": alone(trl, case),
        "data": data,
        "loss": loss.item(),
        "metrics": metrics,
        "learning_rate": rate,
        "steps": steps,
    }


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    trl = Trl(pathlib.Path(sys.argv[1]))
    target = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else pathlib.Path(__file__).parent / "fixtures/preferences"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "trl": "0.24.0, kto_pair 0.8.6",
    }
    options = TRAINING | {"steps": STEPS}
    cases = {case.name: record(trl, case, target) for case in CASES}
    write_json(target / "expected.json", {"versions": versions, "options": options} | cases)


if __name__ == "__main__":
    main()

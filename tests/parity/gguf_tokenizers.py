"""Writes GGUF files of tiny tokenizers and records what transformers and sentencepiece make of difficult text.

    LLAMA_CPP=FOLDER python tests/parity/gguf_tokenizers.py

FOLDER is a checkout of llama.cpp, whose converter writes the files; see gguf_files.py. Needs sentencepiece besides
the versions in requirements.txt. The ways to split text are those transformers has under llama.cpp's names.
"""

import json
import logging
import os
import pathlib
import sys
import tempfile

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

LLAMA_CPP = pathlib.Path(os.environ["LLAMA_CPP"])
sys.path[:0] = [str(LLAMA_CPP), str(LLAMA_CPP / "gguf-py")]

import gguf
import sentencepiece
from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "gguf-tokenizers"
ROOT = pathlib.Path(__file__).parents[2]

TEXTS = [
    "",
    " ",
    "   ",
    "Hello, world!",
    " leading and trailing ",
    "two  spaces,   three,    four",
    "tabs\tand\n\nnew lines\r\n\r\n  then  \n text",
    "I've, you're, HE'LL, it's: don't!",
    "1 12 123 1234 12345 3.14159 -7e10 ½ ² Ⅳ",
    "CamelCase snake_case kebab-case UPPER lower Title",
    "für Größe, naïve façade, Ångström, ﬁne ligature",
    "composed é and e\u0301, Å and A\u030a, 한국어 and 한",
    "我想在apple工作1314151天～ 日本語のテキスト。",
    "Привет, мир! Γειά σου Κόσμε. שלום עולם. مرحبا بالعالم",
    "🚀 (normal) 😶‍🌫️ (joined) 👩‍👩‍👧‍👦 ✅ \u200b\u00a0\ufeff",
    "fn main() {\n    println!(\"{}\", x >> 2 & 0xFF);\n}\n",
    "<think>a plain added token</think> <|end|><|end|>text<|end|> <|begin|>",
    "a" * 40 + " " * 20 + "!" * 13 + "0" * 11,
    "▁ the letter that stands for a space ▁▁",
    "\x00\x01\x7f control",
]


def corpus() -> list[str]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    lines = [line for page in pages for line in page.read_text().splitlines() if line.strip()]
    return lines + [text for text in TEXTS if "<" not in text] * 3


def byte_level(pre: str) -> Tokenizer:
    """A tokenizer of one of the models that the name was given for, in all but its vocabulary."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre in ("llama-bpe", "tekken")))
    words = pre in ("gpt-2", "olmo", "smollm")
    steps = [pre_tokenizers.Digits(individual_digits=True)] if pre == "smollm" else []
    if not words:
        steps = [pre_tokenizers.Split(Regex(GGUF_PRE_TOKENIZER_SPLITS[pre]), behavior="isolated")]
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    if pre in ("qwen2", "olmo"):
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=520, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>"])
    tokenizer.add_tokens(["<think>", "</think>"])
    first = [("<|begin|>", tokenizer.token_to_id("<|begin|>"))]
    bytes_ = processors.ByteLevel(trim_offsets=False)
    if pre in ("llama-bpe", "tekken"):
        begins = processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=first)
        tokenizer.post_processor = processors.Sequence([bytes_, begins])
    else:
        tokenizer.post_processor = bytes_
    return tokenizer


def sentence_piece(kind: str, prefix: bool, folder: pathlib.Path) -> sentencepiece.SentencePieceProcessor:
    """As Llama 2 and Gemma trained theirs."""
    text = folder / "corpus.txt"
    text.write_text("\n".join(line.replace("\x00", "") for line in corpus()))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / "tokenizer"),
        model_type=kind,
        vocab_size=700,
        byte_fallback=True,
        character_coverage=0.99,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=prefix,
        split_digits=True,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


def converter(folder: pathlib.Path, file: pathlib.Path, vocabulary: int, gemma: bool):
    """llama.cpp's converter, ready to write a vocabulary; it wants a model beside it."""
    kind = transformers.GemmaConfig if gemma else transformers.LlamaConfig
    config = kind(
        vocab_size=vocabulary,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        bos_token_id=1,
        eos_token_id=2,
    )
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float16).save_pretrained(folder)
    hparams = ModelBase.load_hparams(folder, False)
    kind = get_model_class(get_model_architecture(hparams, ModelType.TEXT), mmproj=False)
    return kind(folder, gguf.LlamaFileType.MOSTLY_F16, file, eager=True)


def write(made, file: pathlib.Path) -> None:
    made.gguf_writer.write_header_to_file(path=file)
    made.gguf_writer.write_kv_data_to_file()
    made.gguf_writer.close()


def of_byte_level(pre: str) -> dict:
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=byte_level(pre),
            bos_token="<|begin|>",
            eos_token="<|end|>",
            chat_template="{% for m in messages %}{{ m.content + eos_token }}{% endfor %}",
        )
        tokenizer.save_pretrained(folder)
        file = FIXTURES / f"{pre}.gguf"
        made = converter(folder, file, len(tokenizer), False)
        made.get_vocab_base_pre = lambda _: pre
        made._set_vocab_gpt2()
        write(made, file)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        ids = [tokenizer.encode(text) for text in TEXTS]
        decoded = [tokenizer.decode(each, clean_up_tokenization_spaces=False) for each in ids]
    return {"ids": ids, "decoded": decoded}


def of_sentence_piece(name: str, kind: str, prefix: bool) -> dict:
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        processor = sentence_piece(kind, prefix, folder)
        file = FIXTURES / f"{name}.gguf"
        made = converter(folder, file, processor.vocab_size(), not prefix)
        made._set_vocab_sentencepiece()
        if not prefix:
            made.gguf_writer.add_add_space_prefix(False)
        write(made, file)
        ids = [processor.encode(text, add_bos=True) for text in TEXTS]
        decoded = [processor.decode(each) for each in ids]
    return {"ids": ids, "decoded": decoded}


def main() -> None:
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    FIXTURES.mkdir(parents=True, exist_ok=True)
    cases = {pre: of_byte_level(pre) for pre in ["gpt-2", "llama-bpe", "qwen2", "smollm", "olmo", "gpt-4o", "tekken", "dbrx"]}
    cases["spm-bpe"] = of_sentence_piece("spm-bpe", "bpe", True)
    cases["spm-bpe-no-prefix"] = of_sentence_piece("spm-bpe-no-prefix", "bpe", False)
    cases["spm-unigram"] = of_sentence_piece("spm-unigram", "unigram", True)
    entries = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in {"texts": TEXTS, **cases}.items()]
    (FIXTURES / "expected.json").write_text("{\n" + ",\n".join(entries) + "\n}\n")
    for name, case in cases.items():
        print(name, sum(map(len, case["ids"])), (FIXTURES / f"{name}.gguf").stat().st_size)


if __name__ == "__main__":
    main()

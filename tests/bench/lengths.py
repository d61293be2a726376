"""Writes lengths.json: how long the first rows of a file are.

    python3 tests/bench/lengths.py gsm8k-train.jsonl

Made from the training problems of openai/grade-school-math (MIT). No large tokenizer comes with this repository, so a
token is four bytes of UTF-8, and ten for the marks of question and answer.
"""

import json
import pathlib
import sys

ROWS = 96

rows = [json.loads(line) for line in pathlib.Path(sys.argv[1]).read_text().splitlines()[:ROWS]]
lengths = [10 + len((row["question"] + row["answer"]).encode()) // 4 for row in rows]
what = f"the first {ROWS} training problems of GSM8K, four bytes a token"
path = pathlib.Path(__file__).with_name("lengths.json")
path.write_text(json.dumps({"what": what, "lengths": lengths}) + "\n")

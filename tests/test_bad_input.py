"""Bad input of every command, in one table: each row ends with exit code 2 and a sentence, and starts nothing.

In the words of a row ``DIR`` stands for a folder of the test's own, ``MODEL`` for a small model, and ``ROWS`` for
prompts that are right. ``made`` writes the row's files into ``DIR``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file
from torch import int8

from r1ray.main import main

WEIGHTS = "model.safetensors"
Maker = Callable[[Path, Path], None]
"""Writes the files of a row, of its folder and the folder of the small model."""


@dataclass(frozen=True, slots=True)
class Bad:
    """One command that is refused."""

    words: Sequence[str]
    says: Sequence[str]
    """Every one of these is in the message."""
    made: Maker | None = None


def bad(words: str | Sequence[str], *says: str, made: Maker | None = None) -> Bad:
    """Return a row; ``words`` is a list where one of them has a space."""
    return Bad(words.split() if isinstance(words, str) else words, says, made)


SMALL = (
    "data.train=ROWS",
    "output_dir=DIR/runs",
    "algo.group_size=2",
    "algo.prompts_per_step=2",
    "algo.minibatches_per_step=1",
    "algo.max_completion_tokens=16",
    "data.max_prompt_tokens=256",
    "data.template=none",
    "learner.max_tokens_per_microbatch=512",
    "steps=1",
)
"""A run of the small model."""


def run(words: str | Sequence[str], *says: str, made: Maker | None = None) -> Bad:
    """Return a row of a run that would work without ``words``."""
    own = words.split() if isinstance(words, str) else [*words]
    return Bad(["run", "model=MODEL", *SMALL, *own], says, made)


def loop(folder: Path, model: Path) -> None:
    (folder / "loop.jsonl").symlink_to(folder / "loop.jsonl")


def dangling(folder: Path, model: Path) -> None:
    (folder / "rows.jsonl").symlink_to(folder / "gone.jsonl")


def pipe(folder: Path, model: Path) -> None:
    os.mkfifo(folder / "pipe.jsonl")


def link(folder: Path, model: Path) -> None:
    file("x.jsonl", SUM)(folder, model)
    (folder / "link.jsonl").symlink_to(folder / "x.jsonl")


def hard_link(folder: Path, model: Path) -> None:
    file("x.jsonl", SUM)(folder, model)
    (folder / "link.jsonl").hardlink_to(folder / "x.jsonl")


def responses(folder: Path, model: Path) -> None:
    row = {"id": "1", "check": {"type": "math", "answer": "2"}, "response": "It is $\\boxed{2}$."}
    (folder / "r.jsonl").write_text(json.dumps(row) + "\n")


def parquet(name: str, rows: list[dict[str, Any]], *, length: int | None = None) -> Maker:
    """Return what writes a Parquet file, or its first bytes."""

    def made(folder: Path, model: Path) -> None:
        pq.write_table(pa.Table.from_pylist(rows), folder / name)
        (folder / name).write_bytes((folder / name).read_bytes()[:length])

    return made


def file(name: str, content: str | bytes) -> Maker:
    """Return what writes one file."""

    def made(folder: Path, model: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return made


def model_with(name: str, change: Callable[[Path], None]) -> Maker:
    """Return what copies the small model to ``name`` and changes its folder."""

    def made(folder: Path, model: Path) -> None:
        shutil.copytree(model, folder / name)
        change(folder / name)

    return made


def settings(name: str, **values: object) -> Callable[[Path], None]:
    """Return what changes values in a JSON file of a model; those that are None are removed."""

    def change(model: Path) -> None:
        found = json.loads((model / name).read_text()) | values
        (model / name).write_text(json.dumps({key: value for key, value in found.items() if value is not None}))

    return change


def replaced(name: str, content: str | bytes | None) -> Callable[[Path], None]:
    """Return what writes a file of a model anew, or removes it."""

    def change(model: Path) -> None:
        (model / name).unlink(missing_ok=True)
        if content is not None:
            (model / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Return what changes the weights of a model."""

    def changed(model: Path) -> None:
        found = load_file(model / WEIGHTS)
        change(found)
        save_file(found, model / WEIGHTS, metadata={"format": "pt"})

    return changed


def cut(model: Path) -> None:
    """Leave half of the weights, as a copy does that was interrupted."""
    content = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(content[: len(content) // 2])


def sharded(index: str, *, has_shard: bool = True) -> Callable[[Path], None]:
    """Return what makes one shard of the weights, and an index that says this."""

    def change(model: Path) -> None:
        (model / WEIGHTS).rename(model / "a.safetensors")
        if not has_shard:
            (model / "a.safetensors").unlink()
        (model / f"{WEIGHTS}.index.json").write_text(index)

    return change


def pickled(model: Path) -> None:
    (model / WEIGHTS).rename(model / "pytorch_model.bin")


def as_adapter(model: Path) -> None:
    (model / "config.json").rename(model / "adapter_config.json")


def linked_to_nothing(model: Path) -> None:
    (model / WEIGHTS).unlink()
    (model / WEIGHTS).symlink_to(model / "gone")


def without_tokenizer(model: Path) -> None:
    for path in model.glob("*token*"):
        path.unlink()


KEYS = [
    bad("run algo.grop_size=4", "algo.grop_size: no such key; the nearest is algo.group_size."),
    bad("run lerner.lr=1", "lerner.lr: no such key; the nearest is learner.lr."),
    bad("run reward.sandbox.mode=none", "reward.sandbox.mode: is called sandbox.mode now."),
    bad("run experiment=quickstar", "experiment=quickstar: needs one of "),
    bad("run algo=pepper", "algo=pepper: needs one of async, cispo, dapo, deepseekmath,"),
    bad("run a==", "a: no such key"),
    bad("run data.train=t", "model is not set: give model=PATH"),
    bad("run model=m", "data.train is not set"),
]
VALUES = [
    run("algo.group_size=1", "algo.group_size=1: needs at least 2"),
    run("learner.lr=nan", "learner.lr=nan: needs a finite number"),
    run("seed=1e20", "seed=1e20: needs a whole number"),
    run("seed=100000000000000000000", "00000: needs at most 2147483647"),
    run("weights.backend=nccl cluster=cpu", "nccl: learner.gpus_per_rank=0"),
    run("rollout.gpu_memory_utilization=7", "rollout.gpu_memory_utilization=7.0: needs"),
    run("rollout.engine_args.enforce_eage=true", "the nearest is enforce_eager"),
    run("judge.engine.engine_args.nnodes=2", "judge.engine.engine_args.nnodes: "),
    run("data.eval=ROWS checkpoint.best=pas@1", "checkpoint.best=pas@1: no evaluation makes it"),
    run("plan.gpu=h1000", "plan.gpu=h1000: needs one of "),
    run("name=", "name is empty: needs a value, or to be left out"),
    bad("run model= data.train=t", "model is empty: needs a value"),
    bad("run model=m data.train=", "data.train is empty: needs a value"),
    bad("run experiment=quickstart prepare.maker=:f", "prepare.maker=:f: needs package.module:function"),
    run("algo.group_size=x", "algo.group_size=x: needs a whole number."),
    bad("run model=m data.train=t algo.minibatches_per_step=100", "nearest smaller value that does is 64"),
    bad("run experiment=quickstart rollout.num_actors=500", "lower one of these keys"),
    bad("run experiment=quickstart learner.num_ranks=500", "the run needs 501 CPUs (learner.num_ranks=500"),
    bad(
        "run experiment=quickstart prepare.maker=null model=MODEL data.train=ROWS output_dir=DIR/runs "
        "reward.parts.format.function=no.such:thing",
        "package.module:function",
    ),
    run("data.max_prompt_tokens=2", "none of the first training prompts fits, the shortest has"),
    run("data.eval=ROWS data.max_prompt_tokens=2", "data.max_prompt_tokens=2: the longest held-out prompt has"),
]
PROMPTS = [
    run("data.train=DIR/no.jsonl", "data.train=DIR/no.jsonl: no such file"),
    *(
        run(f"data.train=DIR/{name}", f"data.train=DIR/{name}", message, made=file(name, content))
        for name, content, message in (
            ("empty.jsonl", "", "the file has no rows; needs at least one prompt"),
            ("torn.jsonl", '{"question": "q", "answer": "1"}\n{"question": ', "line 2: not JSON"),
            ("odd.jsonl", '{"text": "q"}\n', "found the columns text; needs those of one of the layouts"),
            (
                "shape.jsonl",
                '{"prompt": 3, "check": {"type": "math", "answer": "1"}}\n',
                "row 1: prompt needs a string",
            ),
            ("kind.jsonl", '{"prompt": "q", "check": {"type": "poem"}}\n', "row 1: check.type is 'poem'"),
            ("blank.jsonl", '{"question": "q", "answer": ""}\n', "none of its 1 rows has a usable reference"),
            ("fake.parquet", "no parquet", "cannot be read"),
        )
    ),
]
SFT = (
    "run recipe=sft model=MODEL output_dir=DIR/runs data.template=none supervised.max_tokens=256 "
    "supervised.train={} learner.max_tokens_per_microbatch=512"
)
EVAL = "eval model=MODEL benchmark=prompts output_dir=DIR/runs template=none max_tokens=16 data={}"
SCORE = "score reward=check {}"
HELD_OUT = " ".join(["run", "model=MODEL", *SMALL, "data.eval={}"])
SUM = '{"question": "q", "answer": "1"}'
MAKERS = (
    ("loop.jsonl", loop, "can be no path"),
    ("rows.jsonl", dangling, "no such file"),
    ("pipe.jsonl", pipe, "is a device or a pipe"),
    ("x" * 300, None, "can be no path: File name too long"),
    ("rows.jsonl/more", file("rows.jsonl", ""), "no such file"),
    ("no.jsonl", None, "no such file"),
)
PATHS = [
    Bad([*(command.format(f"DIR/{name}").split(" "))], (says,), made)
    for (name, made, says), command in zip(MAKERS * 2, cycle((SFT, EVAL, SCORE, HELD_OUT)), strict=False)
]
FOLDERS = [
    bad(SFT.format("DIR"), "supervised.train=DIR: the folder has no file that ends in one of .parquet"),
    run("data.train=DIR", "data.train=DIR: the folder has no file that ends in one of .parquet"),
    run("data.train=/dev/zero", "data.train=/dev/zero: is a device or a pipe"),
    bad(SCORE.format("DIR"), "DIR: is a folder; needs JSON lines or Parquet"),
    bad(SCORE.format("/dev/zero"), "/dev/zero: is a device or a pipe"),
    bad(EVAL.format("DIR"), "data=DIR: the folder has no file that ends in"),
    bad(EVAL.format("DIR/rows.txt"), "rows.txt: needs a file that ends in", made=file("rows.txt", SUM)),
    bad(f"{EVAL.format('ROWS')} baseline=DIR/no.jsonl", "baseline=DIR/no.jsonl: no such file"),
]
ROWS_OF = [
    bad(command.format(f"DIR/{name}"), f"DIR/{name}", message, made=file(name, content))
    for name, content, message in (
        ("half.jsonl", SUM.replace("q", "\\ud800"), "is half of a surrogate pair"),
        ("bytes.jsonl", b'{"question": "\xff", "answer": "1"}', "can't decode byte 0xff"),
        ("deep.jsonl", '{"question": ' + "[" * 100_000, "nested too deeply"),
        ("digits.jsonl", '{"question": "q", "answer": ' + "1" * 5000 + "}", "Exceeds the limit"),
        ("twice.jsonl", '{"question": "q", "answer": "1", "answer": "2"}', "the key 'answer' is there twice"),
        ("list.jsonl", "[1]", "needs a"),
        ("empty.jsonl", "\r\n\r\n", "rows"),
    )
    for command in (SFT, EVAL)
    if (name, command) != ("empty.jsonl", EVAL)
]
LATE = (
    f"{SUM}\n" * 300
    + '{"question": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], "answer": "1"}'
)
SETS = [
    run(
        "data.train=DIR/x.jsonl",
        "x.jsonl: 1 malformed rows of 301: row 301: data.template=none needs prompts that are",
        made=file("x.jsonl", LATE),
    ),
    run(
        "data.eval=DIR/x.jsonl", "data.eval=DIR/x.jsonl: 1 malformed rows of 301: row 301:", made=file("x.jsonl", LATE)
    ),
    run("data.eval.aime=DIR/no.jsonl", "data.eval=DIR/no.jsonl: no such file"),
    run("data.eval.domain=ROWS", "data.eval.domain: needs a name"),
    run("data.eval.a=ROWS checkpoint.best=b/pass@1", "checkpoint.best=b/pass@1: no evaluation makes it"),
    run("data.eval.a=ROWS checkpoint.best=domain/code/pass@1", "the held-out prompts have one domain"),
    run("data.train=[ROWS,ROWS]", ".jsonl is there twice"),
    run("data.train=[ROWS,DIR/no*.jsonl]", "data.train=DIR/no*.jsonl: no file matches"),
    run("data.train=hf://acme", "data.train=hf://acme: needs the form hf://ORG/NAME@REVISION:CONFIG/SPLIT"),
    run("data.train=DIR/x.json", "cannot be read: line 1, item 1 of the array: not JSON", made=file("x.json", "[{]")),
    run(
        "data.train=DIR/x.csv data.on_bad_row=skip",
        "1 malformed rows of 1, and none is left to use: row 1: has 1",
        made=file("x.csv", "question,answer\n1"),
    ),
    bad(
        SFT.format("[DIR/x.jsonl]"),
        "DIR/x.jsonl]: 1 malformed rows of 2: line 2: not JSON",
        made=file("x.jsonl", f"{SUM}\n{{"),
    ),
]
CODE = '{{"prompt": "q", "check": {{"type": "code", "tests": {tests}, "time_limit_s": {limit}}}}}'
VALUES_OF_ROWS = [
    run("data.train=DIR/x.jsonl", "row 1: ", message, made=file("x.jsonl", content))
    for content, message in (
        (CODE.format(tests="[]", limit="NaN"), "check.time_limit_s is nan: needs a finite number above 0"),
        (CODE.format(tests="[]", limit="Infinity"), "check.time_limit_s is inf: needs a finite number above 0"),
        (CODE.format(tests="[]", limit="1" + "0" * 400), "OverflowError"),
        ('{"question": "q", "input_output": {"inputs": null, "outputs": []}}', "its tests need inputs and outputs"),
        ('{"question_content": "q", "public_test_cases": null}', "a value is not of the layout"),
        ('{"prompt": [null], "check": {"type": "format"}}', "prompt is a list, but not of"),
    )
]
PARQUET = [
    run("data.train=DIR/x.jsonl", "it is a Parquet file", made=parquet("x.jsonl", [{"question": "q", "answer": "1"}])),
    run("data.train=DIR/x.parquet", "cannot be read", made=file("x.parquet", SUM)),
    run("data.train=DIR/x.parquet", "cannot be read", made=parquet("x.parquet", [{"question": "q"}], length=150)),
    run("data.train=DIR/x.parquet", "the file has no rows", made=parquet("x.parquet", [])),
    run(
        "data.train=DIR/x.parquet",
        "row 1: prompt is a list, but not of",
        made=parquet("x.parquet", [{"prompt": [None, {"role": "user", "content": None}], "check": {"type": "format"}}]),
    ),
    run(
        "data.train=DIR/x.parquet",
        "none of its 1 rows has a usable reference",
        made=parquet("x.parquet", [{"question": "q", "answer": float("nan")}]),
    ),
    bad(SCORE.format("DIR/x.parquet"), "cannot be read as Parquet", made=file("x.parquet", SUM)),
    bad(EVAL.format("DIR/x.parquet"), "cannot be read", made=file("x.parquet", SUM)),
]
BROKEN_MODELS: list[tuple[str, Callable[[Path], None]]] = [
    ("its config.json cannot be read", replaced("config.json", '{"model_type": "llama"')),
    ("its config.json cannot be read", replaced("config.json", "[" * 100_000)),
    ("its config.json cannot be read", replaced("config.json", b"\xff\xfe\x00")),
    ("its config.json has no model_type", replaced("config.json", "[1]")),
    ("its config.json has no model_type", settings("config.json", model_type=None)),
    ("model type `pepper`", settings("config.json", model_type="pepper")),
    ("expected int, got str (value: 'wide')", settings("config.json", hidden_size="wide")),
    ("not a model that transformers can load", settings("config.json", num_attention_heads=0)),
    ("its architecture is ['LlamaForSequenceClassification']; needs a causal language model",
     settings("config.json", architectures=["LlamaForSequenceClassification"])),
    ("the folder has no config.json", replaced("config.json", None)),
    ("the folder has an adapter and no model", as_adapter),
    ("no end-of-sequence token; needs eos_token", settings("tokenizer_config.json", eos_token=None)),
    ("it has no tokenizer", without_tokenizer),
    ("its tokenizer cannot be loaded", replaced("tokenizer.json", "{")),
    ("its tokenizer cannot be loaded", replaced("tokenizer.json", '{"model": 1}')),
    ("its tokenizer has 274 tokens, its embedding 100 rows", settings("config.json", vocab_size=100)),
    ("it has no weights; needs model.safetensors", replaced(WEIGHTS, None)),
    ("model.safetensors is no file, or a link to none", linked_to_nothing),
    ("its weights are pickled (.bin)", pickled),
    ("model.safetensors has 0 bytes and is not whole", replaced(WEIGHTS, "")),
    ("and is not whole", cut),
    ("and is not whole", replaced(WEIGHTS, b"\xff" * 64)),
    ("is a pointer of Git LFS", replaced(WEIGHTS, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")),
    ("model.safetensors.index.json cannot be read", sharded('{"metadata": {}, "weight_map": {"lm_head.weight": ')),
    ("model.safetensors.index.json cannot be read", sharded("{}")),
    ("names a.safetensors, and the folder has no such file",
     sharded('{"metadata": {}, "weight_map": {"lm_head.weight": "a.safetensors"}}', has_shard=False)),
    ("names ../a.safetensors", sharded('{"metadata": {}, "weight_map": {"lm_head.weight": "../a.safetensors"}}')),
    ("says that other is in a.safetensors, and it is not",
     sharded('{"metadata": {}, "weight_map": {"other": "a.safetensors"}}')),
    ("have in another shape than its config.json model.layers.0.mlp.down_proj.weight 64x128 instead of 64x256",
     settings("config.json", intermediate_size=256)),
    ("have in another shape than its config.json lm_head.weight 274x64 instead of 512x64",
     settings("config.json", vocab_size=512)),
    ("its weights lack model.layers.2.input_layernorm.weight, ", settings("config.json", num_hidden_layers=3)),
    ("its weights have, and its config.json does not, model.layers.1.", settings("config.json", num_hidden_layers=1)),
    ("its weights lack model.norm.weight", tensors(lambda found: found.pop("model.norm.weight"))),
    ("its weights have, and its config.json does not, odd",
     tensors(lambda found: found.update(odd=found["model.norm.weight"].clone()))),
    ("lm_head.weight is stored as I8, and config.json has no quantization_config",
     tensors(lambda found: found.update({"lm_head.weight": found["lm_head.weight"].to(int8)}))),
    ("its weights are quantised", settings("config.json", quantization_config={"quant_method": "awq", "bits": 4})),
    ("generation_config.json: temperature is 'hot'", settings("generation_config.json", temperature="hot")),
]  # fmt: skip
MODELS = [
    run("model=DIR/no", "model=DIR/no: no such folder; needs a Hugging Face model folder"),
    run("model=DIR", "model=DIR: the folder has no config.json"),
    run("model=ROWS", "model=ROWS: no such folder"),
    run("data.template=chat", "data.template=chat: the tokenizer of model=MODEL has no chat template"),
    *(run("model=DIR/m", "model=DIR/m: ", says, made=model_with("m", change)) for says, change in BROKEN_MODELS),
]
SCORED = [
    bad("score reward=check", "found 0 files"),
    bad("score a b reward=check", "found 2 files"),
    bad("score no.jsonl", "no.jsonl: no such file; needs JSON lines or Parquet"),
    bad("score ROWS output=ROWS", "output=ROWS: is the file of responses"),
    bad("score x.jsonl output=x.jsonl", "output=x.jsonl: is the file of responses", made=file("x.jsonl", SUM)),
    bad("score x.jsonl output=./y/../x.jsonl", "is the file of responses", made=file("x.jsonl", SUM)),
    bad("score x.jsonl output=link.jsonl", "output=link.jsonl: is the file", made=link),
    bad("score x.jsonl output=link.jsonl", "output=link.jsonl: is the file", made=hard_link),
    bad("score ROWS output=DIR", "output=DIR: cannot be written: needs the path of a file"),
    bad("score ROWS output=DIR/no/x.jsonl", "cannot be written: needs the path of a file"),
    bad("score ROWS output=loop.jsonl", "output=loop.jsonl: can be no path", made=loop),
    bad(f"score ROWS output={'x' * 300}", "File name too long"),
    bad("score DIR/r.jsonl output=/dev/full", "output=/dev/full: cannot be written: No space left", made=responses),
]
PLACES = [
    run("output_dir=DIR/file", "output_dir=DIR/file: is no folder", made=file("file", "")),
    run("output_dir=DIR/file/runs", "output_dir: DIR/file/runs", "cannot be made", made=file("file", "")),
    run("output_dir=DIR/loop.jsonl", "output_dir=DIR/loop.jsonl: can be no path", made=loop),
    run("output_dir=MODEL/runs", "output_dir: MODEL/runs/", "is inside of model=MODEL"),
    run("output_dir=az://bucket/runs", "output_dir=az://bucket/runs: needs a path, or an address of the form s3://"),
    run("output_dir=s3://b-b/x name='a?b'", "name=s3://b-b/x/a?b: needs a path, or an address of the form"),
    run("output_dir=s3://b-b/x cluster.scratch_dir=/dev/shm", "/dev/shm/s3/b-b/x, which is in memory (tmpfs)"),
    run("output_dir=s3://b-b/x cluster.scratch_dir=DIR/f", "which cannot hold a run: Not a dir", made=file("f", "")),
    run(f"name={'x' * 300}", "needs at most 200 bytes, found 300"),
    bad("score zero\0.jsonl", "can be no path: embedded null byte"),
    run("name=../../x", "name=../../x: needs a name without /"),
    run("name=/tmp/x", "name=/tmp/x: needs a name without /"),
    run("name=a/b", "name=a/b: needs a name without /"),
    run("name=artifacts", "name=artifacts: is a folder that all runs share"),
    bad(EVAL.format("ROWS") + " output_dir=MODEL", "output_dir=MODEL: is inside of model=MODEL"),
    bad(EVAL.format("ROWS") + " output_dir=ROWS", "output_dir=ROWS: is no folder"),
]
OTHER_MODELS = (
    [
        bad(f"{EVAL.format('ROWS')} {key}=DIR/m", f"{key}=DIR/m: ", says, made=model_with("m", change))
        for key in ("against", "judge.model")
        for says, change in (
            ("it has no weights", replaced(WEIGHTS, None)),
            ("and is not whole", cut),
            ("the folder has no config.json", replaced("config.json", None)),
        )
    ]
    + [
        bad(f"{EVAL.format('ROWS')} {key}=DIR/no", f"{key}=DIR/no: no such folder")
        for key in ("against", "judge.model", "reward_model.model")
    ]
    + [
        bad(f"{EVAL.format('ROWS')} reward_model.model=MODEL", "reward_model.model=MODEL: it has 2 labels; needs one"),
        run("recipe=extend model=DIR/m", "and is not whole", made=model_with("m", cut)),
        bad(SFT.format("ROWS") + " model=DIR/m", "model=DIR/m: ", "and is not whole", made=model_with("m", cut)),
    ]
)
NONE_OF_THESE = [
    bad("export DIR", "DIR: has no checkpoint"),
    bad("export DIR/no", "DIR/no: no such folder"),
    bad("export ROWS", "ROWS: no such folder"),
    bad("export MODEL", "MODEL: has no checkpoint"),
    bad("export DIR --out ROWS", "--out=ROWS: is there already"),
    bad("export DIR --out MODEL", "--out=MODEL: is there already"),
    bad("export DIR --out link.jsonl", "--out=link.jsonl: is there already", made=link),
    bad("export DIR --out ROWS/x", "--out=ROWS/x: ROWS is no folder"),
    bad("export DIR --out checkpoints/7", "--out=checkpoints/7: is among the run's own checkpoints"),
    bad("export DIR --out hf/7", "--out=hf/7: is among the run's own checkpoints"),
    bad("export loop.jsonl", "can be no path", made=loop),
    bad(f"export {'x' * 300}", "File name too long"),
    bad("plan model=DIR data.train=ROWS", "model=DIR: the folder has no config.json"),
    bad("plan model=ROWS data.train=ROWS", "model=ROWS: "),
    bad("plan model=loop.jsonl data.train=ROWS", "model=loop.jsonl: no model folder", made=loop),
    bad("plan model=DIR/m data.train=ROWS", "cannot be read", made=model_with("m", replaced("config.json", "{"))),
    bad("plan model=DIR/m data.train=ROWS", "no JSON object", made=model_with("m", replaced("config.json", "[]"))),
    bad(
        "plan model=DIR/m data.train=ROWS", "hidden_size='x'; needs a whole number above 0",
        made=model_with("m", settings("config.json", hidden_size="x")),
    ),
    bad("submit model=MODEL data.train=ROWS output_dir=runs", "output_dir=runs: needs an absolute path"),
]  # fmt: skip
TABLE = [
    *(*KEYS, *VALUES, *PROMPTS, *PATHS, *FOLDERS, *ROWS_OF, *SETS, *VALUES_OF_ROWS, *PARQUET),
    *(*MODELS, *OTHER_MODELS, *SCORED, *PLACES, *NONE_OF_THESE),
]


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("Ray was started for a command that cannot work")

    monkeypatch.setattr("ray.init", refuse)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: " ".join(word for word in row.words if word not in SMALL)[:80])
def test_bad_input_is_a_sentence_and_starts_nothing(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    llama_folder: Path,
    arithmetic_jsonl: Path,
    row: Bad,
) -> None:
    def named(text: str) -> str:
        for name, path in (("DIR", tmp_path), ("MODEL", llama_folder), ("ROWS", arithmetic_jsonl)):
            text = text.replace(name, str(path))
        return text

    if row.made is not None:
        row.made(tmp_path, llama_folder)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    code = main([named(word) for word in row.words])
    said = capsys.readouterr().err
    assert code == 2, said
    assert all(named(part) in said for part in row.says), said
    assert "Traceback" not in said
    assert sorted(tmp_path.iterdir()) == before

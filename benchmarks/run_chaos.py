"""Runs that are killed, and a work folder that everybody uses at once.

    python benchmarks/run_chaos.py --kills 40
    python benchmarks/run_chaos.py --minutes 10

With `--kills` a run is ended, by SIGKILL and SIGTERM in turns, at a moment inside training, evaluation and
the gates; the next run must succeed, and leave no execution at work and no file behind. With `--minutes` run,
serve, gc, rollback, report and predict share one folder, and every score must be that of a version.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402 - behind the path
from duplicates import corpus  # noqa: E402

KEMBAR = Path(sys.executable).with_name("kembar")
CONFIG = """
[pipeline]
name = "twins"
[data]
format = "csv"
path = "pairs.csv"
text_a = "a"
text_b = "b"
label = { column = "score", kind = "score", range = [0, 5] }
[model]
embedding_dim = 32
ngrams = []
oov_buckets = 10
[training]
epochs = 8
batch_size = 32
[serving]
keep_versions = 3
[gates]
floors = { spearman = -2.0 }
beat_baselines = false
champion_margin = -10.0
"""
PAIR = ("a man plays the guitar", "someone is playing a guitar")
LAST_BEFORE = "Transform"


class Project:
    """A configuration with 600 pairs, and its work folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.work, self.tmp = root, root / "work", root / "tmp"
        self.tmp.mkdir()
        dice, texts = random.Random(1), corpus(900)  # noqa: S311 - repeatable, not secret
        with (root / "pairs.csv").open("w", encoding="utf-8") as file:
            file.write("a,b,score\n")
            for _ in range(600):
                a, b = (dice.choice(texts).replace('"', "'") for _ in range(2))
                file.write(f'"{a}","{b}",{dice.uniform(0, 5):.2f}\n')
        (root / "twins.toml").write_text(CONFIG)

    def start(self, command: str, *more: str) -> subprocess.Popen[str]:
        """A command of kembar, at work; what it says comes by one pipe."""
        call = [str(KEMBAR), command, "twins.toml", "--workdir", "work", *more]
        environment = {**os.environ, "TMPDIR": str(self.tmp)}
        return subprocess.Popen(
            call, cwd=self.root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def do(self, command: str, *more: str) -> tuple[int, str]:
        """Its exit code, and what it said."""
        process = self.start(command, *more)
        output = process.communicate()[0]
        return process.returncode, output

    @property
    def serving(self) -> Path:
        """The folder of versions."""
        return self.work / "serving" / "twins"

    def left_behind(self) -> list[str]:
        """What should not be there after a run that went well."""
        from ml_metadata.metadata_store import MetadataStore
        from ml_metadata.proto import metadata_store_pb2 as mlmd

        left = [str(path) for path in self.tmp.rglob("*")]
        versions = [f"serving/twins/{name}*" for name in (".incoming", ".removing", ".pending")]
        for pattern in (".*.new", ".*.old", ".kembar-tmp/*", *versions, "artifacts/checkpoints/*"):
            left += [str(path) for path in self.work.glob(pattern)]
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(self.work / "metadata.sqlite")
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READONLY
        store = MetadataStore(config)
        executions = {execution.id: execution.last_known_state for execution in store.get_executions()}
        at_work = (mlmd.Execution.NEW, mlmd.Execution.RUNNING)
        left += [f"execution {id_} at work" for id_, state in executions.items() if state in at_work]
        for folder in (self.work / "artifacts").glob("[!.c]*/[!.]*/*"):
            if executions.get(int(folder.name)) not in (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED):
                left.append(str(folder))
        return left


def kill_runs(project: Project, kills: int, dice: random.Random) -> bool:
    """Ends runs at moments inside training, evaluation and gates; whether nothing was left of any."""
    must(project.do("run"))
    steps = json.loads((project.work / "summary.json").read_text())["components"]
    names = [step["id"] for step in steps]
    behind = steps[names.index(LAST_BEFORE) + 1 :]
    length = sum(step["seconds"] for step in behind)
    moments: Counter[str] = Counter()
    good = True
    for number in range(kills):
        seed = f"training.seed={number + 2}"
        run = project.start("run", "--set", seed)
        at, last = dice.uniform(0, length), ""
        timer = threading.Timer(at, run.send_signal, [(signal.SIGKILL, signal.SIGTERM)[number % 2]])
        for line in run.stdout or ():
            words = line.split()
            if len(words) > 1 and words[1] in names:
                last = words[1]
                if last == LAST_BEFORE:
                    timer.start()
        timer.cancel()
        run.wait()
        moments[names[min(names.index(last) + 1, len(names) - 1)] if last in names else "?"] += 1
        status, output = project.do("run", "--set", seed)
        left = project.left_behind()
        ends = (0, -signal.SIGKILL, 128 + signal.SIGTERM)  # 0: it had ended before
        good &= run.returncode in ends and status == 0 and not left
        print(
            f"{number + 1:>3} ended with {run.returncode} behind {last}; the next run {status}; "
            f"left: {left or 'nothing'}" + ("" if status == 0 else f"\n{output[-800:]}"),
            flush=True,
        )
    print(f"killed inside {dict(moments)}", flush=True)
    return good


class Scores:
    """What each version scores, asked of a fresh copy of it once it is there."""

    def __init__(self, project: Project) -> None:
        self._project, self.ended = project, threading.Event()
        self.of: dict[int, float] = {}
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def _follow(self) -> None:
        from components.version_folder.log import folders
        from pipeline.serving.model import LoadedModel

        while not self.ended.is_set():
            for version, folder in folders(self._project.serving).items():
                if version not in self.of:
                    try:
                        model = LoadedModel.load(folder)
                        inputs = {
                            name: np.array([text.encode()], object)
                            for name, text in zip(("text_a", "text_b"), PAIR, strict=True)
                        }
                        self.of[version] = float(model.predict("", inputs)["score"].reshape(-1)[0])
                    except Exception as error:  # noqa: BLE001 - removed meanwhile
                        print(f"{version}: {error}", flush=True)
            self.ended.wait(0.2)


def share(project: Project, minutes: float, dice: random.Random) -> bool:  # noqa: C901 - one scene
    """Everybody uses one folder; whether every command did what it should and every score was a version's."""
    must(project.do("run"))
    scores = Scores(project)
    scores.thread.start()
    server = project.start("serve", "--port", "0", "--grpc-port", "0")
    line = next(line for line in server.stdout or () if line.startswith("serving "))
    url = line.split(" at ")[1].split(",")[0].strip()
    threading.Thread(target=lambda: [None for _ in server.stdout or ()], daemon=True).start()
    answers: Counter[float] = Counter()
    problems: Counter[str] = Counter()
    ended = threading.Event()

    def ask() -> None:
        body = json.dumps({"instances": [{"text_a": PAIR[0], "text_b": PAIR[1]}]}).encode()
        while not ended.wait(0.01):
            try:
                with urllib.request.urlopen(f"{url}:predict", body, timeout=30) as answer:  # noqa: S310
                    [prediction] = json.load(answer)["predictions"]
                    answers[
                        round(float(prediction["score"] if isinstance(prediction, dict) else prediction), 4)
                    ] += 1
            except (urllib.error.URLError, OSError) as error:
                problems[f"REST: {error}"] += 1

    def repeat(command: str, *more: str) -> None:
        while not ended.is_set():
            status, output = project.do(command, *more)
            # A run at work holds the lock, and has taken away the summary of the one before.
            expected = (status == 5 and command in ("run", "gc")) or "wait for the one at work" in output
            if status and not expected:
                problems[f"{command}: {status}: {output.strip()[-200:]}"] += 1
            elif command == "predict":
                answers[round(json.loads(output.splitlines()[-1])["score"], 4)] += 1
            ended.wait(dice.uniform(0, 2))

    def train() -> None:
        for number in range(10_000):
            if ended.is_set():
                return
            status, output = project.do(
                "run", "--set", f"training.seed={number + 2}", "--set", "training.epochs=1"
            )
            if status not in (0, 5):
                problems[f"run: {status}: {output.strip()[-300:]}"] += 1

    def go_back() -> None:
        while not ended.wait(dice.uniform(0, 5)):
            there = sorted(scores.of)
            to = dice.choice([*map(str, there), "latest"])
            status, output = project.do("rollback", "--to", to)
            if status not in (0, 2):  # 2: gc was there first
                problems[f"rollback: {status}: {output.strip()[-200:]}"] += 1

    work = [ask, train, go_back, *(lambda c=c: repeat(*c) for c in (("gc", "--keep", "2"), ("report",),
            ("predict", *PAIR)))]  # fmt: skip
    threads = [threading.Thread(target=job, daemon=True) for job in work]
    for thread in threads:
        thread.start()
    time.sleep(minutes * 60)
    ended.set()
    for thread in threads:
        thread.join(600)
    server.send_signal(signal.SIGTERM)
    scores.ended.set()
    known = {round(score, 4) for score in scores.of.values()}
    wrong = {score: count for score, count in answers.items() if min(abs(score - k) for k in known) > 2e-4}
    print(f"{answers.total():,} answers of {len(scores.of)} versions; wrong: {wrong or 'none'}", flush=True)
    print(f"problems: {dict(problems) or 'none'}", flush=True)
    return not wrong and not problems


def must(done: tuple[int, str]) -> None:
    """Ends the program where a command did not go well that nobody disturbed."""
    if done[0]:
        sys.exit(done[1])


def main() -> None:
    """One of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)  # noqa: S311 - repeatable, not secret
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        good = (
            kill_runs(project, options.kills, dice)
            if options.kills
            else share(project, options.minutes, dice)
        )
    sys.stdout.flush()
    os._exit(not good)  # TensorFlow can crash in its last garbage collection


if __name__ == "__main__":
    main()

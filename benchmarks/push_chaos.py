"""Kills pushes, or whole runs, at random moments while a poller loads every version as soon as it appears.

    python benchmarks/push_chaos.py pushes --kills 100
    python benchmarks/push_chaos.py runs --kills 10

The poller does what TF Serving does: it looks for numbered folders, loads each in a session, and sends it
its warm-up requests. After every kill the same push or run is done again and must succeed. Prints one JSON
object; exit status 1 if any load failed or was wrong, or anything was left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from components.version_folder.log import LOG, checksum, digests, read_log  # noqa: E402
from components.version_folder.push import (  # noqa: E402
    INCOMING,
    PENDING,
    REMOVING,
    push,
    versions,
)
from trainer.files import LOCK  # noqa: E402

NUMBER = "assets/number"
KEEP = 10
RUN = (
    "training.epochs=3",
    "gates.beat_baselines=false",
    "gates.floors={}",
    "gates.champion_margin=-100.0",
)


def poll(base: Path, ended: Path, report: Path, model: Path | None) -> None:
    """Loads every version once, until `ended` is there and nothing is new; first exports `model`, if any."""
    from components.serving_gate.probe import Model, warm_up

    if model is not None:
        export(model)
    report.with_suffix(".ready").touch()
    seen: dict[int, dict[str, Any]] = {}
    while True:
        last = ended.exists()
        fresh = [version for version in versions(base) if version not in seen]
        for version in fresh:
            folder = base / str(version)
            load: dict[str, Any] = {}
            try:
                loaded = Model(str(folder))
                warm_up(loaded, str(folder))
                if model is not None:
                    load["number"] = float(loaded.ask("serving_default", {"x": [0.0]})["y"][0])
                loaded.close()
                load["sha256"] = checksum(digests(folder))
            except Exception as error:  # noqa: BLE001 - whatever it is, a client would have met it
                load["error"] = " ".join(str(error).split())[:300]
            seen[version] = load
        time.sleep(0.001)
        if last and not fresh:
            break
    report.write_text(json.dumps(seen))


def export(path: Path) -> None:
    """A model of 8 MB whose answer is what a file beside it says."""
    import tensorflow as tf

    from trainer.exporting.warmup import write_warmup

    class Numbered(tf.Module):
        def __init__(self, number: Path) -> None:
            super().__init__()
            self._number = tf.saved_model.Asset(str(number))
            self._weights = tf.Variable(tf.random.normal([2_000_000]))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def add(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            number = tf.strings.to_number(tf.io.read_file(self._number.asset_path))
            return {"y": x + number + 0 * tf.reduce_sum(self._weights)}

    with tempfile.TemporaryDirectory() as folder:
        number = Path(folder, "number")
        number.write_text("0")
        module = Numbered(number)
        signatures = {"serving_default": module.add.get_concrete_function()}
        tf.saved_model.save(module, str(path), signatures=signatures)
    write_warmup(str(path), signatures, {"serving_default": {"x": [1.0]}})


def kill_pushes(kills: int, folder: Path, dice: random.Random) -> dict[str, Any]:
    """Pushes in processes of their own, forked so that none waits for TensorFlow's import."""
    base, model = folder / "serving" / "numbered", folder / "model"
    poller = start_poller(base, folder, model)
    from components.atomic_pusher.component import load_once

    def pushing(number: int) -> int:
        (model / NUMBER).write_text(str(number))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                push(model, base, {"number": number}, verify=load_once, keep=KEEP)
                status = 0
            finally:
                os._exit(status)
        return child

    began = time.monotonic()
    for number in range(3):
        must(os.waitpid(pushing(number), 0)[1] == 0, "a push that nobody killed failed")
    longest = (time.monotonic() - began) / 3 * 1.1
    phases: Counter[str] = Counter()
    succeeded, left = 0, []
    while phases.total() < kills:
        number += 1
        child = pushing(number)
        time.sleep(dice.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            continue  # it had ended
        phases[phase_of(base, number)] += 1
        succeeded += os.waitpid(pushing(number), 0)[1] == 0
        left += leftovers(base)
    verdict = judge(base, stop_poller(poller, folder))
    answers = verdict["loads"]
    wrong = [entry["version"] for entry in read_log(base) if answers.get(entry["version"]) != entry["number"]]
    return {
        "killed": dict(phases),
        "next_succeeded": succeeded,
        "left": left,
        "wrong_answers": wrong,
        **verdict,
    }


def kill_runs(kills: int, folder: Path, dice: random.Random) -> dict[str, Any]:
    """Whole runs of a small configuration, each with a seed of its own, so that each has a model to push."""
    base = folder / "serving" / "digits_dense"
    poller = start_poller(base, folder, None)
    settings = [part for setting in RUN for part in ("--set", setting)]

    def running(seed: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pipeline", "run", str(ROOT / "configs" / "digits_dense.toml")]
        command += ["--workdir", str(folder), *settings, "--set", f"training.seed={seed}"]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    running(0).wait()  # fills the cache up to the trainer
    began = time.monotonic()
    must(running(1).wait() == 0, "a run that nobody killed failed")
    longest = time.monotonic() - began
    killed, succeeded, seed, left = 0, 0, 1, []
    while killed < kills:
        seed += 1
        child = running(seed)
        time.sleep(dice.uniform(0, longest))
        child.kill()
        killed += child.wait() == -signal.SIGKILL
        succeeded += running(seed).wait() == 0
        left += leftovers(base)
    verdict = judge(base, stop_poller(poller, folder))
    counts = {
        "killed": killed,
        "seconds_of_a_run": round(longest, 1),
        "next_succeeded": succeeded,
        "left": left,
    }
    return {**counts, **verdict}


def start_poller(base: Path, folder: Path, model: Path | None) -> subprocess.Popen[bytes]:
    """The poller, once it looks."""
    base.mkdir(parents=True)
    command = [sys.executable, __file__, "poll", "--folder", str(folder), "--base", str(base)]
    command += [] if model is None else ["--model", str(model)]
    poller = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (folder / "report.ready").exists():
        must(poller.poll() is None, "the poller did not start")
        time.sleep(0.1)
    return poller


def stop_poller(poller: subprocess.Popen[bytes], folder: Path) -> dict[int, dict[str, Any]]:
    """What it has seen."""
    (folder / "ended").touch()
    must(poller.wait() == 0, "the poller failed")
    report = json.loads((folder / "report.json").read_text())
    return {int(version): load for version, load in report.items()}


def must(held: bool, otherwise: str) -> None:
    """Ends the benchmark where its own parts do not work."""
    if not held:
        raise SystemExit(otherwise)


def phase_of(base: Path, number: int) -> str:
    """Where the kill came, by what is there now."""
    if list(base.glob(f"{REMOVING}*")):
        return "removing an old version"
    if (base / PENDING).is_file():
        version = json.loads((base / PENDING).read_text())["version"]
        return "renamed, not yet logged" if (base / str(version)).is_dir() else "about to rename"
    if list(base.glob(f"{INCOMING}*")):
        return "copying and checking"
    return "logged" if read_log(base)[-1]["number"] == number else "not begun"


def leftovers(base: Path) -> list[str]:
    """What is there besides versions, their log and the lock, and versions that are not in the log."""
    known = {str(entry["version"]) for entry in read_log(base)} | {LOG, LOCK}
    return sorted({path.name for path in base.iterdir()} - known)


def judge(base: Path, seen: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """What the poller met, against what the log says was pushed."""
    log = read_log(base)
    logged = [entry["version"] for entry in log]
    return {
        "versions": len(logged),
        "versions_rise": logged == sorted(set(logged)),
        "loaded": sum("error" not in load for load in seen.values()),
        "failed_loads": {version: load["error"] for version, load in seen.items() if "error" in load},
        "wrong_files": [e["version"] for e in log if seen.get(e["version"], {}).get("sha256") != e["sha256"]],
        "loads": {version: load.get("number") for version, load in seen.items()},
    }


def main() -> int:
    """0 when nothing went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["pushes", "runs", "poll"])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="2", CUDA_VISIBLE_DEVICES="")
    if options.what == "poll":
        poll(options.base, options.folder / "ended", options.folder / "report.json", options.model)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="push_chaos"))
    try:
        kill = kill_pushes if options.what == "pushes" else kill_runs
        outcome = kill(options.kills, folder, random.Random(options.seed))  # noqa: S311 - moments, no secrets
    finally:
        shutil.rmtree(folder)
    del outcome["loads"]
    print(json.dumps(outcome, indent=2))
    good = outcome["next_succeeded"] == options.kills and outcome["loaded"] == outcome["versions"]
    bad = [outcome.get(key) for key in ("left", "failed_loads", "wrong_files", "wrong_answers")]
    return 0 if good and outcome["versions_rise"] and not any(bad) else 1


if __name__ == "__main__":
    sys.exit(main())

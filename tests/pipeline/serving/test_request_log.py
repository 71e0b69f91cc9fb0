"""What is logged of requests, and that logging harms nobody."""

import hashlib
import json
import stat
import time
from datetime import UTC, datetime

import numpy as np
import pytest
import tensorflow as tf

from pipeline.serving import request_log
from pipeline.serving.limits import RequestLimits
from pipeline.serving.request_log import RequestLog
from pipeline.serving.service import Service
from tests.pipeline.serving.conftest import AppClient

TEXTS = {"text_a": np.array(["Ein Bär".encode()], object), "text_b": np.array([b""], object)}


def lines(folder) -> list[dict]:
    files = sorted(folder.glob("requests-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def logged(folder, *requests, **options) -> list[dict]:
    log = RequestLog(folder, **options)
    for request in requests:
        log.record(*request)
    log.close()
    return lines(folder)


def test_texts_are_hashed_and_counted(tmp_path):
    before = datetime.now(UTC)
    [line] = logged(tmp_path / "log", (7, "serving_default", TEXTS))
    assert list(line) == ["time", "version", "signature", "inputs"]
    assert before <= datetime.fromisoformat(line["time"]) <= datetime.now(UTC)
    assert (line["version"], line["signature"]) == (7, "serving_default")
    assert line["inputs"] == {
        "text_a_hash": hashlib.blake2b("Ein Bär".encode(), digest_size=16).hexdigest(),
        "text_a_tokens": 2,
        "text_a_characters": 7,
        "text_b_hash": hashlib.blake2b(b"", digest_size=16).hexdigest(),
        "text_b_tokens": 0,
        "text_b_characters": 0,
    }


def test_it_is_for_its_owner_alone(tmp_path):
    logged(tmp_path / "log", (7, "serving_default", TEXTS))
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "log", *(tmp_path / "log").iterdir())]
    assert modes == [0o700, 0o600]


def test_a_key_changes_the_hashes(tmp_path, monkeypatch):
    monkeypatch.setenv(request_log.KEY_VARIABLE, "secret")
    [line] = logged(tmp_path, (7, "serving_default", TEXTS))
    keyed = hashlib.blake2b("Ein Bär".encode(), digest_size=16, key=b"secret")
    assert line["inputs"]["text_a_hash"] == keyed.hexdigest()


def test_texts_are_kept_if_told_so(tmp_path):
    invalid = {"text": np.array([b"a\xff", "é".encode()], object)}
    rows = logged(tmp_path, (7, "embed", invalid), keep_texts=True)
    assert [row["inputs"] for row in rows] == [{"text": "a\ufffd"}, {"text": "é"}]


def test_vectors_scalars_and_examples(tmp_path):
    feature = {
        "text_a": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"a"])),
        "vector": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, 2])),
    }
    serialized = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    rows = logged(
        tmp_path,
        (1, "score", {"vector": np.array([[1, 2], [3, 4]], np.float32)}),
        (1, "sample", {"seed": np.array(3), "count": np.array(2)}),
        (1, "serve_examples", {"examples": np.array([serialized], object)}),
        keep_texts=True,
    )
    assert [row["inputs"] for row in rows] == [
        {"vector": [1.0, 2.0]},
        {"vector": [3.0, 4.0]},
        {"seed": 3, "count": 2},
        {"text_a": "a", "vector": [0.5, 2.0]},
    ]


def test_files_are_rotated_and_the_oldest_deleted(tmp_path):
    rows = logged(tmp_path, *[(n, "s", TEXTS) for n in range(20)], max_bytes=900, max_files=3)
    files = sorted(tmp_path.glob("*.jsonl"))
    assert len(files) == 3
    assert all(900 <= file.stat().st_size < 1400 for file in files[:-1])
    versions = [row["version"] for row in rows]
    assert versions == list(range(versions[0], 20))


def test_room_in_the_queue_comes_back(tmp_path):
    log = RequestLog(tmp_path, queued_bytes=15)
    for _ in range(20):
        log.record(1, "s", TEXTS)
        deadline = time.monotonic() + 10
        while log._room < 15:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    log.close()
    assert (log.written, log.dropped) == (20, 0)


def test_a_share_is_sampled(tmp_path):
    assert logged(tmp_path / "none", *[(1, "s", TEXTS)] * 50, sample=0.0) == []
    some = logged(tmp_path / "some", *[(1, "s", TEXTS)] * 400, sample=0.25)
    assert 50 < len(some) < 150


def test_a_full_queue_and_a_full_disk_only_count(tmp_path, monkeypatch):
    log = RequestLog(tmp_path / "log", queued=2)
    log.close()  # nobody reads the queue any more
    for _ in range(5):
        log.record(1, "s", TEXTS)
    assert log.dropped == 3
    log = RequestLog(tmp_path / "log", queued_bytes=15)
    log.close()
    for _ in range(3):
        log.record(1, "s", TEXTS)  # 8 bytes each
    assert log.dropped == 2

    def full(self, time):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RequestLog, "_next_file", full)
    log = RequestLog(tmp_path / "full")
    log.record(1, "s", TEXTS)
    log.close()
    assert (log.written, log.dropped) == (0, 1)


def test_the_server_logs_what_it_answered(tmp_path, shared_store):
    log = RequestLog(tmp_path, keep_texts=True)
    service = Service(shared_store, "twin", RequestLimits(), log)
    client = AppClient(service)
    assert client.predict({"instances": [{"text_a": "a", "text_b": "b"}] * 2}).status_code == 200
    assert client.predict({"instances": [{"text_a": "a"}]}).status_code == 400
    service.close()
    assert [row["inputs"] for row in lines(tmp_path)] == [{"text_a": "a", "text_b": "b"}] * 2
    assert "kembar_request_log_rows_total 2.0\n" in client.get("/metrics").text


def test_the_gate_is_not_told_what_only_the_server_reads(tmp_path):
    from components.serving_gate.check import Deployment as Gate
    from pipeline.serving.serving_config import Serving

    section = Serving(request_log=tmp_path, max_batch=7, gate_timeout=9)
    assert section.limits.max_batch == 7
    assert Gate.model_validate_json(section.model_dump_json()) == Gate(gate_timeout=9)


@pytest.mark.parametrize("texts", ["hash", "keep"])
def test_the_configuration_opens_it(tmp_path, texts):
    from pipeline.serving.serving_config import Serving

    assert Serving().open_log() is None
    log = Serving(request_log=tmp_path / "new", texts=texts).open_log()
    log.record(1, "embed", {"text": np.array([b"a"], object)})
    log.close()
    [line] = lines(tmp_path / "new")
    assert ("text" in line["inputs"]) == (texts == "keep")

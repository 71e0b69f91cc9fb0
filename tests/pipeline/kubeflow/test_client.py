"""submit and schedule against a stub that checks each body against KFP's API description."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.cli import app
from pipeline.commands import kubeflow as commands
from pipeline.commands import schedule as schedule_commands
from pipeline.config.cluster import Kubeflow, Schedule
from pipeline.kubeflow import schedules, submit, watch
from pipeline.kubeflow.client import Kfp, KubeflowError
from pipeline.scheduling import crontab
from tests.pipeline.kubeflow import kfp_stub
from trainer.errors import ConfigError

ROOT = Path(__file__).parents[3]
CONFIG = """
[pipeline]
name = "twin_questions"
[data]
format = "csv"
train = "/mnt/kembar/train.csv"
eval = "/mnt/kembar/eval.csv"
test = "/mnt/kembar/test.csv"
text_a = "a"
text_b = "b"
label = { column = "score", kind = "score", range = [0, 5] }
[kubeflow]
image = "registry.example/kembar:1"
volume_claim = "kembar"
namespace = "twins"
service_account = "kembar"
[schedule]
cron = "0 3 * * *"
parameters = { epochs = 3 }
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """One compiled pipeline for all tests: compiling takes seconds."""
    folder = tmp_path_factory.mktemp("package")
    path = folder / "twins.toml"
    path.write_text(CONFIG)
    config = submit.prepare(path, (), {}, folder / "pipeline.yaml")
    return config, folder / "pipeline.yaml"


@pytest.fixture
def kfp(monkeypatch, tmp_path):
    """A KFP with many users, and a token for it."""
    monkeypatch.setenv("KEMBAR_KFP_TOKEN", "open-sesame")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KEMBAR_KFP_TOKEN_FILE", raising=False)
    with kfp_stub.serve(kfp_stub.Kfp()) as served:
        yield served


def connect(kfp: kfp_stub.Kfp, **changes: object) -> Kfp:
    return Kfp(cluster(kfp, **changes))


def cluster(kfp: kfp_stub.Kfp, **changes: object) -> Kubeflow:
    told = {"image": "i", "volume_claim": "c", "namespace": "twins", "host": kfp.url, **changes}
    return Kubeflow(**told)


def start(kfp: kfp_stub.Kfp, package, told=None) -> tuple[str, list[str]]:
    said: list[str] = []
    _, run_id = submit.submit(connect(kfp), *package, told or {}, said.append)  # type: ignore[call-arg]
    return run_id, said


def test_submit_uploads_once_and_starts_a_run_each_time(kfp, package):
    run_id, said = start(kfp, package, {"epochs": 3, "settings": ["a.b=1"], "force": True})
    [version] = kfp.all("versions")
    assert said == [f"twin-questions, version {version['display_name']}: uploaded"]
    run = kfp.kept["runs"][run_id]
    assert run["runtime_config"]["parameters"] == {"epochs": 3, "settings": ["a.b=1"], "force": True}
    assert run["service_account"] == "kembar"
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    assert [one["display_name"] for one in kfp.all("experiments")] == ["kembar"]

    again, said = start(kfp, package)
    assert said == [f"twin-questions, version {version['display_name']}: already there"]
    assert again != run_id
    assert [len(kfp.all(kind)) for kind in ("pipelines", "versions", "experiments", "runs")] == [1, 1, 1, 2]


def test_another_pipeline_becomes_another_version_of_the_same(kfp, package, tmp_path):
    config, yaml = package
    start(kfp, package)
    changed = tmp_path / "pipeline.yaml"
    changed.write_text(yaml.read_text().replace("registry.example/kembar:1", "registry.example/kembar:2"))
    start(kfp, (config, changed))
    assert len(kfp.all("pipelines")) == 1
    assert len({one["display_name"] for one in kfp.all("versions")}) == 2


def test_what_is_compiled_twice_is_the_same_version(package, tmp_path):
    _, yaml = package
    path = tmp_path / "twins.toml"
    path.write_text(CONFIG)
    submit.prepare(path, (), {}, tmp_path / "pipeline.yaml")
    assert (tmp_path / "pipeline.yaml").read_bytes() == yaml.read_bytes()


def test_follow_tells_each_change_once_and_survives_a_bad_minute(kfp, package):
    run_id, _ = start(kfp, package)
    kfp.states = ["PENDING", "RUNNING", "RUNNING", "SUCCEEDED"]
    client = connect(kfp)
    kfp.failures = 3
    said: list[str] = []
    assert submit.follow(client, run_id, said.append, poll_seconds=0) == "SUCCEEDED"
    assert said == ["trainer: pending", "trainer: running", "trainer: succeeded"]


def test_follow_tells_why_a_step_failed(kfp, package):
    run_id, _ = start(kfp, package)
    kfp.states = ["RUNNING", "FAILED"]
    said: list[str] = []
    assert submit.follow(connect(kfp), run_id, said.append, poll_seconds=0) == "FAILED"
    assert said[-1] == "trainer: failed: kembar: error: no GPU is visible"


def test_follow_gives_up_when_kfp_is_gone_for_good_and_at_once_for_a_wrong_run(kfp):
    client = connect(kfp)
    kfp.failures = 1_000
    with pytest.raises(KubeflowError, match=r"cannot look at run 7: .* says 503: upstream connect error"):
        submit.follow(client, "7", print, poll_seconds=0)
    kfp.failures, kfp.requests = 0, []
    with pytest.raises(KubeflowError, match=r"404: runs 7 not found"):
        submit.follow(client, "7", print, poll_seconds=0)
    assert kfp.requests == ["GET runs/7"]


def test_follow_ends_a_run_that_goes_on_for_too_long(kfp, package):
    run_id, _ = start(kfp, package)
    kfp.states = ["PENDING"]
    ended: list[object] = []
    state = submit.follow(
        connect(kfp),
        run_id,
        print,
        poll_seconds=0,
        limit_seconds=0,
        end=lambda run, _: ended.append(run.run_id),
    )
    assert (state, ended) == ("TIMED_OUT", [run_id])


def test_watch_ends_what_is_overdue_and_tells_the_webhook(kfp, package, listen, monkeypatch):
    hook = listen(200)
    monkeypatch.setenv("KEMBAR_WEBHOOK_URL", hook.url)
    config = package[0].model_copy(update={"kubeflow": cluster(kfp)})
    said: list[str] = []
    client = connect(kfp)
    assert watch.end_overdue(client, config, said.append) == 0  # no pipeline, so no runs
    run_ids = [start(kfp, package)[0] for _ in range(4)]
    runs = [kfp.get("runs", run_id) for run_id in run_ids]
    hours = {0: 25, 1: 23, 2: 25, 3: 25}
    for at, run in enumerate(runs):
        run["created_at"] = (datetime.now(UTC) - timedelta(hours=hours[at])).isoformat()
    runs[2]["state"] = "SUCCEEDED"
    runs[3]["pipeline_version_reference"] = {"pipeline_id": "of another"}
    task = {"task_id": "7", "display_name": "trainer", "state": "PENDING"}
    runs[0]["run_details"] = {"task_details": [task, {**task, "display_name": "x", "state": "SUCCEEDED"}]}
    assert watch.end_overdue(client, config, said.append) == 1
    assert [run.get("state") for run in runs] == ["CANCELING", None, "SUCCEEDED", None]
    [heard] = hook.heard
    assert (heard["status"], heard["run_id"], [heard["reason"]]) == ("failed", run_ids[0], said)
    assert "did not end within 25.0 h and was ended: trainer did not end: look at the pods" in said[0]
    assert watch.end_overdue(client, config, said.append) == 0  # nothing is ended twice


def apply(kfp: kfp_stub.Kfp, package, **changes: object) -> str:
    config, yaml = package
    client = connect(kfp)
    section = config.schedule or Schedule(cron="0 3 * * *", parameters={"epochs": 3})
    section = section.model_copy(update=changes)
    version = submit.upload(client, "twin-questions", yaml)
    return schedules.apply(client, config, section, section.parameters, version)


def test_a_schedule_is_made_once(kfp, package):
    assert apply(kfp, package) == "created"
    [made] = kfp.all("recurringruns")
    assert made["display_name"] == "twin-questions"
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert made["mode"] == "ENABLE"
    assert made["no_catchup"] is True
    assert made["max_concurrency"] == "1"
    assert made["runtime_config"]["parameters"] == {"epochs": 3}
    kfp.requests.clear()
    assert apply(kfp, package) == "unchanged"
    assert kfp.all("recurringruns") == [made]
    assert {request.split()[0] for request in kfp.requests} == {"GET"}


@pytest.mark.parametrize("changes", [{"cron": "0 4 * * *"}, {"parameters": {"epochs": 4}}])
def test_a_changed_schedule_replaces_the_old_one_and_two_never_run(kfp, package, changes):
    apply(kfp, package)
    [old] = kfp.all("recurringruns")
    kfp.requests.clear()
    assert apply(kfp, package, **changes) == "replaced"
    [new] = kfp.all("recurringruns")
    assert new["recurring_run_id"] != old["recurring_run_id"]
    assert new["mode"] == "ENABLE"
    changing = [request for request in kfp.requests if not request.startswith("GET")]
    assert changing == [
        "POST recurringruns",
        f"DELETE recurringruns/{old['recurring_run_id']}",
        f"POST recurringruns/{new['recurring_run_id']}:enable",
    ]


def test_a_new_version_replaces_the_schedule(kfp, package, tmp_path):
    config, yaml = package
    apply(kfp, package)
    changed = tmp_path / "pipeline.yaml"
    changed.write_text(yaml.read_text().replace("registry.example/kembar:1", "registry.example/kembar:2"))
    assert apply(kfp, (config, changed)) == "replaced"
    [schedule] = kfp.all("recurringruns")
    newest = kfp.all("versions")[-1]["pipeline_version_id"]
    assert schedule["pipeline_version_reference"]["pipeline_version_id"] == newest


def test_a_schedule_can_be_switched_off_and_on_without_another(kfp, package):
    apply(kfp, package)
    assert apply(kfp, package, enabled=False) == "disabled"
    assert [one["mode"] for one in kfp.all("recurringruns")] == ["DISABLE"]
    assert apply(kfp, package) == "enabled"
    assert [one["mode"] for one in kfp.all("recurringruns")] == ["ENABLE"]


def test_schedules_left_over_from_a_broken_apply_are_cleared(kfp, package):
    apply(kfp, package)
    [one] = kfp.all("recurringruns")
    for _ in range(3):  # more than a page of the stub
        kfp.add("recurringruns", "recurring_run_id", one)
    assert apply(kfp, package) == "replaced"
    assert len(kfp.all("recurringruns")) == 1


def test_delete_is_done_when_there_is_none(kfp, package):
    apply(kfp, package)
    assert schedules.delete(connect(kfp), package[0]) == 1
    assert kfp.all("recurringruns") == []
    assert schedules.delete(connect(kfp), package[0]) == 0


def test_a_token_in_a_file_is_read_again_for_every_request(kfp, package, monkeypatch, tmp_path):
    file = tmp_path / "token"
    file.write_text("open-sesame\n")
    monkeypatch.setenv("KEMBAR_KFP_TOKEN_FILE", str(file))
    monkeypatch.setenv("KEMBAR_KFP_TOKEN", "not this")
    client = connect(kfp)
    kfp.token = "renewed"
    file.write_text("renewed")
    assert submit.upload(client, "twin-questions", package[1]).fresh


def test_a_token_file_that_is_not_there_is_named(kfp, monkeypatch, tmp_path):
    monkeypatch.setenv("KEMBAR_KFP_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"KEMBAR_KFP_TOKEN_FILE = .*none: .*No such file"):
        connect(kfp)


def test_a_wrong_token_says_where_to_put_the_right_one(kfp, monkeypatch):
    monkeypatch.setenv("KEMBAR_KFP_TOKEN", "wrong")
    with pytest.raises(
        KubeflowError, match=r"says 401: .*set KEMBAR_KFP_TOKEN, or KEMBAR_KFP_TOKEN_FILE"
    ) as caught:
        connect(kfp)
    assert "wrong" not in str(caught.value)


def test_a_wrong_namespace_is_named(kfp, package):
    with pytest.raises(KubeflowError, match=r"says 403: .*namespace others.*is namespace others right"):
        submit.upload(connect(kfp, namespace="others"), "twin-questions", package[1])


def test_a_missing_namespace_is_asked_for(kfp):
    with pytest.raises(ConfigError, match=r"has many users: set \[kubeflow\] namespace"):
        connect(kfp, namespace=None)


def test_without_users_there_is_no_namespace(kfp, package):
    kfp.multi_user = False
    client = connect(kfp, namespace=None)
    config, yaml = package
    submit.submit(client, config, yaml, {}, print)
    assert "namespace" not in kfp.all("experiments")[0] or not kfp.all("experiments")[0]["namespace"]
    assert len(kfp.all("runs")) == 1


def test_nothing_at_the_address_is_one_line(kfp):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(
            KubeflowError, match=f"cannot reach KFP at {host}: .*Connection refused"
        ) as caught:
            connect(kfp, host=host)
    assert "\n" not in str(caught.value)


def test_a_login_page_is_not_taken_for_kfp(kfp):
    kfp.login_page = True
    with pytest.raises(KubeflowError, match=r"answers with text/html, which is not KFP's API"):
        connect(kfp)


def test_a_rejected_pipeline_says_what_kfp_says_without_its_stack(kfp, tmp_path):
    broken = tmp_path / "pipeline.yaml"
    broken.write_text("components: 7\n")
    with pytest.raises(
        KubeflowError, match=r"cannot upload pipeline p: .* says 400: Invalid input error"
    ) as caught:
        submit.upload(connect(kfp), "p", broken)
    assert "\n" not in str(caught.value)


def test_the_stub_refuses_what_kfp_does_not_know(kfp, package):
    client = connect(kfp)
    with pytest.raises(KubeflowError, match=r"unknown field \"body.nmae\""), client.explained("try"):
        client._run_api.run_service_create_run({"nmae": "x"})
    with pytest.raises(KubeflowError, match=r"invalid value for body.display_name"), client.explained("try"):
        client._run_api.run_service_create_run({"display_name": 7})
    version = submit.upload(client, "p", package[1])
    experiment = submit.experiment_id(client, cluster(kfp))
    with (
        pytest.raises(KubeflowError, match=r"parameter epochs must be NUMBER_INTEGER"),
        client.explained("try"),
    ):
        client.run_pipeline(
            experiment,
            "r",
            params={"epochs": "3"},
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
        )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], {}),
        (["epochs=3", "force=true"], {"epochs": 3, "force": True}),
        (["data_path=2026/11", "settings=a.b=1", "settings=c.d=x=y"], {"data_path": "2026/11",
         "settings": ["a.b=1", "c.d=x=y"]}),
    ],
)  # fmt: skip
def test_parameters_get_their_types(words, told):
    assert submit.parse_parameters(words) == told


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("epochs", "--param epochs: write NAME=VALUE"),
        ("epoch=3", "--param epoch: no such run parameter: did you mean 'epochs'?"),
        ("epochs=three", "--param epochs = 'three': Input should be a valid integer"),
        ("force=perhaps", "--param force = 'perhaps': Input should be a valid boolean"),
    ],
)
def test_wrong_parameters_are_named(word, message):
    with pytest.raises(ConfigError) as caught:
        submit.parse_parameters([word])
    assert str(caught.value).startswith(message)


def invoke(*arguments: object) -> int:
    """The exit code of a command."""
    return app([str(argument) for argument in arguments], standalone_mode=False) or 0


@pytest.fixture
def project(short_path: Path, monkeypatch, new_terminal):
    monkeypatch.chdir(short_path)
    for module in (commands, schedule_commands):
        monkeypatch.setattr(module, "Terminal", new_terminal)
    monkeypatch.setattr(submit, "POLL_SECONDS", 0)
    path = short_path / "twins.toml"
    path.write_text(CONFIG)
    return path


def test_the_commands_from_submit_to_delete(kfp, project, capfd):
    assert invoke("submit", project, "--host", kfp.url, "--param", "epochs=2") == 0
    # In this process pytest stands where kfp's links would go to the log: ours is the last line.
    last = capfd.readouterr().out.splitlines()[-1]
    assert last.startswith("run twin-questions 20")
    assert last.endswith(kfp.all("runs")[0]["run_id"])
    assert kfp.all("runs")[0]["runtime_config"]["parameters"] == {"epochs": 2}

    for done in ("created", "unchanged"):
        assert invoke("schedule", "apply", project, "--host", kfp.url) == 0
        version = kfp.all("versions")[0]["display_name"]
        last = capfd.readouterr().out.splitlines()[-1]
        assert last == f"schedule twin-questions: {done}: cron 0 3 * * *, version {version}"
    assert invoke("schedule", "list", project, "--host", kfp.url) == 0
    row = capfd.readouterr().out.splitlines()[1].split()
    assert row[:9] == ["twin-questions", "0", "0", "3", "*", "*", "*", "enabled", version]
    for done in ("deleted", "there was none"):
        assert invoke("schedule", "delete", project, "--host", kfp.url) == 0
        assert capfd.readouterr().out == f"schedule twin-questions: {done}\n"


@pytest.fixture
def here(short_path: Path, monkeypatch) -> dict[str, Path]:
    """Where the files of this machine's schedulers are. No systemd answers."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(short_path / "xdg"))
    monkeypatch.setenv("PATH", str(short_path / "nothing"))
    monkeypatch.setattr(crontab, "FOLDER", short_path / "cron.d")
    name = "kembar-twin_questions"
    return {
        "cron": short_path / "cron.d" / name,
        "systemd": short_path / "xdg" / "systemd" / "user" / f"{name}.timer",
    }


@pytest.mark.parametrize("by", ["cron", "systemd"])
def test_a_schedule_that_moves_between_this_machine_and_a_cluster_runs_in_one_of_them(
    kfp, project, here, capfd, by
):
    """The line of parameters, which only KFP knows, is left out as the section moves."""
    project.write_text(CONFIG.replace("parameters = { epochs = 3 }\n", ""))
    local = ("--host", kfp.url, "--set", f"schedule.by={by}")
    assert invoke("schedule", "apply", project, *local) == 0
    assert here[by].is_file()
    assert kfp.all("recurringruns") == []

    assert invoke("schedule", "apply", project, "--host", kfp.url) == 0
    err = capfd.readouterr().err
    assert f"the one by {by} was deleted: two must never run" in err
    assert ("systemctl --user stop kembar-twin_questions.timer" in err) == (by == "systemd")
    assert not here[by].exists()
    assert len(kfp.all("recurringruns")) == 1

    assert invoke("schedule", "apply", project, *local) == 0
    assert "the one by kubeflow was deleted: two must never run" in capfd.readouterr().err
    assert here[by].is_file()
    assert kfp.all("recurringruns") == []


def test_a_cluster_that_refuses_leaves_the_local_schedule(kfp, project, here):
    project.write_text(CONFIG.replace("parameters = { epochs = 3 }\n", ""))
    assert invoke("schedule", "apply", project, "--host", kfp.url, "--set", "schedule.by=cron") == 0
    kfp.login_page = True
    with pytest.raises(KubeflowError):
        invoke("schedule", "apply", project, "--host", kfp.url)
    assert here["cron"].is_file()


def test_list_and_delete_see_both(kfp, project, here, capfd):
    project.write_text(CONFIG.replace("parameters = { epochs = 3 }\n", ""))
    both = ("--host", kfp.url)
    assert invoke("schedule", "apply", project, *both, "--set", "schedule.by=cron") == 0
    left = here["cron"].read_text()
    for by in ("kubeflow", "cron"):
        assert invoke("schedule", "apply", project, *both) == 0
        here["cron"].write_text(left)  # one that was made before this version of the program
        capfd.readouterr()
        assert invoke("schedule", "list", project, *both) == 0
        shown = capfd.readouterr().out
        assert "twin-questions" in shown
        assert "kembar-twin_questions" in shown
        assert invoke("schedule", "delete", project, *both, "--set", f"schedule.by={by}") == 0
        assert capfd.readouterr().out.endswith(": deleted\n")
        assert not here["cron"].exists()
        assert kfp.all("recurringruns") == []


def test_a_file_of_somebody_else_does_not_matter_to_a_cluster(kfp, project, here):
    here["cron"].parent.mkdir()
    here["cron"].write_text("theirs\n")
    for name in ("apply", "delete"):
        assert invoke("schedule", name, project, "--host", kfp.url) == 0
    assert here["cron"].read_text() == "theirs\n"


def test_submit_that_waits_fails_with_the_run(kfp, project, capfd):
    kfp.states = ["FAILED"]
    assert invoke("submit", project, "--host", kfp.url, "--wait") == 1
    out, err = capfd.readouterr()
    assert out.splitlines()[-1].endswith(": failed")
    assert "trainer: failed: kembar: error: no GPU is visible" in err


@pytest.mark.parametrize("value", ["$(KEMBAR_DATABASE_PASSWORD)", "a$$b", "{{workflow.name}}"])
def test_a_parameter_that_kubernetes_would_replace_is_refused(value):
    for word in (f"data_path={value}", f"settings=data.path={value}"):
        with pytest.raises(ConfigError, match=r"--param \w+ = '.*': KFP and Kubernetes replace"):
            submit.parse_parameters([word])


def test_a_schedule_says_what_kfp_does_not_do(kfp, project, capfd):
    assert invoke("schedule", "apply", project, "--host", kfp.url) == 0
    err = capfd.readouterr().err
    assert "as deploy/watch: it ends runs after 86,400 s and tells the webhook" in err
    assert "runs schedules as its default account, not as kembar: give that one" in err
    assert "warning: ML Metadata is a SQLite file on the volume" in err


def test_a_parameter_that_makes_a_wrong_configuration_never_reaches_kfp(kfp, project):
    with pytest.raises(ConfigError, match=r"unknown key \[training\] epoch"):
        invoke("submit", project, "--host", kfp.url, "--param", "settings=training.epoch=3")
    assert kfp.requests == []


def test_a_schedule_needs_its_section(kfp, project):
    project.write_text(CONFIG[: CONFIG.index("[schedule]")])
    with pytest.raises(ConfigError, match=r"\[schedule\] is missing"):
        invoke("schedule", "apply", project, "--host", kfp.url)


def test_the_user_gets_one_line_and_the_log_the_traceback(kfp, project, monkeypatch):
    monkeypatch.setenv("KEMBAR_KFP_TOKEN", "not-the-token")
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline", "schedule", "list", str(project), "--host", kfp.url],
        capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stdout == ""
    [line] = ran.stderr.splitlines()
    assert line.startswith(f"kembar: error: cannot connect: KFP at {kfp.url} says 401: ")
    log = (project.parent / "runs" / "twin_questions" / "schedule.log").read_text()
    assert "kfp_server_api.exceptions.ApiException: (401)" in log
    assert "not-the-token" not in log + ran.stderr

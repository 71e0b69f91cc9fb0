"""What `kubectl apply -k` would send, against the schemas of Kubernetes and against our own configuration."""

from __future__ import annotations

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from kubernetes_validate import ValidationError

from pipeline.cli import app
from pipeline.config import configuration
from pipeline.kubeflow import compile as kubeflow
from pipeline.kubeflow.run_configuration import Parameters, configure, root_of
from pipeline.store.workdir import Workdir

DEPLOY = Path(__file__).parents[2] / "deploy"
EXAMPLE = DEPLOY / "cronjob" / "pipeline.toml"
FILES = sorted(path for path in DEPLOY.glob("*/*.yaml") if path.name != "kustomization.yaml")
VERSIONS = ("1.29", "1.31")


def objects(*paths: Path) -> list[dict[str, Any]]:
    return [one for path in paths for one in yaml.safe_load_all(path.read_text())]


def named(kind: str, name: str) -> dict[str, Any]:
    [found] = [one for one in objects(*FILES) if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pods() -> list[dict[str, Any]]:
    found = []
    for one in objects(*FILES):
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found.append(spec["template"]["spec"])
    return found


@pytest.fixture(scope="module")
def config():
    values = kubeflow.cluster_values(EXAMPLE, configuration.read(EXAMPLE))
    return configure(values, Parameters())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_kubernetes_knows_every_key(path, version):
    for one in objects(path):
        if one["apiVersion"] != "serving.kserve.io/v1beta1":  # a resource of KServe's own
            kubernetes_validate.validate(one, version, strict=True)


def test_a_misspelt_key_is_found():
    wrong = copy.deepcopy(named("Deployment", "questions-serving"))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("folder", ["base", "serving", "kserve", "cronjob", "namespace", "volume", "watch"])
def test_kustomize_takes_every_file_but_the_template_of_secrets(folder):
    [kustomization] = objects(DEPLOY / folder / "kustomization.yaml")
    there = {path.name for path in (DEPLOY / folder).iterdir()} - {
        "kustomization.yaml",
        "secrets.example.yaml",
    }
    made = [name for maker in kustomization.get("configMapGenerator", []) for name in maker["files"]]
    assert sorted([*kustomization["resources"], *made]) == sorted(there)
    assert kustomization.get("namespace") == (None if folder == "namespace" else "kembar")
    assert not [one for one in objects(*FILES) if one["kind"] == "Secret" and "CHANGE-ME" not in str(one)]


def test_the_cluster_has_what_the_example_names(config):
    cluster = config.kubeflow
    assert named("PersistentVolumeClaim", cluster.volume_claim)["spec"]["accessModes"] == ["ReadWriteMany"]
    service = named("Service", cluster.database.host)
    assert service["spec"]["ports"][0]["port"] == cluster.database.port
    [database] = named("StatefulSet", "kembar-metadata")["spec"]["template"]["spec"]["containers"]
    variables = {one["name"]: one for one in database["env"]}
    assert variables["MARIADB_DATABASE"]["value"] == cluster.database.name
    template = named("Secret", cluster.database.secret)["stringData"]
    assert {cluster.database.user_key, cluster.database.password_key} < set(template)
    wanted = {variable["valueFrom"]["secretKeyRef"]["key"] for variable in database["env"][1:]}
    assert wanted == set(template)
    assert cluster.webhook.key in named("Secret", cluster.webhook.secret)["stringData"]
    assert named("ServiceAccount", cluster.service_account)
    assert named("RoleBinding", "kembar")["subjects"][0]["name"] == cluster.service_account


def test_selectors_find_the_pods():
    for kind, name in (("StatefulSet", "kembar-metadata"), ("Deployment", "questions-serving")):
        spec = named(kind, name)["spec"]
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
        service = named("Service", "questions" if kind == "Deployment" else name)
        assert service["spec"]["selector"] == spec["selector"]["matchLabels"]
        [container] = spec["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports


def test_both_servers_read_the_folder_that_the_pipeline_pushes_to(config):
    pushed = Workdir.of(config, root_of(config)).serving
    [server] = named("Deployment", "questions-serving")["spec"]["template"]["spec"]["containers"]
    assert f"--model_base_path={pushed}" in server["args"]
    assert f"--model_name={config.pipeline.name}" in server["args"]
    kserve = named("InferenceService", "questions")["spec"]["predictor"]["model"]
    inside = pushed.relative_to(config.kubeflow.mount_path)
    assert kserve["storageUri"] == f"pvc://{config.kubeflow.volume_claim}/{inside}"


def test_the_cron_job_says_a_command_that_there_is(config):
    job = named("CronJob", "questions")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = job["containers"]
    assert container["image"] == config.kubeflow.image
    program, name, path, *arguments = container["command"]
    assert program == "kembar"
    told = typer.main.get_command(app).commands[name].make_context(name, [path, *arguments]).params  # type: ignore[attr-defined]
    assert (str(told["config"]), told["wait"]) == ("/etc/kembar/pipeline.toml", True)
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in job["volumes"]}
    assert volumes["config"]["configMap"]["name"] == "questions"
    [token] = volumes["token"]["projected"]["sources"]
    [variable] = [one for one in container["env"] if one["name"] == "KEMBAR_KFP_TOKEN_FILE"]
    assert variable["value"] == f"{mounts['token']}/{token['serviceAccountToken']['path']}"


def test_no_pod_has_more_rights_than_it_needs():
    assert len(pods()) == 5
    owner = named("Job", "kembar-volume")["spec"]["template"]["spec"]
    for pod in pods():
        assert pod["automountServiceAccountToken"] is False
        if pod == owner:  # root, with one right, to give the volume away
            [container] = pod["containers"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
            continue
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert ":" in container["image"].rpartition("/")[2]
            assert not container["image"].endswith(":latest")
    [role] = [one for one in objects(*FILES) if one["kind"] == "Role"]
    assert "*" not in str(role)


def rendered(folder: str) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send."""
    made = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / folder)], check=True, capture_output=True, text=True, timeout=60
    )
    return [one for one in yaml.safe_load_all(made.stdout) if one]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
@pytest.mark.parametrize("folder", ["base", "serving", "kserve", "cronjob", "volume", "watch"])
def test_no_namespace_is_taken_over(folder):
    """It may be there with labels of others, and to delete what was applied would delete it."""
    found = rendered(folder)
    assert found
    assert {one["metadata"].get("namespace") for one in found} == {"kembar"}
    assert not [one for one in found if one["kind"] == "Namespace"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_a_namespace_of_our_own_gets_no_labels():
    [one] = rendered("namespace")
    assert (one["kind"], one["metadata"]) == ("Namespace", {"name": "kembar"})


def test_no_pod_gets_a_proxy_of_istio():
    """It would let in nobody but other proxies, which KFP's pods have not, and keep a job from ending."""
    found = []
    for one in objects(*FILES):
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec or one["kind"] == "InferenceService":
            found.append(spec["template"]["metadata"] if "template" in spec else one["metadata"])
    assert len(found) == 6
    # Newer ones go by the label, and older ones by the annotation.
    assert {one[kind]["sidecar.istio.io/inject"] for one in found for kind in ("labels", "annotations")} == {
        "false"
    }


def test_tf_serving_is_not_killed_before_its_first_model():
    [server] = named("Deployment", "questions-serving")["spec"]["template"]["spec"]["containers"]
    probe = server["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 7 * 24 * 3600
    assert probe["tcpSocket"] == server["livenessProbe"]["tcpSocket"]
    assert "initialDelaySeconds" not in server["livenessProbe"]


def test_the_database_waits_for_no_name_server_that_it_may_not_ask():
    [policy] = [one for one in objects(*FILES) if one["kind"] == "NetworkPolicy"]
    assert "egress" not in policy["spec"]
    [database] = named("StatefulSet", "kembar-metadata")["spec"]["template"]["spec"]["containers"]
    assert "--skip-name-resolve" in database["args"]


def test_the_watch_looks_at_the_same_pipeline(config):
    watch, submit = (
        named("CronJob", name)["spec"]["jobTemplate"]["spec"] for name in ("questions-watch", "questions")
    )
    [container] = watch["template"]["spec"]["containers"]
    assert container["command"][:4] == ["kembar", "schedule", "watch", "/etc/kembar/pipeline.toml"]
    assert (DEPLOY / "watch" / "pipeline.toml").read_text() == EXAMPLE.read_text()
    assert "KEMBAR_WEBHOOK_URL" in {one["name"] for one in container["env"]}
    # Whoever waits for a run is still there when it has used up its time.
    assert submit["activeDeadlineSeconds"] > config.kubeflow.run_timeout_seconds


def test_the_example_compiles(tmp_path):
    kubeflow.compile_pipeline(EXAMPLE, (), tmp_path / "pipeline.yaml")
    _, platform = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    assert "kembar-webhook" in str(platform)

"""Compose files, Kubernetes manifests and the balancer's configuration: they parse, fit their schemas, and agree with each other and with
the program. (J-28…J-30, C-107)"""

from __future__ import annotations

import base64
import importlib.util
import re
import shutil
import subprocess
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from omni_connector import __version__, settings
from omni_connector.settings import BY_NAME, ENVIRONMENT_ONLY, KEYS_AT_REST, SETTINGS

yaml = pytest.importorskip("yaml", reason="PyYAML reads the manifests")

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
PORT, USER = int(BY_NAME["port"].default), 10001  # type: ignore[arg-type]
CLOSING_S = 10
"""What a server may need beyond its grace (supervisor.MARGIN_S)."""
Json = dict[str, Any]

IN_FILES = {
    f"{name}{settings.IN_FILES}"
    for name in chain((name for row in SETTINGS if row.secret for name in (row.env, *row.seed_names)), KEYS_AT_REST)
}
KNOWN = {name for row in SETTINGS for name in (row.env, *row.seed_names)} | set(ENVIRONMENT_ONLY) | IN_FILES


def files() -> list[Path]:
    return [
        path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and "__pycache__" not in path.parts and path.parent.name != "secrets"
    ]


def compose(name: str) -> Json:
    found: Json = yaml.safe_load((DEPLOY / name).read_text())
    return found


@cache
def overlay(name: str) -> list[Json]:
    """The documents of an overlay, put together by kubectl; of the single one, without kubectl, what app.yaml keeps of it."""
    if shutil.which("kubectl"):
        done = subprocess.run(
            ["kubectl", "kustomize", str(KUBERNETES / "overlays" / name)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return list(yaml.safe_load_all(done.stdout))
    if name == "single":
        return list(yaml.safe_load_all((KUBERNETES / "app.yaml").read_text()))
    pytest.skip("kubectl is not here")


def one(name: str, kind: str) -> Json:
    (found,) = (entry for entry in overlay(name) if entry["kind"] == kind)
    return found


def pods(name: str) -> list[Json]:
    return [entry["spec"]["template"]["spec"] for entry in overlay(name) if entry["kind"] in ("Deployment", "Job")]


def settings_of(name: str) -> dict[str, str]:
    """What the server's container is told, as Kubernetes would put it together."""
    (container,) = one(name, "Deployment")["spec"]["template"]["spec"]["containers"]
    told = dict(one(name, "ConfigMap")["data"])
    return told | {entry["name"]: entry["value"] for entry in container.get("env", ())}


# ------------------------------------------------------------------------------------------------------------- all of them


def test_every_variable_is_one_of_ours() -> None:
    named = {
        (path.name, name)
        for path in [*files(), ROOT / "Dockerfile"]
        for name in re.findall(r"\bOMNI_[A-Z_]+\b", path.read_text())
        if name not in KNOWN
    }
    assert not named
    assert settings.load(settings_of("single")).drain_s > 0


def test_no_secret_is_kept_here() -> None:
    for path in files():
        text = path.read_text()
        assert not re.search(r"sk-[A-Za-z0-9]{16}|omni(adm)?-[0-9A-Za-z]{40}|-----BEGIN", text), path
        for found in re.findall(r"postgresql://\w+:([^@$\"'{(]+)@", text):
            assert found in ("REPLACE-ME", "[^"), (path, found)
    assert (DEPLOY / "secrets/.gitignore").read_text() == "*\n!.gitignore\n"


def test_ports_users_and_versions_agree() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"EXPOSE {PORT}\n" in dockerfile and f"USER {USER}:{USER}\n" in dockerfile
    for name in ("compose.yaml", "compose.cluster.yaml"):
        text = (DEPLOY / name).read_text()
        assert f'["127.0.0.1:{PORT}:{PORT}"]' in text and f"omni-connector:{__version__}}}" in text
    cfg = (DEPLOY / "haproxy/haproxy.cfg").read_text()
    assert re.findall(r"server node\d node\d:(\d+)", cfg) == [str(PORT)] * 6
    for name in ("single", "cluster"):
        for pod in pods(name):
            assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == USER
            assert {container["image"] for container in pod["containers"]} == {f"omni-connector:{__version__}"}
            assert {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]} >= {"/data", "/tmp"}


# ----------------------------------------------------------------------------------------------------------------- Compose

SERVICE = {
    "image", "build", "restart", "ports", "environment", "volumes", "read_only", "tmpfs", "cap_drop", "security_opt", "stop_grace_period",
    "user", "secrets", "networks", "depends_on", "hostname", "command", "shm_size", "healthcheck",
}  # fmt: skip
"""The words of the Compose specification that we use."""


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cluster.yaml"])
def test_compose_is_sound(name: str) -> None:  # C-107
    found = compose(name)
    assert {word for word in found if not word.startswith("x-")} <= {"name", "services", "networks", "volumes", "secrets"}
    for label, service in found["services"].items():
        assert service.keys() <= SERVICE, label
        assert set(service.get("secrets", ())) <= set(found.get("secrets", ()))
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in found["volumes"] if not source.startswith(".") else (DEPLOY / source).exists(), volume
        for other, condition in service.get("depends_on", {}).items():
            assert other in found["services"] and condition["condition"] in ("service_healthy", "service_completed_successfully")
        for text in service.get("environment", {}).values():
            if str(text).startswith("/run/secrets/"):
                assert Path(text).name in service["secrets"], (label, text)
        if "build" in service:
            assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["tmpfs"] == ["/tmp"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            told = settings.load({key: text for key, text in service["environment"].items() if not key.endswith("_FILE")})
            if service.get("command") != ["--init-only"]:
                assert int(service["stop_grace_period"].removesuffix("s")) >= told.leave_s + told.drain_s + CLOSING_S


def test_the_files_of_this_machine_come_on_top() -> None:  # C-107
    more = compose("compose.host.yaml")["services"]["omni"]
    assert more.keys() <= SERVICE
    assert more["volumes"] == ["${DATA:-./data}:/data", "${HOME}/.claude:/data/.claude:ro"]
    assert compose("compose.yaml")["services"]["omni"]["volumes"] == ["data:/data"]


def test_the_cluster_has_what_its_secrets_are_made_of(tmp_path: Path) -> None:
    """make-secrets.sh makes every file that is named, each fit for its reader; a second run changes nothing."""
    made: dict[str, str] = {}
    for _ in range(2):
        subprocess.run(["sh", str(DEPLOY / "make-secrets.sh"), str(tmp_path)], check=True, capture_output=True, timeout=30)
        before, made = made, {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert before == made
    assert {f"./secrets/{name}" for name in made} == {entry["file"] for entry in compose("compose.cluster.yaml")["secrets"].values()}
    from omni_connector import secrets

    node = compose("compose.cluster.yaml")["services"]["node1"]["environment"]
    env = {name: str(tmp_path / Path(text).name) if name.endswith("_FILE") else text for name, text in node.items()}
    read = settings.environment(tmp_path / "home", env)
    assert made["master_key"].strip() in secrets.load_or_create_master(tmp_path, read).written()
    assert read["OMNI_ADMIN_KEY"].startswith("omniadm-") and len(settings.load(read).admin_password) >= 20
    assert re.fullmatch(r"postgresql://omni_app:[0-9a-f]{48}@postgres/omni", settings.load(read).database_url)
    assert (tmp_path.stat().st_mode & 0o777) == 0o700


def test_haproxy_reads_its_configuration() -> None:
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    if not Path(program).exists():
        pytest.skip("haproxy is not here")
    done = subprocess.run(
        [program, "-c", "-q", "-f", str(DEPLOY / "haproxy/haproxy.cfg")], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


# -------------------------------------------------------------------------------------------------------------- Kubernetes


@pytest.mark.parametrize("name", ["single", "cluster"])
@pytest.mark.parametrize("version", ["1.29", "1.33"])
def test_manifests_fit_the_schemas(name: str, version: str) -> None:  # J-30
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for document in overlay(name):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_single_file_is_the_single_overlay() -> None:  # J-30
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here")
    spec = importlib.util.spec_from_file_location("render", KUBERNETES / "render.py")
    assert spec is not None and spec.loader is not None
    render = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(render)
    assert (KUBERNETES / "app.yaml").read_text() == render.HEADER + render.rendered(), "python deploy/kubernetes/render.py"


def test_each_overlay_has_its_kinds() -> None:
    shared = {"Namespace", "ServiceAccount", "ConfigMap", "Service", "Deployment", "NetworkPolicy"}
    assert {entry["kind"] for entry in overlay("single")} == shared | {"PersistentVolumeClaim"}
    more = {"Secret", "Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Job"}
    assert {entry["kind"] for entry in overlay("cluster")} == shared | more


@pytest.mark.parametrize("name", ["single", "cluster"])
def test_pods_pass_the_restricted_standard(name: str) -> None:
    for pod in pods(name):
        assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", ["single", "cluster"])
def test_pods_are_given_the_time_they_need(name: str) -> None:
    pod = one(name, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    told = settings.load({key: text for key, text in settings_of(name).items() if not key.endswith("_FILE")})
    assert pod["terminationGracePeriodSeconds"] >= told.leave_s + told.drain_s + CLOSING_S
    ready = container["readinessProbe"]
    assert ready["httpGet"]["path"] == "/ready" and container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert name == "single" or told.leave_s >= ready["periodSeconds"] * ready["failureThreshold"] + ready["timeoutSeconds"]
    # More than a migration may take, and nobody is killed meanwhile.
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 300


def test_one_pod_on_one_sqlite_file() -> None:
    spec = one("single", "Deployment")["spec"]
    assert spec["replicas"] == 1 and spec["strategy"] == {"type": "Recreate"}
    assert "OMNI_DATABASE_URL" not in str(overlay("single"))


def test_a_cluster_fits_together() -> None:
    deployment, service, job = one("cluster", "Deployment"), one("cluster", "Service"), one("cluster", "Job")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selector = service["spec"]["selector"]
    assert (
        selector
        == deployment["spec"]["selector"]["matchLabels"]
        == one("cluster", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    )
    assert selector.items() <= labels.items() and not selector.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    scaler = one("cluster", "HorizontalPodAutoscaler")["spec"]
    assert scaler["minReplicas"] == 3 and "replicas" not in deployment["spec"] and scaler["scaleTargetRef"]["kind"] == "Deployment"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--init-only"]
    given = {entry["metadata"]["name"]: entry["data"] for entry in overlay("cluster") if entry["kind"] == "Secret"}
    for pod, told in ((deployment["spec"]["template"]["spec"], settings_of("cluster")), (
        job["spec"]["template"]["spec"], {entry["name"]: entry["value"] for entry in container["env"]})):  # fmt: skip
        mounted = {
            f"{mount['mountPath']}/{key}"
            for mount in pod["containers"][0]["volumeMounts"]
            for volume in pod["volumes"]
            if volume["name"] == mount["name"] and "secret" in volume
            for key in given[volume["secret"]["secretName"]]
        }
        assert {text for name, text in told.items() if name.endswith("_FILE")} <= mounted
    for data in given.values():
        assert all(b"REPLACE-ME" in base64.b64decode(text) for text in data.values())


def test_streams_pass_the_ingress() -> None:
    told = one("cluster", "Ingress")["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io/"
    assert told[f"{prefix}proxy-buffering"] == "off"
    assert float(told[f"{prefix}proxy-read-timeout"]) > settings.Settings().total_timeout_s
    assert told[f"{prefix}proxy-body-size"] == f"{settings.Settings().body_limit_mb}m"

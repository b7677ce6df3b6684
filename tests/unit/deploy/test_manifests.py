"""What deploy/ ships fits together and fits the code: names, probes, settings, schemas, metrics.

Nothing here runs a container or a cluster. Built-in kinds are held against Kubernetes' own
schemas; the kinds of operators (KEDA, Prometheus, RabbitMQ) only against what is known of them.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml

from consumer.api.app import document
from consumer.settings import Settings
from consumer.watching import metrics
from providers.limits.binance import QUOTA as BINANCE
from providers.limits.bybit import QUOTA as BYBIT
from providers.limits.mexc import QUOTA as MEXC

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
BASE = DEPLOY / "kubernetes" / "base"
PRODUCTION = DEPLOY / "kubernetes" / "overlays" / "production"
KUBERNETES = "1.31"
OPERATORS = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule",
             "RabbitmqCluster"}  # fmt: skip


def documents(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def manifests() -> Iterator[dict[str, Any]]:
    for name in documents(BASE / "kustomization.yaml")[0]["resources"]:
        yield from documents(BASE / name)


def compose() -> dict[str, Any]:
    return documents(DEPLOY / "compose.yaml")[0]


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


def variables() -> set[str]:
    return {name.upper() for name in Settings.model_fields}


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_every_file_of_the_base_is_a_resource_of_it() -> None:
    named = set(documents(BASE / "kustomization.yaml")[0]["resources"])
    there = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert named == there


def test_built_in_kinds_are_valid() -> None:
    checked = []
    for manifest in manifests():
        if manifest["kind"] in OPERATORS:
            continue
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        checked.append(manifest["kind"])
    assert {"Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service"} <= set(checked)


def test_a_fault_in_a_manifest_would_be_seen() -> None:
    (deployment,) = documents(BASE / "deployment.yaml")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)


def test_the_overlay_changes_what_there_is() -> None:
    (kustomization,) = documents(PRODUCTION / "kustomization.yaml")
    names = {(one["kind"], one["metadata"]["name"]) for one in manifests()}
    assert (PRODUCTION / kustomization["resources"][0]).resolve() == BASE
    for patch in kustomization["patches"]:
        (changed,) = documents(PRODUCTION / patch["path"])
        assert (changed["kind"], changed["metadata"]["name"]) in names
        containers = changed["spec"]["template"]["spec"]["containers"]
        (deployment,) = documents(BASE / "deployment.yaml")
        there = {one["name"] for one in deployment["spec"]["template"]["spec"]["containers"]}
        assert {one["name"] for one in containers} <= there


def test_every_setting_that_is_given_exists_and_secrets_are_files() -> None:
    containers = [
        pod["spec"]["containers"][0]
        for one in [*manifests(), *documents(PRODUCTION / "deployment.yaml")]
        if (pod := one.get("spec", {}).get("template")) is not None
    ]
    given = [name for container in containers for name in environment(container)]
    literals = [
        literal.split("=", 1)[0]
        for folder in (BASE, PRODUCTION)
        for generator in documents(folder / "kustomization.yaml")[0]["configMapGenerator"]
        for literal in generator["literals"]
    ]
    assert all(name.endswith("_FILE") for name in given)
    assert {name.removesuffix("_FILE") for name in given} | set(literals) <= variables()


def test_a_pod_is_given_longer_to_stop_than_it_drains() -> None:
    drain = float(Settings.model_fields["drain_timeout"].default)
    (deployment,) = documents(BASE / "deployment.yaml")
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > drain + 10
    assert seconds(compose()["services"]["worker"]["stop_grace_period"]) > drain + 10
    unit = (DEPLOY / "systemd" / "trade-worker.service").read_text(encoding="utf-8")
    stop = re.search(r"TimeoutStopSec=(\d+)", unit)
    assert stop is not None
    assert int(stop[1]) > drain + 10


def test_scaling_down_is_slower_than_draining() -> None:
    scaled = next(one for one in manifests() if one["kind"] == "ScaledObject")
    behavior = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    drain = float(Settings.model_fields["drain_timeout"].default)
    for policy in behavior["scaleDown"]["policies"]:
        assert policy["value"] == 1
        assert policy["periodSeconds"] > drain
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"]["excludeUnacknowledged"] == "false"
    assert trigger["metadata"]["queueName"] == Settings.model_fields["trade_queue"].default
    prefetch = (
        Settings.model_fields["max_batch_size"].default
        * Settings.model_fields["concurrent_batches"].default
    )
    assert int(trigger["metadata"]["value"]) == prefetch


def test_pods_run_as_nobody_and_write_nowhere() -> None:
    for one in manifests():
        if one["kind"] not in ("Deployment", "Job"):
            continue
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_labels_that_select_are_on_what_is_selected() -> None:
    by_kind = {one["kind"]: one for one in manifests()}
    wanted = {"app.kubernetes.io/component": "worker"}
    labels = by_kind["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert wanted.items() <= labels.items()
    assert by_kind["Service"]["spec"]["selector"] == wanted
    assert wanted.items() <= by_kind["Service"]["metadata"]["labels"].items()
    assert by_kind["ServiceMonitor"]["spec"]["selector"]["matchLabels"] == wanted
    assert by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == wanted
    ports = [one["name"] for one in by_kind["Service"]["spec"]["ports"]]
    assert by_kind["ServiceMonitor"]["spec"]["endpoints"][0]["port"] in ports


def test_three_brokers_for_quorum_queues() -> None:
    cluster = next(one for one in manifests() if one["kind"] == "RabbitmqCluster")
    assert cluster["spec"]["replicas"] == 3


def test_compose_fits_together() -> None:
    services = compose()["services"]
    for name, service in services.items():
        image = service["image"]
        assert ":" in image, f"{name}: {image} is not pinned"
        assert not image.endswith(":latest"), f"{name}: {image} is not pinned"
        for other in service.get("depends_on", ()):
            assert other in services
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose()["volumes"] or (DEPLOY / source).exists()
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port} beyond loopback"
    assert set(services["worker"]["environment"]) <= variables()
    assert {"rabbitmq", "postgres", "minio", "worker", "sandbox", "prometheus", "grafana"} <= set(
        services
    )


def test_compose_gives_settings_that_a_worker_takes() -> None:
    given = compose()["services"]["worker"]["environment"]
    settings = Settings(**{name.lower(): value for name, value in given.items()})
    assert settings.object_folder is None


def test_the_image_is_pinned_small_and_not_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG PYTHON_IMAGE=\S+:\d+\.\d+\.\d+-slim-\w+$", text, flags=re.MULTILINE)
    assert len(re.findall(r"^FROM ", text, flags=re.MULTILINE)) == 2
    assert "--require-hashes" in text
    assert re.search(r"^USER 10001:10001$", text, flags=re.MULTILINE)
    assert "HEALTHCHECK" in text
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, flags=re.MULTILINE)
    for names in copied:
        for name in names.split():
            assert (DEPLOY.parent / name).exists(), name
    ignored = (DEPLOY.parent / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for names in copied:
        assert {f"!{name}" for name in names.split()} <= set(ignored)


def test_the_image_has_the_versions_that_are_tested() -> None:
    def pins(path: Path) -> dict[str, str]:
        text = path.read_text(encoding="utf-8")
        return dict(re.findall(r"^([\w.-]+)==([^ ;]+)", text, flags=re.MULTILINE))

    image, tested = pins(DEPLOY / "requirements.lock"), pins(DEPLOY.parent / "requirements.lock")
    assert image.items() <= tested.items()
    assert "pytest" not in image


def names_in(expression: str) -> set[str]:
    return set(re.findall(rf"{metrics.PREFIX}_\w+", expression))


def every_metric() -> set[str]:
    return {one.name for one in metrics.described()}


def exposed() -> set[str]:
    """Every series name that a scrape can show."""
    names = set()
    for one in metrics.described():
        names.add(one.name)
        if one.kind == "histogram":
            names |= {f"{one.name}_{end}" for end in ("bucket", "sum", "count")}
    return names


def test_the_dashboard_shows_metrics_that_exist() -> None:
    text = (DEPLOY / "grafana" / "dashboards" / "trade-worker.json").read_text(encoding="utf-8")
    panels = json.loads(text)["panels"]
    shown = set()
    for panel in panels:
        for target in panel.get("targets", ()):
            shown |= names_in(target["expr"])
    assert shown <= exposed()
    assert len({panel["id"] for panel in panels}) == len(panels)
    # Whoever adds a metric says where people see it.
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert {name for name in every_metric() if name.startswith(metrics.PREFIX)} == plain


def test_alerts_speak_of_metrics_that_exist_and_have_a_section_in_the_runbook() -> None:
    (rules,) = documents(DEPLOY / "prometheus" / "alerts.yml")
    runbook = (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^### (\w+)$", runbook, flags=re.MULTILINE))
    for rule in rules["groups"][0]["rules"]:
        assert names_in(rule["expr"]) <= exposed(), rule["alert"]
        assert names_in(rule["expr"]), rule["alert"]
        assert rule["alert"] in headings
        assert rule["annotations"]["runbook_url"] == f"RUNBOOK.md#{rule['alert'].lower()}"


def test_probes_ask_for_what_is_served() -> None:
    (deployment,) = documents(BASE / "deployment.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    asked = {
        container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert asked == {"/started", "/ready", "/health"}
    assert asked | {"/metrics"} <= set(document()["paths"])


def test_the_most_replicas_follow_from_the_exchanges_limits() -> None:
    """The derivation that scaledobject.yaml writes down."""
    orders = (
        BINANCE.limits["orders_1m"], BYBIT.limits["order/create"], MEXC.limits["order/create"]
    )  # fmt: skip
    a_second = sum(one.units * 1000 / one.window_ms for one in orders)
    under_way = a_second * 2.0  # an exchange that is slow answers within two seconds
    scaled = next(one for one in manifests() if one["kind"] == "ScaledObject")["spec"]
    prefetch = int(scaled["triggers"][0]["metadata"]["value"])
    assert a_second == 32
    assert scaled["maxReplicaCount"] == 2 * math.ceil(under_way / prefetch)
    assert scaled["minReplicaCount"] == 2


@pytest.mark.parametrize("folder", [BASE, PRODUCTION], ids=["base", "production"])
def test_kustomize_makes_manifests_that_are_valid(folder: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: kustomize can't be run")
    made = subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    rendered = [one for one in yaml.safe_load_all(made.stdout) if one]
    for one in rendered:
        if one["kind"] not in OPERATORS:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
    by_kind = {one["kind"]: one for one in rendered}
    pod = by_kind["Deployment"]["spec"]["template"]
    selected = by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    assert (
        container["envFrom"][0]["configMapRef"]["name"] == by_kind["ConfigMap"]["metadata"]["name"]
    )
    secrets = {name for name in environment(container) if name.endswith("_FILE")}
    assert ("BINANCE_API_KEY_FILE" in secrets) == (folder == PRODUCTION)


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "systemd" / "trade-worker.service").read_text(encoding="utf-8")
    unit = tmp_path / "trade-worker.service"
    unit.write_text(text.replace("/opt/trade-worker/bin/trade-worker", sys.executable), "utf-8")
    ran = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr.strip()) == (0, "")

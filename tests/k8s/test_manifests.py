"""The manifests fit their schemas, and fit together."""

import re
import tomllib

import pytest
import schemas
from conftest import BUILDS, ROOT, find


@pytest.mark.parametrize("build", BUILDS)
def test_every_resource_fits_its_schema(rendered, build):
    for resource in rendered[build]:
        try:
            schemas.check(resource)
        except Exception as error:
            pytest.fail(f"{resource['kind']} {resource['metadata']['name']}: {error}")


def test_kserve_resources_fit_their_schemas(kserve):
    assert {resource["kind"] for resource in kserve} == {"ClusterServingRuntime", "InferenceService"}
    for resource in kserve:
        schemas.check(resource)


def test_an_unknown_field_is_noticed(rendered, kserve):
    for resource in [*rendered["cpu"], *rendered["keda"], *kserve]:
        if resource["kind"] in ("ConfigMap", "Namespace", "ServiceAccount"):
            continue
        spoilt = resource | {"spec": resource["spec"] | {"noSuchField": 1}}
        with pytest.raises(Exception, match="noSuchField"):
            schemas.check(spoilt)


def seconds(text: str) -> float:
    return float(re.fullmatch(r"([\d.]+)s", text)[1])


def config(resources: list[dict]) -> dict:
    [found] = [r for r in resources if r["kind"] == "ConfigMap"]
    return tomllib.loads(found["data"]["config.toml"])


def defaults() -> dict:
    return tomllib.loads((ROOT / "config/default.toml").read_text())


@pytest.mark.parametrize("build", BUILDS)
def test_the_drain_fits_into_the_grace_period(rendered, build):
    server = defaults()["server"] | config(rendered[build])["server"]
    pod = find(rendered[build], "Deployment")["spec"]["template"]["spec"]
    drain, request, grace = (seconds(server[k]) for k in ("drain_delay", "request_timeout", "grace_period"))
    assert drain + request <= grace < pod["terminationGracePeriodSeconds"]


def test_every_key_of_the_configuration_is_known(rendered):
    for section, keys in config(rendered["base"]).items():
        assert keys.keys() <= defaults()[section].keys(), section


def test_the_ports_are_those_of_the_configuration(rendered):
    settings = config(rendered["base"])
    [container] = find(rendered["base"], "Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert settings["server"]["listen"] == f"0.0.0.0:{ports['http']}"
    assert settings["admin"]["listen"] == f"0.0.0.0:{ports['admin']}"


@pytest.mark.parametrize("build", BUILDS)
def test_probes_ask_the_admin_port(rendered, build):
    [container] = find(rendered[build], "Deployment")["spec"]["template"]["spec"]["containers"]
    for probe in ("startup", "readiness", "liveness"):
        assert container[f"{probe}Probe"]["httpGet"]["port"] == "admin"


@pytest.mark.parametrize("build", BUILDS)
def test_selectors_match_the_pods(rendered, build):
    resources = rendered[build]
    labels = find(resources, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    selectors = [find(resources, "Deployment")["spec"]["selector"]["matchLabels"]]
    selectors += [find(resources, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]]
    selectors += [find(resources, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
    selectors += [find(resources, "Service", name)["spec"]["selector"] for name in ("onnxd", "onnxd-admin")]
    assert all(selector and selector.items() <= labels for selector in selectors)


@pytest.mark.parametrize("build", ["cpu", "gpu"])
def test_the_service_monitor_finds_the_admin_service_only(rendered, build):
    monitor = find(rendered[build], "ServiceMonitor")["spec"]
    found = [
        resource
        for resource in rendered[build]
        if resource["kind"] == "Service"
        and monitor["selector"]["matchLabels"].items() <= resource["metadata"]["labels"].items()
    ]
    assert [service["metadata"]["name"] for service in found] == ["onnxd-admin"]
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in found[0]["spec"]["ports"]]


@pytest.mark.parametrize("build", BUILDS)
def test_one_autoscaler_or_a_number_of_replicas(rendered, build):
    scalers = [r for r in rendered[build] if r["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
    fixed = "replicas" in find(rendered[build], "Deployment")["spec"]
    assert len(scalers) + fixed == 1


def test_both_autoscalers_aim_at_the_same(rendered):
    hpa = find(rendered["cpu"], "HorizontalPodAutoscaler")["spec"]
    keda = find(rendered["keda"], "ScaledObject")["spec"]
    [metric], [trigger] = hpa["metrics"], keda["triggers"]
    assert metric["pods"]["target"]["averageValue"] == "500m"
    assert float(trigger["metadata"]["threshold"]) == 0.5
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (keda["minReplicaCount"], keda["maxReplicaCount"])
    assert hpa["behavior"] == keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert hpa["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_a_gpu_pod_has_one_gpu_and_never_falls_back(rendered):
    [container] = find(rendered["gpu"], "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "ONNXD_RUNTIME__DEVICE", "value": "cuda:0"} in container["env"]
    assert container["image"].endswith("-cuda")


def test_models_may_come_from_a_volume(rendered):
    pod = find(rendered["models-volume"], "Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [mount] = [
        m for m in container["volumeMounts"] if m["mountPath"] == config(rendered["base"])["models"]["path"]
    ]
    assert mount["readOnly"]
    assert mount["name"] in [volume["name"] for volume in pod["volumes"]]

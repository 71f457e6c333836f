"""Every pod passes Kubernetes' Pod Security Standard "restricted", and a little more."""

import pytest
from conftest import BUILDS, find

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def restricted(pod: dict) -> list[str]:
    """What the standard forbids in this pod."""
    faults = [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes", []):
        faults += [f"volume {volume['name']} is {kind}" for kind in volume.keys() - {"name"} - VOLUMES]
    outer = pod.get("securityContext", {})
    for container in pod["containers"] + pod.get("initContainers", []):
        inner = container.get("securityContext", {})
        both = outer | inner
        wrong = {
            "privileged": inner.get("privileged", False),
            "allowPrivilegeEscalation": inner.get("allowPrivilegeEscalation", True),
            "runAsNonRoot": both.get("runAsNonRoot") is not True,
            "runAsUser": both.get("runAsUser") == 0,
            "capabilities.drop": "ALL" not in inner.get("capabilities", {}).get("drop", []),
            "capabilities.add": set(inner.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"},
            "seccompProfile": both.get("seccompProfile", {}).get("type")
            not in ("RuntimeDefault", "Localhost"),
            "hostPort": any("hostPort" in port for port in container.get("ports", [])),
            "procMount": inner.get("procMount", "Default") != "Default",
        }
        faults += [f"{container['name']}: {name}" for name, is_wrong in wrong.items() if is_wrong]
    return faults


def hardened(pod: dict) -> list[str]:
    """What we ask for besides."""
    faults = []
    for container in pod["containers"]:
        limits = container["resources"]["limits"]
        wrong = {
            "the root file system can be written": not container["securityContext"].get(
                "readOnlyRootFilesystem"
            ),
            "no memory limit, or another than the request": limits["memory"]
            != container["resources"]["requests"]["memory"],
            "no CPU limit to count threads by": "cpu" not in limits,
            "a mount can be written": any(
                not mount.get("readOnly") and not mount["mountPath"].startswith("/var/cache/")
                for mount in container.get("volumeMounts", [])
            ),
        }
        faults += [f"{container['name']}: {name}" for name, is_wrong in wrong.items() if is_wrong]
    return faults


@pytest.mark.parametrize("build", BUILDS)
def test_the_pods_are_restricted(rendered, build):
    pod = find(rendered[build], "Deployment")["spec"]["template"]["spec"]
    assert restricted(pod) + hardened(pod) == []
    assert pod["automountServiceAccountToken"] is False
    # Else the Service's own name would reach onnxd as a key of its configuration.
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsUser"] == 65532


def test_kserve_pods_are_restricted(kserve):
    pod = find(kserve, "ClusterServingRuntime")["spec"]
    assert restricted(pod) + hardened(pod) == []
    predictor = find(kserve, "InferenceService", "sentiment")["spec"]["predictor"]
    assert predictor["enableServiceLinks"] is False
    assert not find(kserve, "InferenceService", "sentiment")["metadata"]["name"].startswith("onnxd")


def test_a_careless_pod_is_noticed():
    careless = {"containers": [{"name": "c", "securityContext": {"privileged": True}}], "hostNetwork": True}
    assert len(restricted(careless)) == 6


@pytest.mark.parametrize("build", BUILDS)
def test_the_namespace_enforces_it(rendered, build):
    labels = find(rendered[build], "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("build", BUILDS)
def test_nothing_goes_out_and_only_the_named_come_in(rendered, build):
    policy = find(rendered[build], "NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    # Absent is kept as empty by the API: nothing is allowed.
    assert not policy.get("egress")
    assert all(rule["from"] and rule["ports"] for rule in policy["ingress"])

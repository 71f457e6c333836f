"""compose.yaml and what it mounts."""

import os
import re
import shutil
import tomllib

import pytest
import yaml
from conftest import ROOT, run, tool

FILE = ROOT / "compose.yaml"
SERVICES = yaml.safe_load(FILE.read_text())["services"]


def test_compose_reads_it():
    if shutil.which("docker-compose"):
        command = ["docker-compose"]
    else:
        command = [tool("docker"), "compose"]
        if os.system("docker compose version >/dev/null 2>&1") != 0:
            pytest.skip("Compose is not installed")
    run(*command, "-f", FILE, "config", cwd=ROOT)


def test_haproxy_reads_its_configuration():
    run(tool("haproxy"), "-c", "-f", ROOT / "k8s/compose/haproxy.cfg")


@pytest.mark.parametrize("name", SERVICES)
def test_containers_are_hardened(name):
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    # Nothing is published beyond this machine.
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_files_are_there(name):
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        assert not source.startswith(".") or (ROOT / source).exists(), source


def test_onnxd_has_no_way_out():
    assert SERVICES["onnxd"]["networks"] == ["inner"]
    assert yaml.safe_load(FILE.read_text())["networks"]["inner"]["internal"] is True


def test_timeouts_leave_onnxd_the_last_word():
    haproxy = (ROOT / "k8s/compose/haproxy.cfg").read_text()
    server = tomllib.loads((ROOT / "config/default.toml").read_text())["server"]
    longest = int(server["request_timeout"].removesuffix("s"))
    assert int(re.search(r"timeout server (\d+)s", haproxy)[1]) > longest
    assert re.search(r"retry-on conn-failure$", haproxy, re.MULTILINE)

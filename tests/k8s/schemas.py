"""Is a resource what its API takes? Unknown fields are errors, as is a wrong type."""

import importlib.util
import re
import sys
import types

import kubernetes_validate

# The oldest and the newest Kubernetes that the manifests are for.
VERSIONS = ("1.29", "1.34", "1.37")


def check(resource: dict) -> None:
    """Raises if the resource does not fit its published schema."""
    group = resource["apiVersion"].split("/")[0]
    if group in ("monitoring.coreos.com", "keda.sh"):
        check_pydantic(resource)
    elif group == "serving.kserve.io":
        check_kserve(resource)
    else:
        for version in VERSIONS:
            kubernetes_validate.validate(resource, version, strict=True)


def check_pydantic(resource: dict) -> None:
    """Prometheus Operator and KEDA: models that were generated from the published CRDs."""
    from cloudcoil.models.keda import v1alpha1 as keda
    from cloudcoil.models.prometheus_operator import v1 as operator

    module = keda if resource["apiVersion"].startswith("keda.sh") else operator
    model = getattr(module, resource["kind"]).model_validate(resource)
    # The models pass over a field that they do not know: it is then missing here.
    kept = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    lost = list(missing(resource, kept, ""))
    assert not lost, f"unknown fields: {lost}"


def missing(given, kept, path: str):
    """Paths that are in `given` and not in `kept`."""
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(kept, dict) or key not in kept:
                yield f"{path}.{key}"
            else:
                yield from missing(value, kept[key], f"{path}.{key}")
    elif isinstance(given, list):
        for index, value in enumerate(given):
            yield from missing(value, kept[index], f"{path}[{index}]")


def kserve_models() -> types.ModuleType:
    """KServe's generated models without the rest of its package, which needs a server's libraries."""
    if "kserve" not in sys.modules:
        package = types.ModuleType("kserve")
        package.__path__ = importlib.util.find_spec("kserve").submodule_search_locations
        sys.modules["kserve"] = package
    import kserve.models

    return kserve.models


def check_kserve(resource: dict) -> None:
    models = kserve_models()
    api = resource["apiVersion"].split("/")[1]
    check_openapi(resource, f"{api.capitalize()}{resource['kind']}", models, resource["kind"])


SCALARS = {"str": str, "bool": bool, "int": int, "float": (int, float)}


def check_openapi(value, kind: str, models: types.ModuleType, path: str) -> None:
    """Walks a value along the models' tables of fields and types."""
    if listed := re.fullmatch(r"list\[(.+)\]", kind):
        assert isinstance(value, list), f"{path}: not a list"
        for index, item in enumerate(value):
            check_openapi(item, listed[1], models, f"{path}[{index}]")
    elif kind.startswith("dict("):
        assert isinstance(value, dict), f"{path}: not an object"
    elif kind in SCALARS:
        assert isinstance(value, SCALARS[kind]), f"{path}: not {kind}"
    elif kind == "V1Container":
        # Kubernetes' own type.
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [value]}}
        check(pod)
    elif model := getattr(models, kind, None):
        assert isinstance(value, dict), f"{path}: not an object"
        names = {json: python for python, json in model.attribute_map.items()}
        assert value.keys() <= names.keys(), f"{path}: unknown {value.keys() - names.keys()}"
        # The constructor raises where a required field is missing.
        model(**{names[key]: field for key, field in value.items()})
        for key, field in value.items():
            check_openapi(field, model.openapi_types[names[key]], models, f"{path}.{key}")

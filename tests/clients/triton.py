"""tritonclient over HTTP (in JSON and in binary) and gRPC, so that a test asks each the same."""

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import np_to_triton_dtype


class Transport:
    """A client of the data port, and one of the admin port."""

    def __init__(self, form: str, data: str, admin: str):
        self.form = form
        self.grpc = form == "grpc"
        self.binary = form != "http-json"
        self.module = tritonclient.grpc if self.grpc else tritonclient.http
        options = {} if self.grpc else {"concurrency": 8}
        self.client = self.module.InferenceServerClient(data, **options)
        self.admin = self.module.InferenceServerClient(admin)

    def close(self) -> None:
        self.client.close()
        self.admin.close()

    def input(self, name: str, array: np.ndarray, datatype: str | None = None):
        """`datatype`: what the request says, if not the array's own."""
        own = np_to_triton_dtype(array.dtype)
        tensor = self.module.InferInput(name, list(array.shape), own)
        tensor.set_data_from_numpy(array, **self.how())
        if datatype:
            if self.grpc:
                tensor._input.datatype = datatype
            else:
                tensor._datatype = datatype
        return tensor

    def output(self, name: str, **options):
        return self.module.InferRequestedOutput(name, **options, **self.how())

    def how(self) -> dict:
        return {} if self.grpc else {"binary_data": self.binary}

    def inputs(self, arrays: dict) -> list:
        return [self.input(name, array) for name, array in arrays.items()]

    def infer(self, model: str, arrays: dict, outputs: list[str], **options):
        """The outputs must be named: without names the HTTP client asks for binary."""
        wanted = [self.output(name) for name in outputs]
        return self.client.infer(model, self.inputs(arrays), outputs=wanted, **options)

    def json(self, **options) -> dict:
        """So that metadata comes as a dictionary from either client."""
        return options | ({"as_json": True} if self.grpc else {})


def texts(array: np.ndarray) -> list:
    """BYTES as nested lists of str; the clients give bytes for binary and str for JSON."""
    text = [element.decode() if isinstance(element, bytes) else str(element) for element in array.ravel()]
    return np.array(text, object).reshape(array.shape).tolist()

"""The least client of the Open Inference Protocol v2 over HTTP: one connection, JSON or binary.

Tensors are (name, datatype, array); arrays of BYTES hold str.
"""

import http.client
import json
import struct

import ml_dtypes
import numpy as np

DTYPES = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": object,
}
HEADER = "inference-header-content-length"


class Refused(Exception):
    """The server's status and its message."""


class Client:
    def __init__(self, host: str, port: int):
        self.connection = http.client.HTTPConnection(host, port, timeout=120)

    def infer(self, model: str, inputs: list[tuple], binary: bool) -> list[tuple]:
        """The outputs in the order in which they came."""
        body, headers = encode(inputs, binary)
        self.connection.request("POST", f"/v2/models/{model}/infer", body, headers)
        response = self.connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise Refused(f"{response.status}: {answer.decode(errors='replace')[:300]}")
        head = int(response.headers.get(HEADER, len(answer)))
        return decode(json.loads(answer[:head]), answer[head:], binary)


def encode(inputs: list[tuple], binary: bool) -> tuple[bytes, dict[str, str]]:
    heads, tail = [], b""
    for name, datatype, array in inputs:
        head = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if binary:
            data = pack(array, datatype)
            head["parameters"] = {"binary_data_size": len(data)}
            tail += data
        else:
            head["data"] = array.tolist() if array.shape else [array.tolist()]
        heads.append(head)
    request = {"inputs": heads}
    if not binary:
        return json.dumps(request, allow_nan=False).encode(), {"content-type": "application/json"}
    request["parameters"] = {"binary_data_output": True}
    text = json.dumps(request).encode()
    headers = {"content-type": "application/octet-stream", HEADER: str(len(text))}
    return text + tail, headers


def decode(answer: dict, tail: bytes, binary: bool) -> list[tuple]:
    outputs = []
    for head in answer["outputs"]:
        name, datatype, shape = head["name"], head["datatype"], head["shape"]
        dtype = DTYPES[datatype]
        if binary:
            size = head["parameters"]["binary_data_size"]
            data, tail = tail[:size], tail[size:]
            array = unpack(data) if datatype == "BYTES" else np.frombuffer(data, dtype)
        else:
            array = np.array(head["data"], dtype)
        outputs.append((name, datatype, array.reshape(shape)))
    if tail:
        raise ValueError(f"{len(tail)} bytes are left of the answer")
    return outputs


def pack(array: np.ndarray, datatype: str) -> bytes:
    if datatype != "BYTES":
        return array.tobytes()
    elements = [text.encode() for text in array.ravel()]
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def unpack(data: bytes) -> np.ndarray:
    elements, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        elements.append(data[at + 4 : at + 4 + length].decode())
        at += 4 + length
    array = np.empty(len(elements), object)
    array[:] = elements
    return array

"""Tensors, sentences and a photo through gRPC, from the repository's own proto/inference.proto.

grpcio-tools reads the file at run time, so that no code is generated. tritonclient and KServe's client
do the same with less code (tests/clients); this is what any language's gRPC does.

Usage: infer_grpc.py [PHOTO]    ONNXD_URL: the server, http://127.0.0.1:8080 by default
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "proto"))
messages, services = grpc.protos_and_services("inference.proto")

URL = urlsplit(os.environ.get("ONNXD_URL", "http://127.0.0.1:8080"))
PHOTO = ROOT / "tests/fixtures/images/jpeg-coffee.jpg"


def of_bytes(name: str, values: list[bytes]):
    """Texts or files: one row each, as the model's task takes them."""
    tensor = messages.ModelInferRequest.InferInputTensor(name=name, datatype="BYTES", shape=[len(values)])
    tensor.contents.bytes_contents.extend(values)
    return tensor


def infer(stub, model: str, tensor, raw: bytes | None = None, timeout: float = 30) -> dict:
    """The outputs by name. `timeout` goes to the server too, which drops what nobody waits for."""
    request = messages.ModelInferRequest(model_name=model, inputs=[tensor])
    if raw is not None:
        request.raw_input_contents.append(raw)
    answer = stub.ModelInfer(request, timeout=timeout)
    if not answer.raw_output_contents:
        return {output.name: output.contents for output in answer.outputs}
    types = {"FP32": np.float32, "INT64": np.int64}
    return {
        output.name: np.frombuffer(raw, types[output.datatype]).reshape(output.shape)
        for output, raw in zip(answer.outputs, answer.raw_output_contents)
    }


def main() -> None:
    photo = Path(sys.argv[1]) if len(sys.argv) > 1 else PHOTO
    with grpc.insecure_channel(URL.netloc) as channel:
        stub = services.GRPCInferenceServiceStub(channel)
        metadata = stub.ModelMetadata(messages.ModelMetadataRequest(name="iris"))
        print("iris takes", ", ".join(f"{i.name} {i.datatype} {list(i.shape)}" for i in metadata.inputs))

        # Little-endian bytes, as numpy has them on x86 and ARM: nothing is converted on either side.
        rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], np.float32)
        tensor = messages.ModelInferRequest.InferInputTensor(name="features", datatype="FP32", shape=rows.shape)
        outputs = infer(stub, "iris", tensor, rows.tobytes())
        print("classes", outputs["label"].tolist(), "probabilities", outputs["probabilities"].shape)

        sentences = ["The battery lasts for days, I love it!", "It broke after a week."]
        outputs = infer(stub, "sentiment-minilm", of_bytes("text", [s.encode() for s in sentences]))
        for sentence, label in zip(sentences, outputs["label"].bytes_contents):
            print(sentence, label.decode())

        outputs = infer(stub, "efficientnet-lite0", of_bytes("image", [photo.read_bytes()]))
        print(photo.name, outputs["label"].bytes_contents[0].decode())

        try:
            infer(stub, "irys", tensor, rows.tobytes())
        except grpc.RpcError as error:
            print(f"refused: {error.code().name} {error.details()}")


if __name__ == "__main__":
    main()

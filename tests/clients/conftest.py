"""One onnxd for the tests of each kind of client.

The clients of Triton and of KServe register the same names of messages, so that each kind needs a
process: scripts/clients_check.sh runs them one after the other.
"""

import pytest

from onnxd import Onnxd


@pytest.fixture(scope="session")
def onnxd(tmp_path_factory):
    server = Onnxd(tmp_path_factory.mktemp("onnxd"))
    yield server
    server.stop()


def transports(*forms):
    def fixture(request, onnxd):
        from triton import Transport

        transport = Transport(request.param, onnxd.data, onnxd.admin)
        yield transport
        transport.close()

    return pytest.fixture(params=forms)(fixture)


# What carries tensors differs in three ways, everything else in two.
transport = transports("http-json", "http-binary", "grpc")
client = transports("http-binary", "grpc")
http = transports("http-binary")
grpc = transports("grpc")

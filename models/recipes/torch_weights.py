"""Read the tensors of a PyTorch state dict (zip or pre-1.6 form) without PyTorch.

The unpickler knows tensors and plain containers and refuses everything else.
"""
import collections
import io
import pickle
import struct
import zipfile

import numpy as np

TYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "LongStorage": "<i8", "IntStorage": "<i4"}


class Storage:
    def __init__(self, type_name):
        self.dtype = np.dtype(TYPES[type_name])
        self.data = None


class Tensor:
    def __init__(self, storage, offset, size, stride, *_):
        self.storage, self.offset, self.size, self.stride = storage, offset, tuple(size), tuple(stride)

    def numpy(self):
        data = self.storage.data[self.offset :]
        strides = [n * data.itemsize for n in self.stride]
        return np.array(np.lib.stride_tricks.as_strided(data, self.size, strides))


class Unpickler(pickle.Unpickler):
    def __init__(self, file, storages):
        super().__init__(file, encoding="utf-8")
        self.storages = storages

    def find_class(self, module, name):
        if name in TYPES:
            return name
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return Tensor
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")

    def persistent_load(self, ident):
        _, type_name, key = ident[:3]
        return self.storages.setdefault(key, Storage(type_name))


def load(path):
    """{name: numpy array}"""
    storages = {}
    if zipfile.is_zipfile(path):
        archive = zipfile.ZipFile(path)
        name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        state = Unpickler(io.BytesIO(archive.read(name)), storages).load()
        for key, storage in storages.items():
            raw = archive.read(name.replace("data.pkl", f"data/{key}"))
            storage.data = np.frombuffer(raw, storage.dtype)
    else:
        with open(path, "rb") as f:
            for _ in range(3):  # magic number, protocol, system
                Unpickler(f, storages).load()
            state = Unpickler(f, storages).load()
            for key in Unpickler(f, storages).load():
                (count,) = struct.unpack("<q", f.read(8))
                dtype = storages[key].dtype
                storages[key].data = np.frombuffer(f.read(count * dtype.itemsize), dtype)
    return {name: tensor.numpy() for name, tensor in state.items()}

"""The Python stubs of package gleand.v1, made from proto/ each time, so that they cannot be stale."""

import atexit
import importlib
import pathlib
import sys
import tempfile

from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _generate():
    out = tempfile.TemporaryDirectory(prefix="gleand-stubs-")
    atexit.register(out.cleanup)
    proto = ROOT / "proto"
    files = sorted(str(path.relative_to(proto)) for path in (proto / "gleand").rglob("*.proto"))
    well_known = str(pathlib.Path(protoc.__file__).parent / "_proto")
    status = protoc.main(
        ["protoc", f"-I{proto}", f"-I{well_known}", f"--python_out={out.name}", f"--grpc_python_out={out.name}", *files]
    )
    if status != 0:
        raise RuntimeError(f"protoc ended with {status}")
    sys.path.insert(0, out.name)


def _message_module():
    """All messages and enums in one namespace, as other languages have them."""
    namespace = {}
    for name in ("config", "errors", "events", "extraction", "models", "results", "tasks"):
        module = importlib.import_module(f"gleand.v1.{name}_pb2")
        namespace.update({key: value for key, value in vars(module).items() if not key.startswith("_")})
    return type("v1", (), namespace)


_generate()
v1 = _message_module()
extraction_grpc = importlib.import_module("gleand.v1.extraction_pb2_grpc")
models_grpc = importlib.import_module("gleand.v1.models_pb2_grpc")

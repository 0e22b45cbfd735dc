"""What an error of gleand says, taken apart."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from schema import v1

DOMAIN = "gleand.v1"


class Failure:
    """Code, reason, fields and message of an error; fails where one of ours would be incomplete."""

    def __init__(self, error):
        status = rpc_status.from_call(error)
        if status is None:
            raise AssertionError(f"{error.code()} without details: {error.details()}")
        self.code = error.code()
        self.message = status.message
        self.fields = []
        self.retry_seconds = None
        info = None
        for detail in status.details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad_request = error_details_pb2.BadRequest()
                detail.Unpack(bad_request)
                self.fields = [violation.field for violation in bad_request.field_violations]
        if info is None or info.domain != DOMAIN:
            raise AssertionError(f"{self.code} without an ErrorInfo of {DOMAIN}: {status}")
        self.reason = info.reason
        self.metadata = dict(info.metadata)
        v1.ErrorReason.Value(f"ERROR_REASON_{self.reason}")


def failure(action):
    """Runs `action`, which must end with an error of gleand."""
    try:
        result = action()
    except grpc.RpcError as error:
        return Failure(error)
    raise AssertionError(f"no error, but {str(result)[:200]}")

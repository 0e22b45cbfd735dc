"""What a refusal says besides its reason: when to come again."""

import grpc
from failure import Failure
from google.rpc import error_details_pb2
from grpc_status import rpc_status

PUSHBACK = "grpc-retry-pushback-ms"


class Refusal(Failure):
    """A failure with its `RetryInfo` in seconds and the trailer of gRFC A6 in milliseconds; None where absent."""

    def __init__(self, error):
        super().__init__(error)
        trailers = dict(error.trailing_metadata() or ())
        self.pushback_ms = int(trailers[PUSHBACK]) if PUSHBACK in trailers else None
        for detail in rpc_status.from_call(error).details:
            if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                retry = error_details_pb2.RetryInfo()
                detail.Unpack(retry)
                self.retry_seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9


def refusal(action):
    """Runs `action`, which must end with an error of gleand."""
    try:
        result = action()
    except grpc.RpcError as error:
        return Refusal(error)
    raise AssertionError(f"no error, but {str(result)[:200]}")


def assert_retry_is_told(test, actual, least=0.1, most=60):
    """`RetryInfo` is within its bounds and the trailer agrees with it."""
    test.assertIsNotNone(actual.retry_seconds, f"{actual.reason} without RetryInfo")
    test.assertGreaterEqual(actual.retry_seconds, least)
    test.assertLessEqual(actual.retry_seconds, most)
    test.assertIsNotNone(actual.pushback_ms, f"{actual.reason} without {PUSHBACK}")
    test.assertAlmostEqual(actual.pushback_ms / 1000, actual.retry_seconds, delta=0.002)

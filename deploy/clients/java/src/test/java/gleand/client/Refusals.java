package gleand.client;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import com.google.protobuf.UnknownFieldSet;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;

/** Errors as the server makes them. */
final class Refusals {
    private Refusals() {}

    /** A reason, milliseconds of RetryInfo and a trailer; null for each that is not there. */
    static StatusRuntimeException of(Status.Code code, String reason, Integer milliseconds, String pushback) {
        var status = com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("not now");
        if (reason != null) {
            var field = UnknownFieldSet.Field.newBuilder().addLengthDelimited(ByteString.copyFromUtf8(reason)).build();
            var info = UnknownFieldSet.newBuilder().addField(1, field).build().toByteString();
            status.addDetails(Any.newBuilder().setTypeUrl("type.googleapis.com/google.rpc.ErrorInfo").setValue(info));
        }
        if (milliseconds != null) {
            var delay = Duration.newBuilder().setSeconds(milliseconds / 1000).setNanos(milliseconds % 1000 * 1_000_000);
            status.addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(delay).build()));
        }
        var trailers = new Metadata();
        if (pushback != null) {
            trailers.put(Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER), pushback);
        }
        return StatusProto.toStatusRuntimeException(status.build(), trailers);
    }

    static StatusRuntimeException full(int milliseconds) {
        return of(Status.Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", milliseconds, null);
    }
}

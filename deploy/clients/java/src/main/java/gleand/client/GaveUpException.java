package gleand.client;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;

/** There is no attempt left, or no time for one. The status is that of the last one. */
public final class GaveUpException extends StatusRuntimeException {
    private static final long serialVersionUID = 1;

    GaveUpException(String why, StatusRuntimeException cause) {
        super(described(why, cause), cause.getTrailers());
    }

    static Status described(String why, StatusRuntimeException cause) {
        return cause.getStatus().withDescription(why + ": " + cause.getStatus().getDescription()).withCause(cause);
    }
}

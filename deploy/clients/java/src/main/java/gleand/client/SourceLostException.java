package gleand.client;

import io.grpc.StatusRuntimeException;

/** The stream was cut, and what was sent cannot be read again. The status is that of the stream. */
public final class SourceLostException extends StatusRuntimeException {
    private static final long serialVersionUID = 1;

    SourceLostException(StatusRuntimeException cause) {
        super(GaveUpException.described("the stream was cut, and its source cannot be read twice", cause), cause.getTrailers());
    }
}

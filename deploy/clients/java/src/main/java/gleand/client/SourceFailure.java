package gleand.client;

import java.io.IOException;
import java.io.UncheckedIOException;

/** What a source threw. It may be a {@code StatusRuntimeException} of another call, which says nothing about this one. */
final class SourceFailure extends Exception {
    private static final long serialVersionUID = 1;

    SourceFailure(Throwable cause) {
        super(cause);
    }

    /** What the caller gets: a checked exception is wrapped, an Error is thrown at once. */
    RuntimeException unwrapped() {
        Throwable cause = getCause();
        if (cause instanceof Error error) {
            throw error;
        }
        if (cause instanceof RuntimeException unchecked) {
            return unchecked;
        }
        return new UncheckedIOException(cause instanceof IOException checked ? checked : new IOException(cause));
    }
}

package gleand.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnknownFieldSet;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.DoubleSupplier;

/** What the end of a stream says about another attempt. */
public final class Delays {
    private static final Metadata.Key<String> PUSHBACK =
            Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);
    private static final Duration BACKOFF_FIRST = Duration.ofMillis(200);
    private static final Duration BACKOFF_MAX = Duration.ofSeconds(10);
    /** A told delay becomes longer by this part of it at most, so that clients that were told the same do not come at once. */
    private static final double TOLD_JITTER = 0.2;
    /** More than anybody waits, and few enough nanoseconds for a long. */
    private static final Duration TOLD_MAX = Duration.ofDays(365);

    private Delays() {}

    /** How long to wait after the attempt of this number; empty where another attempt would be of no use. */
    static Optional<Duration> after(StatusRuntimeException error, int number, DoubleSupplier random) {
        List<Any> details = details(error);
        String reason = reason(details);
        boolean passes = switch (error.getStatus().getCode()) {
            case UNAVAILABLE -> true;
            case RESOURCE_EXHAUSTED -> reason.equals("QUEUE_FULL");
            // Every error of the server has a reason: without one the connection broke.
            case UNKNOWN, INTERNAL -> reason.isEmpty();
            default -> false;
        };
        Metadata trailers = error.getTrailers();
        String pushback = trailers == null ? null : trailers.get(PUSHBACK);
        // What is no number from 0 asks for no further attempt.
        if (!passes || (pushback != null && !pushback.matches("[0-9]{1,10}"))) {
            return Optional.empty();
        }
        Optional<Duration> told = retryDelay(details);
        if (told.isEmpty() && pushback != null) {
            told = Optional.of(Duration.ofMillis(Long.parseLong(pushback)));
        }
        if (told.isPresent()) {
            Duration wait = told.get().compareTo(TOLD_MAX) < 0 ? told.get() : TOLD_MAX;
            return Optional.of(wait.plusNanos((long) (wait.toNanos() * TOLD_JITTER * random.getAsDouble())));
        }
        Duration most = BACKOFF_FIRST.multipliedBy(1L << (number - 1));
        most = most.compareTo(BACKOFF_MAX) < 0 ? most : BACKOFF_MAX;
        return Optional.of(Duration.ofNanos((long) (most.toNanos() * random.getAsDouble())));
    }

    /** A name of {@code ErrorReason} without its prefix; empty where the error is none of the server's. */
    public static String reason(StatusRuntimeException error) {
        return reason(details(error));
    }

    private static List<Any> details(StatusRuntimeException error) {
        try {
            com.google.rpc.Status status = StatusProto.fromThrowable(error);
            return status == null ? List.of() : status.getDetailsList();
        } catch (IllegalArgumentException unreadable) {
            return List.of();
        }
    }

    private static String reason(List<Any> details) {
        for (Any detail : details) {
            if (!detail.getTypeUrl().endsWith("/google.rpc.ErrorInfo")) {
                continue;
            }
            try {
                // Field 1. The class ErrorInfo is not in the old proto-google-common-protos of Debian 12.
                for (var value : UnknownFieldSet.parseFrom(detail.getValue()).getField(1).getLengthDelimitedList()) {
                    return value.toStringUtf8();
                }
            } catch (InvalidProtocolBufferException unreadable) {
                return "";
            }
        }
        return "";
    }

    private static Optional<Duration> retryDelay(List<Any> details) {
        for (Any detail : details) {
            try {
                if (detail.is(RetryInfo.class)) {
                    var delay = detail.unpack(RetryInfo.class).getRetryDelay();
                    return Optional.of(Duration.ofSeconds(Math.max(0, delay.getSeconds()), Math.max(0, delay.getNanos())));
                }
            } catch (InvalidProtocolBufferException unreadable) {
                return Optional.empty();
            }
        }
        return Optional.empty();
    }
}

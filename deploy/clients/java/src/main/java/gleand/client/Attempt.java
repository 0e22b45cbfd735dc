package gleand.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import gleand.v1.Chunk;
import gleand.v1.Config;
import gleand.v1.Event;
import gleand.v1.ExtractStreamRequest;
import gleand.v1.ExtractStreamResponse;
import gleand.v1.ExtractionServiceGrpc.ExtractionServiceStub;
import gleand.v1.Finish;
import gleand.v1.Flush;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayDeque;
import java.util.concurrent.TimeUnit;

/**
 * One stream. The caller's thread reads from it while a thread of its own writes, so that neither waits for ever. At most one
 * event waits for the caller, and the writer takes from the source only what the transport has room for.
 */
final class Attempt implements ClientResponseObserver<ExtractStreamRequest, ExtractStreamResponse> {
    /** How long the status may take to come after done, which is all that a caller wants. */
    private static final long STATUS_WAIT_NANOS = TimeUnit.SECONDS.toNanos(3);

    private final Source source;
    private final Thread writer;
    private ClientCallStreamObserver<ExtractStreamRequest> requests;

    // Everything below is guarded by this.
    private final ArrayDeque<Event> events = new ArrayDeque<>();
    private boolean isAccepted;
    private boolean hasEnded;
    private StatusRuntimeException status;
    private Throwable sourceError;

    Attempt(ExtractionServiceStub stub, Config config, Source source) {
        this.source = source;
        stub.extractStream(this);
        writer = new Thread(() -> write(config), "gleand-writer");
        writer.setDaemon(true);
        writer.start();
    }

    /** Waits for the next event. Throws how the stream ended. */
    Event next() throws SourceFailure, InterruptedException {
        Event event;
        synchronized (this) {
            while (events.isEmpty() && status == null && sourceError == null) {
                wait();
            }
            if (events.isEmpty() && sourceError != null) {
                throw new SourceFailure(sourceError);
            }
            if (events.isEmpty()) {
                throw status;
            }
            event = events.remove();
        }
        requests.request(1);
        return event;
    }

    /** Lets the writer take from the source. */
    synchronized void accept() {
        isAccepted = true;
        notifyAll();
    }

    /** Waits, for some seconds, for what comes after the last event: the status, where the server ends the stream well. */
    synchronized void awaitEnd() throws InterruptedException {
        long end = System.nanoTime() + STATUS_WAIT_NANOS;
        for (long left = STATUS_WAIT_NANOS; left > 0 && status == null && events.isEmpty(); left = end - System.nanoTime()) {
            TimeUnit.NANOSECONDS.timedWait(this, left);
        }
    }

    /** Ends the stream, if it has not ended, and the writer. */
    void close() {
        synchronized (this) {
            hasEnded = true;
            source.stop();
            notifyAll();
        }
        requests.cancel("the caller has read enough", null);
        boolean isInterrupted = false;
        while (writer.isAlive()) {
            try {
                writer.join();
            } catch (InterruptedException error) {
                isInterrupted = true;
            }
        }
        if (isInterrupted) {
            Thread.currentThread().interrupt();
        }
    }

    // --- the library's threads ---------------------------------------------------------------------------------------

    @Override
    public void beforeStart(ClientCallStreamObserver<ExtractStreamRequest> requests) {
        this.requests = requests;
        requests.disableAutoRequestWithInitial(1);
        requests.setOnReadyHandler(this::wake);
    }

    private synchronized void wake() {
        notifyAll();
    }

    @Override
    public synchronized void onNext(ExtractStreamResponse response) {
        events.add(response.getEvent());
        notifyAll();
    }

    @Override
    public void onError(Throwable error) {
        end(Status.fromThrowable(error).asRuntimeException(Status.trailersFromThrowable(error)));
    }

    @Override
    public void onCompleted() {
        end(Status.UNAVAILABLE.withDescription("the server ended the stream before the document was done").asRuntimeException());
    }

    private synchronized void end(StatusRuntimeException how) {
        status = how;
        // After close the source may belong to the next attempt.
        if (!hasEnded) {
            hasEnded = true;
            source.stop();
        }
        notifyAll();
    }

    // --- the writer --------------------------------------------------------------------------------------------------

    private void write(Config config) {
        try {
            requests.onNext(ExtractStreamRequest.newBuilder().setConfig(config).build());
            while (waitForRoom()) {
                byte[] data = source.take();
                if (data.length == 0) {
                    finish();
                    return;
                }
                // Nobody changes these bytes any more.
                ByteString bytes = UnsafeByteOperations.unsafeWrap(data);
                requests.onNext(ExtractStreamRequest.newBuilder().setChunk(Chunk.newBuilder().setData(bytes)).build());
            }
        } catch (Throwable error) { // an Error too: the caller waits for it
            synchronized (this) {
                // A stream that has ended takes no messages; why it ended is known.
                if (hasEnded) {
                    return;
                }
                sourceError = error;
                notifyAll();
            }
        }
    }

    /** False where the stream has ended. */
    private synchronized boolean waitForRoom() throws InterruptedException {
        while (!hasEnded && !(isAccepted && requests.isReady())) {
            wait();
        }
        return !hasEnded;
    }

    private void finish() {
        synchronized (this) {
            if (hasEnded) {
                return;
            }
        }
        if (source.isDraining()) {
            requests.onNext(ExtractStreamRequest.newBuilder().setFlush(Flush.getDefaultInstance()).build());
        }
        var total = Finish.newBuilder().setTotalBytes(source.sent());
        requests.onNext(ExtractStreamRequest.newBuilder().setFinish(total).build());
        requests.onCompleted();
    }
}

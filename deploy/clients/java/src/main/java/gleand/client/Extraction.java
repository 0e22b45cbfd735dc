package gleand.client;

import gleand.v1.Config;
import gleand.v1.Event;
import gleand.v1.ExtractionServiceGrpc.ExtractionServiceStub;
import io.grpc.Channel;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * A document that is read: its items, in order. {@link #hasNext} waits for the server, and the server waits while the caller is
 * busy. Errors of the server are {@link StatusRuntimeException}s; an IOException of the source comes as an
 * {@link UncheckedIOException}, anything else that it throws as it is. After one there is nothing more. For one thread at a time;
 * close it, also before the end.
 */
public final class Extraction implements Iterator<Item>, AutoCloseable {
    static final int ATTEMPTS_MAX = 4;

    private final Channel channel;
    private final ExtractionServiceStub stub;
    private final Config config;
    private final Source source;
    private final Deadline deadline;
    private final Handed handed = new Handed();
    private final ArrayDeque<Item> ready = new ArrayDeque<>();
    private Attempt attempt;
    private int number;
    private boolean isPartDone;
    private boolean isAtEnd;

    private int attempts;
    private int restarts;
    private int refused;
    private int parts;
    private int discards;
    private final List<String> instances = new ArrayList<>();

    Extraction(Channel channel, ExtractionServiceStub stub, Config config, Source source, Duration timeout) {
        this.channel = channel;
        this.stub = stub;
        this.config = config;
        this.source = source;
        this.deadline = timeout == null ? null : Deadline.after(timeout.toNanos(), TimeUnit.NANOSECONDS);
    }

    /** What it took until now. */
    public Stats stats() {
        return new Stats(attempts, restarts, refused, parts, discards, List.copyOf(instances));
    }

    @Override
    public boolean hasNext() {
        while (ready.isEmpty() && !isAtEnd) {
            // Whatever is thrown is the end.
            isAtEnd = true;
            isAtEnd = !goOn();
        }
        return !ready.isEmpty();
    }

    @Override
    public Item next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        return ready.remove();
    }

    /** Ends the stream, and waits until nothing touches the source any more. */
    @Override
    public void close() {
        isAtEnd = true;
        ready.clear();
        if (attempt != null) {
            attempt.close();
            attempt = null;
        }
        source.close();
    }

    /** One step. False where the document is at its end. */
    private boolean goOn() {
        try {
            if (isPartDone) {
                return startPart();
            }
            if (attempt == null) {
                source.begin();
                attempts++;
                number++;
                attempt = new Attempt(deadline == null ? stub : stub.withDeadline(deadline), config, source);
            }
            Event event = attempt.next();
            take(event);
            return true;
        } catch (StatusRuntimeException error) {
            if (attempt == null) { // the timeout, between two parts
                throw error;
            }
            restart(error);
            return true;
        } catch (SourceFailure failure) {
            throw failure.unwrapped();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw Status.CANCELLED.withDescription("interrupted").withCause(error).asRuntimeException();
        }
    }

    private void take(Event event) throws InterruptedException {
        if (event.hasReady()) {
            String fingerprint = event.getReady().getFingerprint();
            instances.add(event.getReady().getInstance());
            if (handed.goOn(fingerprint)) {
                discards++;
                ready.add(new Item.Discard(fingerprint));
            }
            attempt.accept();
        } else if (event.hasDraining() && !source.drain()) {
            throw Status.UNAVAILABLE.withDescription("the server stops, and was sent nothing yet").asRuntimeException();
        } else if (event.hasDone()) {
            attempt.awaitEnd();
            attempt.close();
            attempt = null;
            isPartDone = true;
        }
        handed.news(event).map(Item.Told::new).ifPresent(ready::add);
    }

    private boolean startPart() throws IOException, InterruptedException {
        var place = source.nextPart(deadline);
        if (place.isEmpty()) {
            return false;
        }
        parts++;
        number = 0;
        isPartDone = false;
        var at = place.get();
        var part = new Item.Part(parts + 1, at.bytes(), at.codePoints(), at.utf16());
        handed.startPart(part);
        ready.add(part);
        return true;
    }

    private void restart(StatusRuntimeException error) {
        try {
            attempt.close();
            attempt = null;
            var delay = Delays.after(error, number, ThreadLocalRandom.current()::nextDouble).orElseThrow(() -> error);
            if (source.sent() == 0) {
                refused++;
            }
            if (!source.canGoBack()) {
                throw new SourceLostException(error);
            }
            if (number == ATTEMPTS_MAX) {
                throw new GaveUpException("gave up after " + ATTEMPTS_MAX + " attempts", error);
            }
            if (deadline != null && deadline.timeRemaining(TimeUnit.NANOSECONDS) <= delay.toNanos()) {
                throw new GaveUpException("gave up: the timeout leaves no time for another attempt", error);
            }
            if (channel instanceof ManagedChannel managed) {
                // The library waits 1 s and more before it connects again, and all attempts could fall into that time.
                managed.resetConnectBackoff();
            }
            TimeUnit.NANOSECONDS.sleep(delay.toNanos());
            restarts++;
            source.goBack();
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        } catch (InterruptedException cause) {
            Thread.currentThread().interrupt();
            throw Status.CANCELLED.withDescription("interrupted").withCause(cause).asRuntimeException();
        }
    }
}

package gleand.client;

import io.grpc.Deadline;
import io.grpc.Status;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** A stream that is read once. A thread reads ahead, so that a server that stops need not wait for it. */
final class Once extends Source {
    /** A word without an end yet is held back, so that a document may end wherever it was sent to; a longer one is not. */
    static final int WORD_BYTES_MAX = 64;

    private final InputStream stream;

    // Everything below is guarded by this.
    private Thread reader;
    /** At most what take gives at once, a word that is held back and one read. */
    private final byte[] waiting = new byte[2 * CHUNK_BYTES];
    private int count;
    private boolean hasEnded;
    private Throwable error;
    private boolean isStopped;
    private boolean isDraining;
    private boolean isClosed;
    private long sent;
    private Place place = new Place(0, 0, 0);

    Once(InputStream stream) {
        this.stream = stream;
    }

    @Override
    synchronized void begin() {
        isStopped = false;
        isDraining = false;
    }

    private void read() {
        var buffer = new byte[CHUNK_BYTES];
        try {
            int length;
            do {
                length = stream.read(buffer);
            } while (length >= 0 && add(buffer, length));
            end(null);
        } catch (Throwable error) { // an Error too: whoever takes waits for the end
            end(error);
        }
    }

    /** Takes what was read, and waits until there is room for more. False where nobody wants more. */
    synchronized boolean add(byte[] piece, int length) throws InterruptedException {
        System.arraycopy(piece, 0, waiting, count, length);
        count += length;
        notifyAll();
        while (count >= CHUNK_BYTES && !isClosed) {
            wait();
        }
        return !isClosed;
    }

    private synchronized void end(Throwable why) {
        error = why;
        hasEnded = true;
        notifyAll();
    }

    /** The next whole words. */
    @Override
    synchronized byte[] take() throws InterruptedException {
        startReader();
        while (!isStopped && !isDraining && !hasEnded && words() == 0) {
            wait();
        }
        if (isStopped || isDraining) {
            return NOTHING;
        }
        if (count == 0) {
            throwError();
        }
        byte[] chunk = Arrays.copyOf(waiting, words());
        count -= chunk.length;
        System.arraycopy(waiting, chunk.length, waiting, 0, count);
        notifyAll();
        var text = new String(chunk, StandardCharsets.UTF_8);
        sent += chunk.length;
        place = new Place(
                place.bytes() + chunk.length,
                place.codePoints() + text.codePointCount(0, text.length()),
                place.utf16() + text.length());
        return chunk;
    }

    private void startReader() {
        if (reader == null) {
            reader = new Thread(this::read, "gleand-reader");
            reader.setDaemon(true);
            reader.start();
        }
    }

    private void throwError() {
        if (error != null) {
            throw new SourceFailure(error).unwrapped();
        }
    }

    /** How many bytes may go, so that a document may end behind them. */
    synchronized int words() {
        int length = Math.min(count, CHUNK_BYTES);
        if (hasEnded && length == count) {
            return length;
        }
        for (int end = length; end > Math.max(0, length - WORD_BYTES_MAX); end--) {
            switch (waiting[end - 1]) {
                case ' ', '\t', '\n', '\r', '\f':
                    return end;
                default:
            }
        }
        if (length < WORD_BYTES_MAX) {
            return 0;
        }
        // A code point that is not whole yet: one to three bytes from its lead byte on.
        for (int tail = 1; tail <= 3; tail++) {
            int lead = Byte.toUnsignedInt(waiting[length - tail]);
            if (lead >= 0xC0) {
                int whole = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
                return whole > tail ? length - tail : length;
            }
        }
        return length;
    }

    @Override
    synchronized long sent() {
        return sent;
    }

    /** Ends the document where it was sent to. False where nothing was sent yet: then another stream may have all. */
    @Override
    synchronized boolean drain() {
        isDraining = true;
        notifyAll();
        return sent > 0;
    }

    @Override
    synchronized boolean isDraining() {
        return isDraining;
    }

    @Override
    synchronized void stop() {
        isStopped = true;
        notifyAll();
    }

    @Override
    synchronized boolean canGoBack() {
        return sent == 0;
    }

    /** Nothing was sent: all of it still waits. */
    @Override
    void goBack() {}

    @Override
    synchronized Optional<Place> nextPart(Deadline deadline) throws InterruptedException {
        while (count == 0 && !hasEnded) {
            if (deadline == null) {
                wait();
                continue;
            }
            long left = deadline.timeRemaining(TimeUnit.MILLISECONDS);
            if (left <= 0) {
                throw Status.DEADLINE_EXCEEDED.withDescription("the timeout is over").asRuntimeException();
            }
            wait(left);
        }
        sent = 0;
        if (count == 0) {
            throwError();
            return Optional.empty();
        }
        return Optional.of(place);
    }

    @Override
    synchronized void close() {
        isStopped = true;
        isClosed = true;
        notifyAll();
    }
}

package gleand.client;

import io.grpc.Deadline;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Arrays;
import java.util.Optional;

/** Where a document comes from. Good for one document. */
public abstract sealed class Source permits Source.Again, Once {
    static final int CHUNK_BYTES = 64 << 10;
    static final byte[] NOTHING = {};

    /** A position in the whole input. */
    record Place(long bytes, long codePoints, long utf16) {}

    Source() {}

    /** A file, which is read again for a further attempt and must not change meanwhile. */
    public static Source of(Path path) {
        return new Again(path, null);
    }

    /** Bytes, which must not change before the document is done. */
    public static Source of(byte[] data) {
        return new Again(null, data);
    }

    /** Text. */
    public static Source of(String text) {
        return of(text.getBytes(StandardCharsets.UTF_8));
    }

    /**
     * A stream, which is read once, in a thread of its own and at most two pieces ahead. It stays the caller's to close. A read
     * that has begun when the document ends goes on, and what it reads is lost.
     */
    public static Source of(InputStream stream) {
        return new Once(stream);
    }

    /** Gets ready for an attempt. */
    abstract void begin() throws IOException;

    /** What to send next; nothing at the end, or where the attempt is to end. */
    abstract byte[] take() throws IOException, InterruptedException;

    /** Bytes taken since the part began. */
    abstract long sent();

    /** The server stops. False where another attempt is better, at once. */
    abstract boolean drain();

    /** True where the document ends where it was sent to. */
    abstract boolean isDraining();

    /** From now on nothing is taken for this attempt. */
    abstract void stop();

    abstract boolean canGoBack();

    abstract void goBack() throws IOException;

    /** Waits until there is anything of a further part; empty at the end. */
    abstract Optional<Place> nextPart(Deadline deadline) throws IOException, InterruptedException;

    abstract void close();

    /** A file or bytes. The writer uses it while it lives, the caller's thread at all other times. */
    static final class Again extends Source {
        private final Path path;
        private final byte[] data;
        private FileChannel file;
        private FileTime modified;
        private long size;
        private long sent;

        private Again(Path path, byte[] data) {
            this.path = path;
            this.data = data;
        }

        @Override
        void begin() throws IOException {
            if (path != null && file == null) {
                file = FileChannel.open(path);
                modified = Files.getLastModifiedTime(path);
                size = file.size();
            }
        }

        @Override
        byte[] take() throws IOException {
            byte[] chunk = file == null
                    ? Arrays.copyOfRange(data, (int) sent, (int) Math.min(data.length, sent + CHUNK_BYTES))
                    : read();
            sent += chunk.length;
            return chunk;
        }

        private byte[] read() throws IOException {
            var buffer = ByteBuffer.allocate(CHUNK_BYTES);
            while (buffer.hasRemaining() && file.read(buffer) >= 0) {
                // A read may give less than there is.
            }
            return Arrays.copyOf(buffer.array(), buffer.position());
        }

        @Override
        long sent() {
            return sent;
        }

        /** Nothing to do: the document goes on here, or is sent anew elsewhere. */
        @Override
        boolean drain() {
            return true;
        }

        @Override
        boolean isDraining() {
            return false;
        }

        @Override
        void stop() {}

        @Override
        boolean canGoBack() {
            return true;
        }

        @Override
        void goBack() throws IOException {
            sent = 0;
            if (file != null) {
                if (file.size() != size || !Files.getLastModifiedTime(path).equals(modified)) {
                    throw new IOException(path + " has changed since it was read first");
                }
                file.position(0);
            }
        }

        @Override
        Optional<Place> nextPart(Deadline deadline) {
            return Optional.empty();
        }

        @Override
        void close() {
            try {
                if (file != null) {
                    file.close();
                }
            } catch (IOException ignored) {
                // It was only read.
            }
        }
    }
}

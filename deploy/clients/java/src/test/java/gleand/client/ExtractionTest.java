package gleand.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import com.google.protobuf.ByteString;
import gleand.client.Server.Turn;
import gleand.v1.Config;
import gleand.v1.Mention;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.ByteArrayInputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PipedInputStream;
import java.io.PipedOutputStream;
import java.io.SequenceInputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.locks.LockSupport;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.rules.Timeout;

/** What the client does when a server refuses, stops or breaks. */
public class ExtractionTest {
    private static final String TEXT =
            ("😀 Ann and Bob met Ann. " + "Nobody was there, é, 漢字 or not. ".repeat(12)).repeat(500);
    private static final ByteString BYTES = ByteString.copyFromUtf8(TEXT);
    private static final List<Mention> EXPECTED = expected();

    @Rule public final Timeout timeout = Timeout.seconds(60);
    @Rule public final TemporaryFolder folder = new TemporaryFolder();

    private static List<Mention> expected() {
        var mentions = new ArrayList<Mention>();
        int from = 0;
        for (int at = TEXT.indexOf("Ann"); at >= 0; at = TEXT.indexOf("Ann", at + 1)) {
            from += TEXT.substring(mentions.isEmpty() ? 0 : at(mentions), at).getBytes(StandardCharsets.UTF_8).length;
            mentions.add(Server.mention(BYTES, from, mentions.size()));
        }
        return mentions;
    }

    private static int at(List<Mention> mentions) {
        return (int) mentions.get(mentions.size() - 1).getUtf16Range().getStart();
    }

    /** What a caller has at the end, and what came between. */
    private record Seen(List<Mention> mentions, List<Item> between, Stats stats) {}

    private static Seen read(Server server, Source source, Duration timeout) {
        return read(server, source, timeout, () -> {});
    }

    private static Seen read(Server server, Source source, Duration timeout, Runnable onDraining) {
        var mentions = new ArrayList<Mention>();
        var between = new ArrayList<Item>();
        try (var items = new GleandClient(server.channel).extract(Config.getDefaultInstance(), source, timeout)) {
            items.forEachRemaining(item -> {
                if (item instanceof Item.Told told) {
                    mentions.addAll(told.event().getMentions().getMentionsList());
                    if (told.event().hasDraining()) {
                        onDraining.run();
                    }
                    return;
                }
                between.add(item);
                if (item instanceof Item.Discard) {
                    mentions.clear();
                }
            });
            return new Seen(mentions, between, items.stats());
        }
    }

    @Test
    public void whatWasRefusedOrCutIsSentAgain() throws IOException {
        var path = folder.newFile().toPath();
        Files.writeString(path, TEXT);
        for (var source : List.of(Source.of(path), Source.of(TEXT))) {
            var full = Turn.refuse(Refusals.full(1));
            try (var server = new Server(full, Turn.cutAt(80_000), Turn.cutAt(66_000), Turn.FIND)) {
                var seen = read(server, source, null);
                assertEquals(EXPECTED, seen.mentions());
                assertEquals(new Stats(4, 3, 1, 0, 0, List.of("i", "i", "i")), seen.stats());
            }
        }
    }

    @Test
    public void anotherFingerprintVoidsWhatWasGiven() throws IOException {
        try (var server = new Server(Turn.cutAt(80_000), new Turn(null, "abcd", 0, 0, false))) {
            var seen = read(server, Source.of(TEXT), null);
            assertEquals(EXPECTED, seen.mentions());
            assertEquals(List.of(new Item.Discard("abcd")), seen.between());
        }
    }

    /** A stream that stops at some bytes until it is let on, so that draining comes before its end. */
    private static final class Gated extends FilterInputStream {
        final Semaphore gates = new Semaphore(0);
        private final ArrayDeque<Integer> closed;
        private int position;

        Gated(InputStream stream, Integer... closed) {
            super(stream);
            this.closed = new ArrayDeque<>(List.of(closed));
        }

        @Override
        public int read(byte[] buffer, int offset, int length) throws IOException {
            if (!closed.isEmpty() && closed.peek() == position) {
                gates.acquireUninterruptibly();
                closed.remove();
            }
            int most = closed.isEmpty() ? length : Math.min(length, closed.peek() - position);
            int count = super.read(buffer, offset, most);
            position += count;
            return count;
        }
    }

    @Test
    public void drainingMakesPartsOfWhatIsReadOnce() throws IOException {
        var full = Turn.refuse(Refusals.full(1));
        try (var server = new Server(Turn.drainAt(20_000), full, Turn.drainAt(50_000), Turn.FIND)) {
            var gated = new Gated(BYTES.newInput(), 30_000, 100_000);
            var seen = read(server, Source.of(gated), null, gated.gates::release);
            assertEquals(EXPECTED, seen.mentions());
            assertEquals(new Stats(4, 1, 1, 2, 0, List.of("i", "i", "i")), seen.stats());
            for (var item : seen.between()) {
                var part = (Item.Part) item;
                String before = BYTES.substring(0, (int) part.bytes()).toStringUtf8();
                assertTrue(before.endsWith(" "));
                assertEquals(before.codePointCount(0, before.length()), part.codePoints());
                assertEquals(before.length(), part.utf16());
            }
        }
    }

    @Test
    public void drainingBeforeAnythingWasSentLeavesAllToAnotherAttempt() throws IOException {
        try (var server = new Server(Turn.drainAt(-1), Turn.FIND)) {
            var late = new FilterInputStream(BYTES.newInput()) {
                @Override
                public int read(byte[] buffer, int offset, int length) throws IOException {
                    while (server.streams() < 2) {
                        LockSupport.parkNanos(1_000_000);
                    }
                    return super.read(buffer, offset, length);
                }
            };
            var seen = read(server, Source.of(late), null);
            assertEquals(EXPECTED, seen.mentions());
            assertEquals(new Stats(2, 1, 1, 0, 0, List.of("i", "i")), seen.stats());
        }
    }

    @Test
    public void drainingNeedNotWaitForTheSource() throws IOException {
        try (var server = new Server(Turn.drainAt(4), Turn.FIND);
                var output = new PipedOutputStream();
                var input = new PipedInputStream(output);
                var items = new GleandClient(server.channel).extract(Config.getDefaultInstance(), Source.of(input), null)) {
            output.write("Ann A".getBytes(StandardCharsets.UTF_8));
            var starts = new ArrayList<Long>();
            while (items.hasNext()) {
                if (items.next() instanceof Item.Told told) {
                    told.event().getMentions().getMentionsList().forEach(found -> starts.add(found.getByteRange().getStart()));
                    if (told.event().hasDone() && starts.size() == 1) {
                        output.write("nn".getBytes(StandardCharsets.UTF_8));
                        output.close();
                    }
                }
            }
            assertEquals(List.of(0L, 4L), starts);
        }
    }

    @Test
    public void fourAttemptsAndTheTimeoutAreTheEnd() throws IOException {
        try (var server = new Server(Turn.refuse(Refusals.full(100)))) {
            var error = assertThrows(GaveUpException.class, () -> read(server, Source.of(TEXT), null));
            assertEquals(Status.Code.RESOURCE_EXHAUSTED, error.getStatus().getCode());
            assertEquals("QUEUE_FULL", Delays.reason(error));
            assertEquals(4, server.streams());
        }
        try (var server = new Server(Turn.refuse(Refusals.full(60_000)))) {
            assertThrows(GaveUpException.class, () -> read(server, Source.of(TEXT), Duration.ofSeconds(30)));
            assertEquals(1, server.streams());
        }
        for (var turn : List.of(Turn.FIND, Turn.drainAt(4))) {
            try (var server = new Server(turn);
                    var output = new PipedOutputStream();
                    var silent = new PipedInputStream(output)) {
                output.write("Ann ".getBytes(StandardCharsets.UTF_8));
                var error = assertThrows(
                        StatusRuntimeException.class, () -> read(server, Source.of(silent), Duration.ofMillis(500)));
                assertEquals(Status.Code.DEADLINE_EXCEEDED, error.getStatus().getCode());
                assertEquals(1, server.streams());
            }
        }
    }

    @Test
    public void aCutAndAnErrorOfTheSourceAreTold() throws IOException {
        try (var server = new Server(Turn.cutAt(20_000))) {
            var error = assertThrows(SourceLostException.class, () -> read(server, Source.of(BYTES.newInput()), null));
            assertEquals(Status.Code.UNAVAILABLE, error.getStatus().getCode());
        }
        var broken = new IOException("the disk");
        var end = new InputStream() {
            @Override
            public int read() throws IOException {
                throw broken;
            }
        };
        var source = new SequenceInputStream(new ByteArrayInputStream("Ann ".getBytes(StandardCharsets.UTF_8)), end);
        try (var server = new Server(Turn.FIND)) {
            var error = assertThrows(UncheckedIOException.class, () -> read(server, Source.of(source), null));
            assertSame(broken, error.getCause());
        }
    }

    /** A stream of this text, which ends with what is thrown. */
    private static InputStream failing(String text, Throwable why) {
        return new InputStream() {
            private final InputStream before = new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));

            @Override
            public int read() throws IOException {
                int read = before.read();
                if (read >= 0) {
                    return read;
                }
                if (why instanceof Error error) {
                    throw error;
                }
                throw (RuntimeException) why;
            }

            @Override
            public int read(byte[] buffer, int offset, int length) throws IOException {
                return before.available() > 0 ? before.read(buffer, offset, length) : read();
            }
        };
    }

    @Test
    public void whatTheSourceThrowsIsNotTakenForTheServers() throws IOException {
        for (Throwable why : List.of(Status.UNAVAILABLE.asRuntimeException(), new StackOverflowError())) {
            for (String before : List.of("", "Ann ")) {
                try (var server = new Server(Turn.FIND)) {
                    var source = Source.of(failing(before, why));
                    assertSame(why, assertThrows(Throwable.class, () -> read(server, source, Duration.ofSeconds(10))));
                    assertEquals(1, server.streams());
                }
            }
        }
        // Between two parts, too.
        try (var server = new Server(Turn.drainAt(4), Turn.FIND);
                var output = new PipedOutputStream();
                var input = new PipedInputStream(output)) {
            output.write("Ann ".getBytes(StandardCharsets.UTF_8));
            var why = Status.UNAVAILABLE.asRuntimeException();
            var source = Source.of(new SequenceInputStream(input, failing("", why)));
            assertSame(why, assertThrows(Throwable.class, () -> read(server, source, null, () -> close(output))));
        }
    }

    private static void close(PipedOutputStream output) {
        try {
            output.close();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    @Test
    public void aStatusThatDoesNotComeIsNotWaitedFor() throws IOException {
        try (var server = new Server(Turn.NO_STATUS)) {
            long start = System.nanoTime();
            var seen = read(server, Source.of(TEXT), Duration.ofSeconds(30));
            assertEquals(EXPECTED, seen.mentions());
            assertEquals(new Stats(1, 0, 0, 0, 0, List.of("i")), seen.stats());
            assertTrue(System.nanoTime() - start < Duration.ofSeconds(15).toNanos());
        }
    }

    @Test
    public void aCallerMayLeaveAtAnyTime() throws IOException {
        try (var server = new Server(Turn.FIND);
                var items = new GleandClient(server.channel)
                        .extract(Config.getDefaultInstance(), Source.of(BYTES.newInput()), null)) {
            assertTrue(items.next() instanceof Item.Told);
        }
    }
}

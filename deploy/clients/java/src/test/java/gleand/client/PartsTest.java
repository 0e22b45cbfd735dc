package gleand.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import gleand.v1.Event;
import gleand.v1.Mention;
import gleand.v1.Mentions;
import gleand.v1.Progress;
import gleand.v1.Range;
import io.grpc.Status.Code;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Optional;
import org.junit.Test;

/** Each part for itself: the wait, what is new, where words end. */
public class PartsTest {
    private static void check(
            Integer expected, Code code, String reason, Integer retry, String pushback, int number, double random) {
        var error = Refusals.of(code, reason, retry, pushback);
        var wait = Optional.ofNullable(expected).map(Duration::ofMillis);
        assertEquals(code + " " + reason + " " + pushback, wait, Delays.after(error, number, () -> random));
    }

    @Test
    public void theWaitIsThatOfTheServerElseItDoubles() {
        check(1000, Code.UNAVAILABLE, "DRAINING", 1000, null, 1, 0);
        check(1200, Code.UNAVAILABLE, "DRAINING", 1000, null, 1, 1);
        check(1000, Code.UNAVAILABLE, "WARMING_UP", 1000, "300", 1, 0);
        check(330, Code.UNAVAILABLE, "DRAINING", null, "300", 1, 0.5);
        check(null, Code.UNAVAILABLE, "DRAINING", 1000, "-1", 1, 0);
        check(null, Code.UNAVAILABLE, "DRAINING", null, "soon", 1, 0);
        check(200, Code.UNAVAILABLE, null, null, null, 1, 1);
        check(800, Code.UNAVAILABLE, null, null, null, 3, 1);
        check(200, Code.UNAVAILABLE, null, null, null, 3, 0.25);
        check(10_000, Code.UNAVAILABLE, null, null, null, 9, 1);
        check(0, Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", 0, null, 1, 1);
        check(null, Code.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE", null, null, 1, 0);
        check(200, Code.UNKNOWN, null, null, null, 1, 1);
        check(400, Code.INTERNAL, null, null, null, 2, 1);
        check(null, Code.INTERNAL, "WORKER_FAILED", null, null, 1, 0);
        check(null, Code.INVALID_ARGUMENT, null, null, null, 1, 0);
        check(null, Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", null, null, 1, 0);
    }

    private static Event found(long... ordinals) {
        var mentions = Mentions.newBuilder();
        for (long ordinal : ordinals) {
            var range = Range.newBuilder().setStart(10 * ordinal).setEnd(10 * ordinal + 3);
            var mention = Mention.newBuilder().setTaskId("t").setOrdinal(ordinal);
            mentions.addMentions(mention.setByteRange(range).setUtf16Range(range));
        }
        return Event.newBuilder().setMentions(mentions).build();
    }

    @Test
    public void whatWasGivenIsDroppedAndALaterPartIsMoved() {
        var handed = new Handed();
        assertTrue(!handed.goOn("a"));
        assertEquals(Optional.of(found(0, 1)), handed.news(found(0, 1)));
        assertTrue(!handed.goOn("a"));
        assertEquals(Optional.empty(), handed.news(found(0)));
        assertEquals(Optional.of(found(2)), handed.news(found(1, 2)));
        assertTrue(handed.goOn("b"));
        assertEquals(Optional.of(found(0, 1)), handed.news(found(0, 1)));

        handed.startPart(new Item.Part(2, 100, 90, 95));
        assertTrue(!handed.goOn("c"));
        Mention moved = handed.news(found(0)).orElseThrow().getMentions().getMentions(0);
        assertEquals(2, moved.getOrdinal());
        assertEquals(Range.newBuilder().setStart(100).setEnd(103).build(), moved.getByteRange());
        assertEquals(Range.newBuilder().setStart(95).setEnd(98).build(), moved.getUtf16Range());
        var progress = Event.newBuilder().setProgress(Progress.newBuilder().setWatermarkBytes(5)).build();
        assertEquals(105, handed.news(progress).orElseThrow().getProgress().getWatermarkBytes());
    }

    @Test
    public void noCodePointAndNoShortWordIsCut() throws InterruptedException {
        byte[] emoji = "😀".getBytes(StandardCharsets.UTF_8);
        String word = "x".repeat(Once.WORD_BYTES_MAX);
        checkWords("short", 0, 0);
        checkWords("one two", 0, 4);
        checkWords(word, 0, 64);
        checkWords(word + "😀", 3, 64);
        checkWords(word + "漢", 1, 64);
        checkWords(word + "é", 1, 64);
        checkWords(word + "😀", 0, 64 + emoji.length);
        checkWords(word + "é漢", 0, 69);
    }

    private static void checkWords(String text, int missing, int expected) throws InterruptedException {
        byte[] data = text.getBytes(StandardCharsets.UTF_8);
        var once = new Once(InputStream.nullInputStream());
        once.add(Arrays.copyOf(data, data.length - missing), data.length - missing);
        assertEquals(text, expected, once.words());
    }
}

package gleand.client;

import gleand.v1.Event;

/** What {@link Extraction} gives. */
public sealed interface Item {
    /** An event of the server. Each part of a document ends with its own {@code done}. */
    record Told(Event event) implements Item {}

    /** Everything given before is void: a server with another fingerprint goes on, from the start of the document. */
    record Discard(String fingerprint) implements Item {}

    /** What follows was read as a document of its own, which starts there in the whole input. */
    record Part(int number, long bytes, long codePoints, long utf16) implements Item {}
}

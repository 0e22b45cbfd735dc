package gleand.client;

import java.util.List;

/**
 * What a document took.
 *
 * @param attempts streams opened
 * @param restarts of them, again after a failure
 * @param refused streams that failed before anything of the document was sent
 * @param parts further documents that a source which is read once became
 * @param discards restarts with another fingerprint
 * @param instances who accepted, stream by stream
 */
public record Stats(int attempts, int restarts, int refused, int parts, int discards, List<String> instances) {}

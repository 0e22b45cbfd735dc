package gleand.client;

import com.google.protobuf.ByteString;
import gleand.v1.Done;
import gleand.v1.Draining;
import gleand.v1.Event;
import gleand.v1.ExtractStreamRequest;
import gleand.v1.ExtractStreamResponse;
import gleand.v1.ExtractionServiceGrpc;
import gleand.v1.Mention;
import gleand.v1.Mentions;
import gleand.v1.Range;
import gleand.v1.Ready;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.List;

/** A server that finds the word "Ann". Each stream takes its turn, the last one for ever. */
final class Server extends ExtractionServiceGrpc.ExtractionServiceImplBase implements AutoCloseable {
    static final ByteString WORD = ByteString.copyFromUtf8("Ann");

    /**
     * What to do with one stream: refuse it, cut it or drain at so many bytes (-1: at once), or keep the status back after done.
     * 0 and null: none of it.
     */
    record Turn(StatusRuntimeException refuse, String fingerprint, int cutAt, int drainAt, boolean noStatus) {
        static final Turn FIND = new Turn(null, "00ff", 0, 0, false);
        static final Turn NO_STATUS = new Turn(null, "00ff", 0, 0, true);

        static Turn refuse(StatusRuntimeException error) {
            return new Turn(error, "", 0, 0, false);
        }

        static Turn cutAt(int bytes) {
            return new Turn(null, "00ff", bytes, 0, false);
        }

        static Turn drainAt(int bytes) {
            return new Turn(null, "00ff", 0, bytes, false);
        }
    }

    private final ArrayDeque<Turn> turns;
    private final io.grpc.Server server;
    final ManagedChannel channel;
    private int streams;

    Server(Turn... turns) throws IOException {
        this.turns = new ArrayDeque<>(List.of(turns));
        server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create()).addService(this).build().start();
        channel = GleandClient.plaintext("127.0.0.1:" + server.getPort());
    }

    synchronized int streams() {
        return streams;
    }

    private synchronized Turn turn() {
        streams++;
        return turns.size() > 1 ? turns.remove() : turns.peek();
    }

    @Override
    public void close() {
        channel.shutdownNow();
        server.shutdownNow();
    }

    @Override
    public StreamObserver<ExtractStreamRequest> extractStream(StreamObserver<ExtractStreamResponse> responses) {
        return new Stream(turn(), responses);
    }

    private static final class Stream implements StreamObserver<ExtractStreamRequest> {
        private final Turn turn;
        private final StreamObserver<ExtractStreamResponse> responses;
        private ByteString data = ByteString.EMPTY;
        private int searched;
        private long ordinal;
        private boolean isDraining;
        private boolean isFlushed;
        private boolean hasEnded;

        Stream(Turn turn, StreamObserver<ExtractStreamResponse> responses) {
            this.turn = turn;
            this.responses = responses;
        }

        @Override
        public void onNext(ExtractStreamRequest request) {
            if (hasEnded) {
                return;
            }
            if (request.hasConfig()) {
                if (turn.refuse() != null) {
                    fail(turn.refuse());
                    return;
                }
                send(Event.newBuilder().setReady(Ready.newBuilder().setFingerprint(turn.fingerprint()).setInstance("i")));
                if (turn.drainAt() < 0) {
                    isDraining = true;
                    send(Event.newBuilder().setDraining(Draining.getDefaultInstance()));
                }
                return;
            }
            data = data.concat(request.getChunk().getData());
            isFlushed |= request.hasFlush();
            find();
            if (request.hasFinish()) {
                finish(request.getFinish().getTotalBytes());
            } else if (turn.cutAt() > 0 && data.size() >= turn.cutAt()) {
                fail(Refusals.of(Status.Code.UNAVAILABLE, "DRAINING", 1, null));
            } else if (turn.drainAt() > 0 && data.size() >= turn.drainAt() && !isDraining) {
                isDraining = true;
                send(Event.newBuilder().setDraining(Draining.getDefaultInstance()));
            }
        }

        private void finish(long total) {
            if (total != data.size() || isFlushed != isDraining || !data.isValidUtf8()) {
                fail(Status.INVALID_ARGUMENT.withDescription("a wrong end").asRuntimeException());
                return;
            }
            send(Event.newBuilder().setDone(Done.newBuilder().setReceivedBytes(total)));
            hasEnded = true;
            if (!turn.noStatus()) {
                responses.onCompleted();
            }
        }

        private void find() {
            // One char a byte, so that positions are those of the bytes.
            String text = data.substring(searched).toString(StandardCharsets.ISO_8859_1);
            int from = 0;
            for (int at = text.indexOf("Ann"); at >= 0; at = text.indexOf("Ann", from)) {
                send(Event.newBuilder().setMentions(Mentions.newBuilder().addMentions(mention(data, searched + at, ordinal++))));
                from = at + WORD.size();
            }
            searched += from;
        }

        private void fail(StatusRuntimeException error) {
            hasEnded = true;
            responses.onError(error);
        }

        private void send(Event.Builder event) {
            responses.onNext(ExtractStreamResponse.newBuilder().setEvent(event).build());
        }

        @Override
        public void onError(Throwable error) {
            hasEnded = true;
        }

        @Override
        public void onCompleted() {
            hasEnded = true;
        }
    }

    static Mention mention(ByteString data, int at, long ordinal) {
        String before = data.substring(0, at).toStringUtf8();
        return Mention.newBuilder()
                .setTaskId("t")
                .setOrdinal(ordinal)
                .setByteRange(range(at))
                .setCodepointRange(range(before.codePointCount(0, before.length())))
                .setUtf16Range(range(before.length()))
                .build();
    }

    private static Range range(int start) {
        return Range.newBuilder().setStart(start).setEnd(start + WORD.size()).build();
    }
}

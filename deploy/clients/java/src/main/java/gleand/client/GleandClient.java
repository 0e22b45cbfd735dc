package gleand.client;

import gleand.v1.Config;
import gleand.v1.ExtractionServiceGrpc;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Streams documents to gleand and goes on when a server is full, stops or breaks.
 *
 * <p>A source that can be read twice (a path, bytes, text) is sent anew from byte 0 where the server is UNAVAILABLE or refuses
 * with QUEUE_FULL, four times at most. What was given is not given again as long as the server that goes on has the same
 * fingerprint; with another one an {@link Item.Discard} comes first: everything before it is void.
 *
 * <p>A source that is read once (a stream) is sent once. A server that stops in order says so while it still reads: the document
 * ends there, and the rest goes to the next server as a document of its own. An {@link Item.Part} comes before its events;
 * offsets and ordinals go on. Where the stream is cut instead, {@link SourceLostException} is thrown.
 *
 * <p>Any number of threads and documents may use one client at once.
 */
public final class GleandClient {
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final Channel channel;
    private final ExtractionServiceGrpc.ExtractionServiceStub stub;

    /** Calls over a channel, which stays the caller's. Its own retries should be off: they know nothing of ordinals. */
    public GleandClient(Channel channel) {
        this(channel, ExtractionServiceGrpc.newStub(channel));
    }

    private GleandClient(Channel channel, ExtractionServiceGrpc.ExtractionServiceStub stub) {
        this.channel = channel;
        this.stub = stub;
    }

    /** The same client, which sends this key with each attempt. */
    public GleandClient withApiKey(String key) {
        var headers = new Metadata();
        headers.put(AUTHORIZATION, "Bearer " + key);
        return new GleandClient(channel, stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers)));
    }

    /** A channel without TLS that suits this client. The caller shuts it down. */
    public static ManagedChannel plaintext(String server) {
        return channel(server, InsecureChannelCredentials.create());
    }

    /**
     * A channel with TLS that suits this client. The caller shuts it down.
     *
     * @param authorities PEM file; null: those of the system
     * @param certificate PEM file of this client; null: none
     * @param key PEM file (PKCS 8) of its private key; null: none
     */
    public static ManagedChannel tls(String server, File authorities, File certificate, File key) throws IOException {
        var credentials = TlsChannelCredentials.newBuilder();
        if (authorities != null) {
            credentials.trustManager(authorities);
        }
        if (certificate != null || key != null) {
            credentials.keyManager(certificate, key);
        }
        return channel(server, credentials.build());
    }

    private static ManagedChannel channel(String server, ChannelCredentials credentials) {
        return Grpc.newChannelBuilder(server, credentials)
                .disableRetry()
                // Nothing else tells one who only reads that the other end is gone. The server takes a ping every 30 s.
                .keepAliveTime(30, TimeUnit.SECONDS)
                .keepAliveTimeout(20, TimeUnit.SECONDS)
                .build();
    }

    /**
     * Starts to read a document. Nothing is sent before the first item is asked for.
     *
     * @param timeout ends all attempts together; null: none
     */
    public Extraction extract(Config config, Source source, Duration timeout) {
        return new Extraction(channel, stub, config, source, timeout);
    }
}

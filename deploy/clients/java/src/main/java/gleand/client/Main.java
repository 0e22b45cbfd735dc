package gleand.client;

import gleand.v1.Config;
import gleand.v1.EntitiesTask;
import gleand.v1.Label;
import gleand.v1.Mention;
import gleand.v1.Task;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/** Prints one line a mention: task ordinal start end label_index score_bits. */
public final class Main {
    private static final String USAGE =
            """
            usage: gleand-client --labels NAME,... [options] FILE    (- reads standard input, once)
              --server HOST:PORT    127.0.0.1:50051 if not given
              --labels NAME,...     entities of these types
              --tls                 with the authorities of the system
              --ca FILE             authorities of the server's certificate (PEM); implies --tls
              --cert FILE           certificate of this client (PEM)
              --key FILE            its private key (PEM)
              --api-key-file FILE   the API key that the server asks for
              --timeout SECONDS     ends all attempts
              --stats               tell on stderr what it took""";
    private static final Set<String> SWITCHES = Set.of("--tls", "--stats");
    private static final Set<String> VALUES =
            Set.of("--server", "--labels", "--ca", "--cert", "--key", "--api-key-file", "--timeout");

    private final Map<String, String> options = new HashMap<>();
    private final Duration timeout;

    private Main(String[] arguments) {
        for (int i = 0; i < arguments.length; i++) {
            String name = arguments[i];
            if (SWITCHES.contains(name)) {
                options.put(name, "");
            } else if (VALUES.contains(name) && i + 1 < arguments.length) {
                options.put(name, arguments[++i]);
            } else if ((name.equals("-") || !name.startsWith("-")) && options.putIfAbsent("FILE", name) == null) {
                continue;
            } else {
                throw new IllegalArgumentException(name);
            }
        }
        if (!options.containsKey("FILE") || !options.containsKey("--labels")) {
            throw new IllegalArgumentException("FILE and --labels must be given");
        }
        String seconds = options.get("--timeout");
        timeout = seconds == null ? null : Duration.ofNanos((long) (Double.parseDouble(seconds) * 1e9));
    }

    public static void main(String[] arguments) {
        Main main = null;
        try {
            main = new Main(arguments);
        } catch (IllegalArgumentException error) {
            System.err.println(USAGE + "\nerror: " + error.getMessage());
            System.exit(2);
        }
        System.exit(main.run());
    }

    private int run() {
        ManagedChannel channel = null;
        try {
            channel = channel();
            var client = new GleandClient(channel);
            if (options.containsKey("--api-key-file")) {
                client = client.withApiKey(Files.readString(Path.of(options.get("--api-key-file"))).strip());
            }
            String file = options.get("FILE");
            Source source = file.equals("-") ? Source.of(System.in) : Source.of(Path.of(file));
            return extract(client, source);
        } catch (IOException | IllegalArgumentException error) { // the latter where a PEM file holds something else
            return fail(error);
        } finally {
            if (channel != null) {
                channel.shutdownNow();
            }
        }
    }

    private ManagedChannel channel() throws IOException {
        String server = options.getOrDefault("--server", "127.0.0.1:50051");
        if (Set.of("--tls", "--ca", "--cert", "--key").stream().noneMatch(options::containsKey)) {
            return GleandClient.plaintext(server);
        }
        return GleandClient.tls(server, pem("--ca"), pem("--cert"), pem("--key"));
    }

    private File pem(String option) {
        return options.containsKey(option) ? new File(options.get(option)) : null;
    }

    private int extract(GleandClient client, Source source) {
        var task = EntitiesTask.newBuilder();
        for (String name : options.get("--labels").split(",", -1)) {
            task.addLabels(Label.newBuilder().setName(name));
        }
        var config = Config.newBuilder().addTasks(Task.newBuilder().setId("entities").setEntities(task)).build();
        try (Extraction items = client.extract(config, source, timeout)) {
            int status = 0;
            try {
                items.forEachRemaining(Main::show);
            } catch (UncheckedIOException error) {
                status = fail(error.getCause());
            } catch (StatusRuntimeException error) {
                System.err.println("error: " + error.getStatus().getCode() + ": " + describe(error));
                status = 1;
            }
            if (options.containsKey("--stats")) {
                Stats took = items.stats();
                System.err.printf(
                        "attempts=%d restarts=%d refused=%d parts=%d discards=%d instances=%s%n",
                        took.attempts(), took.restarts(), took.refused(), took.parts(), took.discards(),
                        String.join(",", took.instances()));
            }
            return status;
        }
    }

    /** The first line of what the library says, and what it wraps: a connection that failed is only an "io exception" else. */
    private static String describe(StatusRuntimeException error) {
        Throwable root = error;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        String description = String.valueOf(error.getStatus().getDescription()).lines().findFirst().orElse("");
        return root instanceof StatusRuntimeException ? description : description + ": " + root.getMessage();
    }

    private static int fail(Exception error) {
        System.err.println("error: " + (error instanceof NoSuchFileException ? "no such file: " : "") + error.getMessage());
        return 1;
    }

    private static void show(Item item) {
        if (item instanceof Item.Discard) {
            System.out.println("discard");
        } else if (item instanceof Item.Told told) {
            for (Mention found : told.event().getMentions().getMentionsList()) {
                System.out.printf(
                        "%s %d %d %d %d %08x%n",
                        found.getTaskId(), found.getOrdinal(), found.getByteRange().getStart(), found.getByteRange().getEnd(),
                        found.getLabelIndex(), Float.floatToRawIntBits(found.getScore()));
            }
        }
        System.out.flush();
    }
}

package gleand.client;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import gleand.v1.Event;
import gleand.v1.Range;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * What the caller has: results that come again are dropped, those of a later part are moved to their place. Works on the
 * descriptors, as the kinds of results differ in nothing that matters here: each list is the first field of its message, and each
 * result has {@code task_id}, {@code ordinal} and ranges whose names tell the unit.
 */
final class Handed {
    private static final Set<Event.KindCase> RESULTS = EnumSet.of(
            Event.KindCase.MENTIONS,
            Event.KindCase.RELATIONS,
            Event.KindCase.ANSWERS,
            Event.KindCase.CLASSES,
            Event.KindCase.SUMMARY);

    private String fingerprint = "";
    private Item.Part place = new Item.Part(1, 0, 0, 0);
    /** By task: the ordinal of this part that comes next. */
    private Map<String, Long> next = new HashMap<>();
    /** By task: results of the parts before. */
    private final Map<String, Long> before = new HashMap<>();

    /** Takes the server that goes on. True where everything handed out is void. */
    boolean goOn(String fingerprint) {
        boolean isVoid = !next.isEmpty() && !this.fingerprint.equals(fingerprint);
        if (isVoid) {
            next = new HashMap<>();
        }
        this.fingerprint = fingerprint;
        return isVoid;
    }

    void startPart(Item.Part part) {
        next.forEach((task, count) -> before.merge(task, count, Long::sum));
        next = new HashMap<>();
        place = part;
    }

    /** The event as the caller wants it; empty where there is nothing new in it. */
    Optional<Event> news(Event event) {
        if (RESULTS.contains(event.getKindCase())) {
            var kind = Event.getDescriptor().findFieldByNumber(event.getKindCase().getNumber());
            return newResults((Message) event.getField(kind)).map(found -> event.toBuilder().setField(kind, found).build());
        }
        return Optional.of(switch (event.getKindCase()) {
            case INTERIM -> place.number() == 1 ? event : (Event) moved(event);
            case PROGRESS -> {
                var progress = event.getProgress().toBuilder();
                progress.setWatermarkBytes(progress.getWatermarkBytes() + place.bytes());
                progress.setWatermarkCodepoints(progress.getWatermarkCodepoints() + place.codePoints());
                progress.setReceivedBytes(progress.getReceivedBytes() + place.bytes());
                yield event.toBuilder().setProgress(progress).build();
            }
            default -> event;
        });
    }

    private Optional<Message> newResults(Message results) {
        FieldDescriptor list = results.getDescriptorForType().getFields().get(0);
        Message.Builder kept = results.newBuilderForType();
        for (Object result : (List<?>) results.getField(list)) {
            var message = (Message) result;
            var task = (String) field(message, "task_id");
            var ordinal = (Long) field(message, "ordinal");
            if (ordinal < next.getOrDefault(task, 0L)) {
                continue;
            }
            next.put(task, ordinal + 1);
            if (place.number() > 1) {
                var descriptor = message.getDescriptorForType().findFieldByName("ordinal");
                var moved = moved(message).toBuilder();
                message = moved.setField(descriptor, ordinal + before.getOrDefault(task, 0L)).build();
            }
            kept.addRepeatedField(list, message);
        }
        return kept.getRepeatedFieldCount(list) == 0 ? Optional.empty() : Optional.of(kept.build());
    }

    private static Object field(Message message, String name) {
        return message.getField(message.getDescriptorForType().findFieldByName(name));
    }

    /** The message with every range in it moved from its part of the input to the whole of it. */
    private Message moved(Message message) {
        Message.Builder builder = message.toBuilder();
        message.getAllFields().forEach((field, value) -> {
            if (field.getJavaType() != FieldDescriptor.JavaType.MESSAGE) {
                return;
            }
            if (field.isRepeated()) {
                builder.setField(field, ((List<?>) value).stream().map(one -> moved((Message) one)).toList());
            } else if (value instanceof Range range) {
                long by = switch (field.getName()) {
                    case "byte_range" -> place.bytes();
                    case "codepoint_range" -> place.codePoints();
                    case "utf16_range" -> place.utf16();
                    default -> throw new IllegalStateException("a range of unknown unit: " + field.getFullName());
                };
                builder.setField(field, Range.newBuilder().setStart(range.getStart() + by).setEnd(range.getEnd() + by).build());
            } else {
                builder.setField(field, moved((Message) value));
            }
        });
        return builder.build();
    }
}

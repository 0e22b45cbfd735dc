//! `Debug` of the messages that hold text, labels or names: how long they are, never what they say.
//!
//! `build.rs` lists the same types, so that prost derives no `Debug` for them: one that is missing here does not compile.

use std::fmt;

use prost::Message;

use super::generated as v1;

macro_rules! print_lengths {
    ($($message:ident),+ $(,)?) => {
        $(
            impl fmt::Debug for v1::$message {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($message))
                        .field("encoded_len", &self.encoded_len())
                        .finish_non_exhaustive()
                }
            }
        )+
    };
}

macro_rules! print_content_lengths {
    ($($owner:ident),+ $(,)?) => {
        $(
            impl fmt::Debug for v1::$owner::Content {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    match self {
                        Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
                        Self::Data(data) => write!(f, "Data({} bytes)", data.len()),
                    }
                }
            }
        )+
    };
}

macro_rules! print_numbers {
    ($($owner:ident::$oneof:ident::$member:ident),+ $(,)?) => {
        $(
            impl fmt::Debug for v1::$owner::$oneof {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    let Self::$member(value) = self;
                    f.debug_tuple(stringify!($member)).field(value).finish()
                }
            }
        )+
    };
}

print_lengths!(
    Answer,
    Argument,
    Chunk,
    ClassScore,
    Config,
    ExtractDocumentRequest,
    ExtractManyItem,
    ExtractRequest,
    Label,
    Mention,
    OpenTask,
    Question,
    Relation,
    RelationType,
    SummarySpan,
    Warning,
);
print_content_lengths!(extract_document_request, extract_many_item, extract_request);
print_numbers!(
    chunk::OptionalOffsetBytes::OffsetBytes,
    extract_many_item::OptionalThreshold::Threshold,
    label::OptionalThreshold::Threshold,
    open_task::OptionalThreshold::Threshold,
    question::OptionalThreshold::Threshold,
    relation_type::OptionalThreshold::Threshold,
);

#[cfg(test)]
mod tests {
    use super::v1;

    #[test]
    fn debug_of_a_request_shows_neither_its_text_nor_its_labels() {
        let label = v1::Label { name: "canary-label".into(), ..v1::Label::default() };
        let entities = v1::EntitiesTask { labels: vec![label], ..v1::EntitiesTask::default() };
        let task = v1::Task { id: "t".into(), kind: Some(v1::task::Kind::Entities(entities)) };
        let request = v1::ExtractRequest {
            config: Some(v1::Config { tasks: vec![task.clone()], ..v1::Config::default() }),
            content: Some(v1::extract_request::Content::Text("canary-text".into())),
        };
        let printed = format!("{request:?} {:?} {task:?}", request.content);
        assert!(printed.contains("Text(11 bytes)"), "{printed}");
        assert!(!printed.contains("canary"), "{printed}");
    }
}

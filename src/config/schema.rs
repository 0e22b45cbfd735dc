//! The table of keys as JSON Schema (draft 7), for whoever checks a configuration before a daemon reads it: the Helm chart.
//!
//! It accepts what [`Setting`](super::value::Setting) accepts as far as a schema can say it: addresses, devices and lists
//! are strings here, and the daemon looks into them.

use serde_json::{Map, Value, json};

use super::table::{KEYS, Key};
use super::value::Bound;

/// Largest number that readers of JSON with 64-bit floats keep exact; larger bounds are not told.
const EXACT_MAX: u64 = 1 << 53;

/// The schema of the configuration file, indented, with a line break at its end.
#[must_use]
pub fn json_schema() -> String {
    let mut sections: Map<String, Value> = Map::new();
    for key in KEYS {
        let section = sections.entry(key.section()).or_insert_with(
            || json!({"type": "object", "additionalProperties": false, "properties": {}}),
        );
        section["properties"][key.field()] = property(key);
    }
    let schema = json!({"type": "object", "additionalProperties": false, "properties": sections});
    format!("{schema:#}\n")
}

fn property(key: &Key) -> Value {
    let mut property = shape(key);
    property["description"] = json!(format!("{} Default: {}.", key.what, shown(key.default)));
    property
}

/// What a value may be.
fn shape(key: &Key) -> Value {
    match key.bound {
        Bound::Numbers { min, max } => whole(min, max),
        Bound::ZeroOr { min, max, .. } => {
            let mut shape = whole(0, max);
            shape["anyOf"] = json!([{"const": 0}, {"minimum": min}]);
            shape
        }
        // The default of a word may be none of them: then it is said elsewhere.
        Bound::OneOf(words) if !words.contains(&key.default) => {
            let mut words = words.to_vec();
            words.push(key.default);
            json!({"enum": words})
        }
        Bound::OneOf(words) => json!({"enum": words}),
        Bound::Free if key.kind.starts_with("number") => {
            json!({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"const": ""}]})
        }
        Bound::Free => json!({"type": "string"}),
    }
}

fn whole(min: u64, max: u64) -> Value {
    let mut shape = json!({"type": "integer", "minimum": min});
    if max <= EXACT_MAX {
        shape["maximum"] = json!(max);
    }
    shape
}

fn shown(default: &str) -> &str {
    if default.is_empty() { "empty" } else { default }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Value {
        let schema: Value = serde_json::from_str(&json_schema()).unwrap();
        let (section, field) = name.split_once('.').unwrap();
        let section = &schema["properties"][section];
        assert_eq!(section["additionalProperties"], json!(false));
        section["properties"][field].clone()
    }

    #[test]
    fn every_key_is_there_with_what_it_sets() {
        for key in KEYS {
            let property = of(key.name);
            let description = property["description"].as_str().unwrap();
            assert!(description.starts_with(key.what), "{}: {property}", key.name);
        }
    }

    #[test]
    fn bounds_are_those_of_the_table() {
        let streams = of("server.streams_max");
        assert_eq!(
            (&streams["type"], &streams["minimum"], &streams["maximum"]),
            (&json!("integer"), &json!(1), &json!(65_536))
        );
        let age = of("server.connection_age_ms");
        assert_eq!(age["minimum"], json!(0));
        assert_eq!(age["anyOf"], json!([{"const": 0}, {"minimum": 1000}]));
        assert_eq!(of("server.document_bytes_max")["maximum"], Value::Null);
        assert_eq!(of("server.reflection")["enum"], json!(["on", "off"]));
        assert_eq!(of("otlp.protocol")["enum"], json!(["grpc", "http/protobuf", ""]));
        assert_eq!(of("telemetry.trace_ratio")["anyOf"][0]["maximum"], json!(1));
        assert_eq!(of("server.listen")["type"], json!("string"));
    }
}

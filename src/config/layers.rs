//! Layers of figment: each value is a layer of its own, so that its source can be named.
//!
//! A key is looked up by name; whatever lies beside the keys of the table is a mistake of its layer.

use std::ffi::OsString;
use std::path::PathBuf;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Num, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::Origin;
use super::mistake::Mistake;
use super::table::{KEYS, Key};
use super::value::Setting;

/// Prefix of the variables that are keys: `GLEAND__SERVER__LISTEN` is `server.listen`.
const KEY_PREFIX: &str = "GLEAND__";

/// Prefix of the variables that look as if they were meant for us.
const NAME_PREFIX: &str = "GLEAND_";

/// One value set by name, by a flag or by a sub-command that wants another default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Who says so, in words: `flag --listen`.
    pub source: String,
    /// The key of the table.
    pub key: String,
    /// The value, as text.
    pub value: String,
}

/// Where a configuration comes from. Later layers win: defaults, file, environment, flags.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Defaults of a sub-command, over those of the table.
    pub defaults: Vec<Assignment>,
    /// A TOML file that must exist.
    pub file: Option<PathBuf>,
    /// The environment of the process.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags, the last one of a key wins.
    pub flags: Vec<Assignment>,
}

impl Sources {
    /// Sets a key from a flag.
    pub fn flag(&mut self, flag: &str, key: &str, value: impl Into<String>) {
        self.flags.push(Assignment {
            source: format!("flag {flag}"),
            key: key.to_owned(),
            value: value.into(),
        });
    }

    /// Gives a key another default, which file, environment and flags still override.
    pub fn default_of(&mut self, command: &str, key: &str, value: impl Into<String>) {
        self.defaults.push(Assignment {
            source: format!("default of `gleand {command}`"),
            key: key.to_owned(),
            value: value.into(),
        });
    }
}

/// All layers, and what was found in them so far.
#[derive(Debug)]
pub(super) struct Layered {
    figment: Figment,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<String>,
    pub(super) origins: Vec<Origin>,
}

impl Layered {
    /// Reads one key of the table; a mistake is noted and gives `None`.
    pub(super) fn read<T: Setting>(&mut self, key: &'static Key) -> Option<T> {
        // A layer that puts a value where a section belongs was reported when it was merged.
        let value = self.figment.find_value(key.name).ok()?;
        let source =
            self.figment.get_metadata(value.tag()).map_or_else(|| "default".to_owned(), describe);
        let read = text_of(&value)
            .ok_or_else(|| format!("is no {}", T::KIND))
            .and_then(|text| T::parse(&text, key.bound).map(|typed| (typed, text)));
        match read {
            Ok((typed, text)) => {
                self.origins.push(Origin { key, text, source });
                Some(typed)
            }
            Err(problem) => {
                self.mistakes.push(Mistake { source, key: key.name.to_owned(), problem });
                None
            }
        }
    }

    /// Notes a mistake about a key that was read.
    pub(super) fn mistake(&mut self, key: &str, problem: String) {
        let origin = self.origins.iter().find(|origin| origin.key.name == key);
        let source = origin.map_or_else(|| "default".to_owned(), |origin| origin.source.clone());
        self.mistakes.push(Mistake { source, key: key.to_owned(), problem });
    }

    fn merge(&mut self, layer: Layer) {
        for (name, value) in &layer.values {
            find_strangers(name, value, &mut |key, problem| {
                self.mistakes.push(Mistake {
                    source: layer.source.clone(),
                    key: key.to_owned(),
                    problem,
                });
            });
        }
        self.figment = std::mem::take(&mut self.figment).merge(layer);
    }

    fn merge_file(&mut self, path: &std::path::Path) {
        let source = format!("file {}", path.display());
        match Toml::file_exact(path).data() {
            Ok(mut profiles) => {
                let values = profiles.remove(&Profile::Default).unwrap_or_default();
                self.merge(Layer { source, values });
            }
            Err(error) => {
                self.mistakes.push(Mistake {
                    source,
                    key: String::new(),
                    problem: error.to_string(),
                });
            }
        }
    }

    fn merge_environment(&mut self, environment: &[(OsString, OsString)]) {
        let mut ignored = Vec::new();
        for (name, value) in environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(NAME_PREFIX)) else {
                continue;
            };
            match (name.strip_prefix(KEY_PREFIX), value.to_str()) {
                (Some(key), Some(value)) => self.merge(Layer::one(
                    format!("environment variable {name}"),
                    &key.to_ascii_lowercase().replace("__", "."),
                    value,
                )),
                (Some(_), None) => self.mistakes.push(Mistake {
                    source: format!("environment variable {name}"),
                    key: String::new(),
                    problem: "the value is not UTF-8".to_owned(),
                }),
                (None, value) if is_of_kubernetes(name, value.unwrap_or_default()) => {}
                (None, _) => ignored.push(name),
            }
        }
        if !ignored.is_empty() {
            ignored.sort_unstable();
            self.warnings.push(format!(
                "ignored environment variables: {} (a key is written {KEY_PREFIX}SECTION__KEY, with two underscores)",
                ignored.join(", ")
            ));
        }
    }
}

/// Merges all sources; nothing is read yet, but strangers are already told.
pub(super) fn merge(sources: &Sources) -> Layered {
    let mut layered = Layered {
        figment: Figment::new(),
        mistakes: Vec::new(),
        warnings: Vec::new(),
        origins: Vec::new(),
    };
    for key in KEYS {
        layered.merge(Layer::one("default".to_owned(), key.name, key.default));
    }
    let assigned = |assignment: &Assignment| {
        Layer::one(assignment.source.clone(), &assignment.key, &assignment.value)
    };
    sources.defaults.iter().for_each(|assignment| layered.merge(assigned(assignment)));
    if let Some(path) = &sources.file {
        layered.merge_file(path);
    }
    layered.merge_environment(&sources.environment);
    sources.flags.iter().for_each(|assignment| layered.merge(assigned(assignment)));
    layered
}

/// Values of one source.
struct Layer {
    source: String,
    values: Dict,
}

impl Layer {
    /// A layer with one value, at a path such as `server.listen`.
    fn one(source: String, path: &str, text: &str) -> Self {
        let nested = path.rsplit('.').fold(Value::from(text), |inner, name| {
            Value::from(Dict::from([(name.to_owned(), inner)]))
        });
        Self { source, values: nested.into_dict().unwrap_or_default() }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

fn describe(metadata: &Metadata) -> String {
    metadata.name.clone().into_owned()
}

/// The text of a plain value; lists and tables have none. A fraction keeps its point, so that it is no whole number.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Num(_, Num::F64(fraction)) => Some(format!("{fraction:?}")),
        Value::Num(_, number) => number
            .to_u128()
            .map(|whole| whole.to_string())
            .or_else(|| number.to_i128().map(|whole| whole.to_string())),
        Value::Bool(_, truth) => Some(truth.to_string()),
        Value::Char(_, letter) => Some(letter.to_string()),
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    }
}

/// Tells every path below `path` that is no key, and every value that stands where a section belongs.
fn find_strangers(path: &str, value: &Value, tell: &mut impl FnMut(&str, String)) {
    if KEYS.iter().any(|key| key.name == path) {
        return;
    }
    let is_section = KEYS.iter().any(|key| key.section() == path);
    match value {
        Value::Dict(_, inner) if is_section || !inner.is_empty() => {
            for (name, value) in inner {
                find_strangers(&format!("{path}.{name}"), value, tell);
            }
        }
        _ if is_section => tell(path, "is a section, not a value".to_owned()),
        _ => tell(path, format!("is not a key{}", suggestion(path))),
    }
}

/// The key that was probably meant: the same last name elsewhere, or the nearest spelling.
fn suggestion(path: &str) -> String {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    KEYS.iter()
        .map(|key| {
            (if last(key.name) == last(path) { 1 } else { distance(key.name, path) }, key.name)
        })
        .min()
        .filter(|(steps, _)| *steps <= 3)
        .map(|(_, name)| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

/// Edits between two short names (Levenshtein), by bytes: names of keys are ASCII.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = i;
        row.first_mut().into_iter().for_each(|first| *first = i + 1);
        for (j, b) in to.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row.get(j + 1).copied().unwrap_or_default();
            let left = row.get(j).copied().unwrap_or_default();
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = substituted.min(diagonal + 1).min(left + 1);
            }
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Whether Kubernetes makes such a variable for a Service whose name begins with `gleand`:
/// `…_SERVICE_HOST`, `…_SERVICE_PORT[_NAME]`, `…_PORT=tcp://…`, `…_PORT_50051_TCP[_PROTO|_PORT|_ADDR]`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    if name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
    {
        return true;
    }
    if name.ends_with("_PORT") && value.contains("://") {
        return true;
    }
    let Some((_, port)) =
        name.rsplit_once("_PORT_").filter(|(_, port)| port.contains('_')).or_else(|| {
            // `…_PORT_50051_TCP_PORT` has the mark twice.
            let stem = name.strip_suffix("_PORT")?;
            stem.rsplit_once("_PORT_")
        })
    else {
        return false;
    };
    let mut parts = port.split('_');
    let number = parts
        .next()
        .is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    number && parts.next().is_some_and(|part| matches!(part, "TCP" | "UDP" | "SCTP"))
}

//! The configuration as it is written: a TOML tree in which every value knows where it stands, read key by key.
//!
//! Reading by hand instead of by derive is what gives every complaint its line, its column, its full key and what would
//! have been right, also for what is wrong only together with something else.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;

/// Edits that a mistyped key may be away from the key that was meant.
const TYPO_DISTANCE: usize = 2;

/// The text of a file, for turning positions into lines.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// A complaint about what stands at a position.
    pub(super) fn error(&self, span: &Range<usize>, key: &str, problem: impl Display) -> ConfigError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
        ConfigError::Invalid {
            file: self.name.to_owned(),
            line,
            column,
            key: key.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct At<'a, T> {
    pub(super) value: T,
    source: Source<'a>,
    key: String,
    span: Range<usize>,
}

impl<'a, T> At<'a, T> {
    /// A complaint about this value.
    pub(super) fn error(&self, problem: impl Display) -> ConfigError {
        self.source.error(&self.span, &self.key, problem)
    }

    /// Makes something of the value, or complains at its place.
    pub(super) fn try_map<U, E: Display>(self, make: impl FnOnce(T) -> Result<U, E>) -> Result<At<'a, U>, ConfigError> {
        let Self {
            value,
            source,
            key,
            span,
        } = self;
        match make(value) {
            Ok(value) => Ok(At {
                value,
                source,
                key,
                span,
            }),
            Err(problem) => Err(source.error(&span, &key, problem)),
        }
    }
}

/// A table whose keys are taken one after the other; what is left over at the end is unknown.
pub(super) struct Section<'a> {
    source: Source<'a>,
    path: String,
    span: Range<usize>,
    keys: BTreeMap<String, (Range<usize>, Spanned<DeValue<'a>>)>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Reads a whole file.
    pub(super) fn parse(source: Source<'a>) -> Result<Self, ConfigError> {
        let table = DeTable::parse(source.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            source.error(&span, "", error.message())
        })?;
        let span = table.span();
        Ok(Self::new(source, String::new(), span, table.into_inner()))
    }

    fn new(source: Source<'a>, path: String, span: Range<usize>, table: DeTable<'a>) -> Self {
        let keys = table
            .into_iter()
            .map(|(key, value)| (key.get_ref().to_string(), (key.span(), value)))
            .collect();
        Self {
            source,
            path,
            span,
            keys,
            known: Vec::new(),
        }
    }

    /// A complaint about the section as a whole.
    pub(super) fn error(&self, problem: impl Display) -> ConfigError {
        self.source.error(&self.span, &self.path, problem)
    }

    /// A complaint about a key that has to be there and is not, or about the one that was probably meant to be it.
    pub(super) fn missing(&self, name: &str) -> ConfigError {
        let meant = self
            .keys
            .iter()
            .find(|(key, _)| edit_distance(key, name) <= TYPO_DISTANCE);
        match meant {
            Some((key, (span, _))) => {
                let problem = format!("unknown key; did you mean {name}?");
                self.source.error(span, &self.key(key), problem)
            }
            None => self.error(format!("{name} is missing")),
        }
    }

    /// The place of the section, for complaints after it was read.
    pub(super) fn at(&self) -> At<'a, ()> {
        At {
            value: (),
            source: self.source,
            key: self.path.clone(),
            span: self.span.clone(),
        }
    }

    fn key(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn take(&mut self, name: &'static str) -> Option<At<'a, DeValue<'a>>> {
        self.known.push(name);
        let (_, value) = self.keys.remove(name)?;
        let span = value.span();
        Some(At {
            value: value.into_inner(),
            source: self.source,
            key: self.key(name),
            span,
        })
    }

    /// A table of this section; an empty one if it is missing.
    pub(super) fn section(&mut self, name: &'static str) -> Result<Section<'a>, ConfigError> {
        Ok(self
            .optional_section(name)?
            .unwrap_or_else(|| Section::new(self.source, self.key(name), self.span.clone(), DeTable::default())))
    }

    /// A table of this section.
    pub(super) fn optional_section(&mut self, name: &'static str) -> Result<Option<Section<'a>>, ConfigError> {
        self.take(name).map(table).transpose()
    }

    /// An array of tables.
    pub(super) fn sections(&mut self, name: &'static str) -> Result<Vec<Section<'a>>, ConfigError> {
        self.array(name, table).map(Option::unwrap_or_default)
    }

    /// A text that is not empty.
    pub(super) fn string(&mut self, name: &'static str) -> Result<Option<At<'a, String>>, ConfigError> {
        self.take(name).map(string).transpose()
    }

    /// An array of texts.
    pub(super) fn strings(&mut self, name: &'static str) -> Result<Option<Vec<At<'a, String>>>, ConfigError> {
        self.array(name, string)
    }

    /// A path.
    pub(super) fn path(&mut self, name: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.string(name)?.map(|path| PathBuf::from(path.value)))
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, name: &'static str) -> Result<Option<bool>, ConfigError> {
        let Some(at) = self.take(name) else { return Ok(None) };
        match at.value.as_bool() {
            Some(value) => Ok(Some(value)),
            None => Err(expected(&at, "true or false")),
        }
    }

    /// A whole number in a range.
    pub(super) fn integer(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        let Some(at) = self.take(name) else { return Ok(None) };
        let Some(written) = at.value.as_integer() else {
            return Err(expected(&at, "a whole number"));
        };
        match u64::from_str_radix(written.as_str(), written.radix()) {
            Ok(value) if range.contains(&value) => Ok(Some(value)),
            _ => Err(at.error(format!(
                "expected a whole number from {} to {}, found {written}",
                range.start(),
                range.end()
            ))),
        }
    }

    fn array<T>(
        &mut self,
        name: &'static str,
        make: impl Fn(At<'a, DeValue<'a>>) -> Result<T, ConfigError>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(at) = self.take(name) else { return Ok(None) };
        if !at.value.is_array() {
            return Err(expected(&at, "an array"));
        }
        let At {
            value: DeValue::Array(array),
            source,
            key,
            ..
        } = at
        else {
            return Ok(None);
        };
        let items = array.into_iter().enumerate().map(|(index, item)| {
            let span = item.span();
            make(At {
                value: item.into_inner(),
                source,
                key: format!("{key}[{index}]"),
                span,
            })
        });
        items.collect::<Result<_, _>>().map(Some)
    }

    /// Complains about the first key that nobody took.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let first = self.keys.iter().min_by_key(|(_, (span, _))| span.start);
        let Some((name, (span, _))) = first else { return Ok(()) };
        let near = self.known.iter().map(|known| (edit_distance(known, name), known)).min();
        let hint = match near {
            Some((distance, known)) if distance <= TYPO_DISTANCE => format!("did you mean {known}?"),
            _ => format!("known here: {}", self.known.join(", ")),
        };
        Err(self.source.error(span, &self.key(name), format!("unknown key; {hint}")))
    }
}

fn table<'a>(at: At<'a, DeValue<'a>>) -> Result<Section<'a>, ConfigError> {
    match at {
        At {
            value: DeValue::Table(table),
            source,
            key,
            span,
        } => Ok(Section::new(source, key, span, table)),
        other => Err(expected(&other, "a table")),
    }
}

fn string<'a>(at: At<'a, DeValue<'a>>) -> Result<At<'a, String>, ConfigError> {
    match at.value.as_str() {
        Some("") => Err(at.error("expected a text, found an empty one")),
        Some(text) => Ok(At {
            value: text.to_owned(),
            source: at.source,
            key: at.key.clone(),
            span: at.span.clone(),
        }),
        None => Err(expected(&at, "a text in quotes")),
    }
}

/// The value itself is not repeated, because it may be a secret at the wrong place.
fn expected(at: &At<'_, DeValue<'_>>, what: &str) -> ConfigError {
    at.error(format!("expected {what}, found {}", at.value.type_str()))
}

/// Levenshtein's distance.
fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

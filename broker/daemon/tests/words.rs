//! The grammar of errors, kept for every `#[error("…")]` of every program.
//!
//! An error is one sentence without a full stop: *what is wrong*, then, after a semicolon or a colon, *what to do*. It
//! begins in lower case, because it stands behind "modemctl: " or a field's name, and it is whole: nobody puts "failed to" in
//! front of it. It shows values as people write them; `{:?}` is for texts, which it quotes, and never for types of Rust.

use std::fs;
use std::path::{Path, PathBuf};

/// Values that are texts or characters, so that `{:?}` puts quotation marks around them.
const QUOTED: &[&str] = &["character", "found", "line", "modem", "text"];

/// Words that begin the rest of "failed to …", never a sentence about what is wrong.
const FRAGMENTS: &[&str] = &[
    "accept", "bind", "compose", "connect", "decode", "encode", "find", "fit", "match", "open", "pair", "parse",
    "read", "reach", "send", "start", "write",
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.file_name().and_then(|name| name.to_str()) {
            Some("target" | "fuzz") => {}
            _ if path.is_dir() => sources(&path, found),
            Some(name) if name.ends_with(".rs") => found.push(path),
            _ => {}
        }
    }
}

/// The text of every `#[error("…")]` of a source, with its line.
fn error_texts(source: &str) -> Vec<(usize, String)> {
    let mut texts = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find("#[error(") {
        rest = &rest[start + "#[error(".len()..];
        let line = source[..source.len() - rest.len()].lines().count();
        if let Some(literal) = rest.trim_start().strip_prefix('"') {
            texts.push((line, literal_text(literal)));
        }
    }
    texts
}

/// A literal up to its closing quotation mark, its line continuations joined.
fn literal_text(literal: &str) -> String {
    let mut text = String::new();
    let mut characters = literal.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => match characters.next() {
                Some('\n') => while characters.next_if(|next| next.is_whitespace()).is_some() {},
                Some(escaped) => text.push(escaped),
                None => break,
            },
            other => text.push(other),
        }
    }
    text
}

/// What is wrong with the wording of an error.
fn fault(text: &str) -> Option<String> {
    let first = text.split([' ', ':', ',']).next().unwrap_or_default();
    let capitals = first.chars().filter(char::is_ascii_uppercase).count();
    if text.starts_with(|character: char| character.is_ascii_uppercase()) && capitals < 2 {
        return Some("it begins with a capital letter".to_owned());
    }
    if text.ends_with(['.', '!']) {
        return Some("it ends with a full stop".to_owned());
    }
    if FRAGMENTS.contains(&first) {
        return Some(format!("{first:?} begins the rest of a sentence: say what is wrong"));
    }
    let mut debugged: Vec<&str> = text.split(":?}").collect();
    debugged.pop();
    debugged.into_iter().find_map(|before| {
        let name = before.rsplit('{').next().unwrap_or_default();
        (!QUOTED.contains(&name)).then(|| format!("{{{name}:?}} shows a type of Rust: give it words"))
    })
}

#[test]
fn every_error_is_a_sentence_for_people() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut paths = Vec::new();
    for part in ["broker", "clients", "tests"] {
        sources(&root.join(part), &mut paths);
    }
    let this = Path::new(file!()).file_name();
    let (mut seen, mut faults) = (0, Vec::new());
    for path in paths.iter().filter(|path| path.file_name() != this) {
        for (line, text) in error_texts(&fs::read_to_string(path).unwrap()) {
            seen += 1;
            if let Some(fault) = fault(&text) {
                let path = path.strip_prefix(root).unwrap().display();
                faults.push(format!("{path}:{line}: {text:?}: {fault}"));
            }
        }
    }
    assert!(seen > 100, "only {seen} errors were found: the search is broken");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_rule_tells_sentences_from_fragments() {
    for text in [
        "no digits; write a number such as +447700900123",
        "PPP did not connect within {} s; try again",
        "{field}: {problem}",
        "no modem is called {modem:?}; known: {known}",
        "IPv6 is switched off for {0}",
    ] {
        assert_eq!(fault(text), None, "{text}");
    }
    for text in [
        "find a country code that starts with zero",
        "The disk is full",
        "the disk is full.",
        "the call is {state:?}",
        "none older than {oldest:?} any more",
    ] {
        assert!(fault(text).is_some(), "{text}");
    }
    let source = "#[error(\n    \"one \\\n     line\"\n)]\n#[error(transparent)]\n#[error(\"two\")]";
    assert_eq!(error_texts(source), [(1, "one line".to_owned()), (6, "two".to_owned())]);
}

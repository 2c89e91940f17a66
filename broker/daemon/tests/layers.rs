//! Who may import whom. The tables below are the rule, and every path in the daemon's sources is held against them; code that
//! is compiled for tests alone is left out.
//!
//! `cargo test -p broker --test layers -- --nocapture` also prints the circles of files that are left inside the folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The daemon from top to bottom. A module may import those of the rows below its own, and nothing beside or above itself.
const LAYERS: &[&[&str]] = &[
    &["lib"],
    &["config"], // reads the file and fills in the settings, whose types belong to the parts below
    &["server", "metrics", "systemd"],
    &["wan"],
    &["modem"],
    &["store", "audio", "port", "net", "device"],
    &["refusal", "figures"],
    &["resource", "supervisor", "watchdog", "secret", "scope", "tail"],
];

/// What only some places may name: its words, those places, and why.
const RESERVED: &[(&[&str], &[&str], &str)] = &[
    (&["rusqlite"], &["store"], "SQL stays in the store"),
    (
        &["api", "tonic", "prost"],
        &["server"],
        "the contract is translated in the server",
    ),
    (&["toml"], &["config"], "the file is read in one place"),
    (
        &["sd_notify"],
        &["systemd"],
        "the service manager is spoken to in one place",
    ),
    (
        &["nix", "libc"],
        &[
            "audio",
            "device",
            "net",
            "port",
            "wan",
            "server/auth.rs",
            "server/connections.rs",
            "server/listen.rs",
            "server/peer.rs",
            "store/health.rs", // how full the disk is
        ],
        "what is particular to Linux stays at the edges",
    ),
    (
        &[
            "tokio::spawn",
            "spawn_blocking",
            "thread::spawn",
            "thread::Builder",
            "thread::scope",
        ],
        &["supervisor.rs"],
        "tasks and threads are started in supervisor, so that each has a name and an end",
    ),
];

/// A source file and what it imports.
struct Source {
    /// Below `src`, such as `modem/calls.rs`.
    file: String,
    /// Its module path, such as `["modem", "calls"]`; empty for the root.
    module: Vec<String>,
    /// Without comments and test modules.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the sources can be read") {
            let path: PathBuf = entry.expect("the sources can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let file = path.strip_prefix(&root).expect("it is below").display().to_string();
        let module: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        let is_test = module.iter().any(|part| part == "tests");
        let is_root = ["lib", "main"].contains(&&*file.trim_end_matches(".rs").to_owned());
        let text = fs::read_to_string(path).expect("the sources can be read");
        (!is_test && file != "main.rs").then(|| Source {
            file,
            module: if is_root { Vec::new() } else { module },
            code: production(&text),
        })
    };
    files.iter().filter_map(read).collect()
}

/// The code without comments and without the module of tests, which stands at the end of a file.
fn production(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where a word stands that is no part of a longer one or of a longer path.
fn occurrences<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = code.as_bytes()[..*at].last().copied().unwrap_or(b' ');
        let after = code.as_bytes().get(at + word.len()).copied().unwrap_or(b' ');
        !is_word(before) && !is_word(after)
    })
}

/// Every module path that the code names by `crate::`, `super::` or `self::`, from the root, groups resolved.
fn imports(source: &Source) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (start, depth) in [("crate::", None), ("super::", Some(1)), ("self::", Some(0))] {
        for at in occurrences(&source.code, &start[..start.len() - 2]) {
            let before = source.code[..at].trim_end();
            let Some(rest) = source.code[at..].strip_prefix(start) else {
                continue;
            };
            // A `super` that follows another one was read with it; a path below another crate is not ours.
            if before.ends_with("::") {
                continue;
            }
            let mut up = depth;
            let mut rest = rest;
            while let (Some(levels), Some(further)) = (up, rest.strip_prefix("super::")) {
                up = Some(levels + 1);
                rest = further;
            }
            let kept = up.map_or(0, |levels: usize| source.module.len().saturating_sub(levels));
            tree(rest, &source.module[..kept], &mut found);
        }
    }
    found
}

/// Reads a path or a group of paths, of which the whole may be nested. Returns what follows.
fn tree<'a>(text: &'a str, above: &[String], found: &mut BTreeSet<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = tree(rest, above, found).trim_start();
            match rest.strip_prefix(',') {
                Some(further) => rest = further,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let length = text.bytes().take_while(|byte| is_word(*byte)).count();
    let (word, rest) = text.split_at(length);
    let mut path = above.to_vec();
    if !word.is_empty() && word != "self" {
        path.push(word.to_owned());
    }
    match rest.strip_prefix("::") {
        Some(further) if !word.is_empty() => tree(further, &path, found),
        _ => {
            if !path.is_empty() {
                found.insert(path);
            }
            // Skips `as NAME`, and `*`.
            let end = rest.find([',', '}', ';', '{', '\n']).unwrap_or(rest.len());
            &rest[end..]
        }
    }
}

fn row_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

#[test]
fn nothing_imports_what_stands_beside_or_above_it() {
    let mut problems = Vec::new();
    for source in sources() {
        let own = source.module.first().map_or("lib", String::as_str);
        let Some(row) = row_of(own) else {
            problems.push(format!("{}: {own} has no row; give it one in LAYERS", source.file));
            continue;
        };
        for path in imports(&source) {
            let other = path[0].as_str();
            // What is no module of the root is an item of it.
            let Some(other_row) = row_of(other).filter(|_| other != own) else {
                continue;
            };
            if other_row <= row {
                problems.push(format!(
                    "src/{}: {own} imports {}, but {other} (row {other_row}: {}) does not stand below {own} (row {row}: {}); \
                     move the shared type down, or have the upper one pass the value",
                    source.file,
                    path.join("::"),
                    LAYERS[other_row].join(" | "),
                    LAYERS[row].join(" | "),
                ));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn what_is_reserved_is_named_only_where_it_belongs() {
    let mut problems = Vec::new();
    for source in sources() {
        for (words, places, why) in RESERVED {
            let allowed = places
                .iter()
                .any(|place| source.file == *place || source.module.first().is_some_and(|top| top == place));
            if allowed {
                continue;
            }
            for word in *words {
                let named = occurrences(&source.code, word).any(|at| {
                    let rest = &source.code[at + word.len()..];
                    let is_call = word.contains("spawn") || word.contains("thread");
                    let before = source.code[..at].trim_end();
                    // A crate's name stands at the beginning of a path.
                    is_call || (!before.ends_with("::") && (rest.starts_with("::") || before.ends_with("use")))
                });
                if named {
                    problems.push(format!(
                        "src/{}: {word} belongs into {}: {why}",
                        source.file,
                        places.join(", ")
                    ));
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// Files that reach each other. A module knows its own parts anyway, so its way down to them does not count.
fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let index: BTreeMap<&[String], usize> = sources
        .iter()
        .enumerate()
        .map(|(index, source)| (source.module.as_slice(), index))
        .collect();
    let edges: Vec<BTreeSet<usize>> = sources
        .iter()
        .map(|source| {
            let target = |path: &Vec<String>| {
                (1..=path.len())
                    .rev()
                    .find_map(|length| index.get(&path[..length]).copied())
            };
            let is_part = |target: &usize| sources[*target].module.starts_with(&source.module);
            imports(source)
                .iter()
                .filter_map(target)
                .filter(|target| !is_part(target))
                .collect()
        })
        .collect();
    let reach = |from: usize| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            open.extend(edges[at].iter().filter(|next| seen.insert(**next)));
        }
        seen
    };
    let reached: Vec<BTreeSet<usize>> = (0..sources.len()).map(reach).collect();
    let mut found = BTreeSet::new();
    for (from, seen) in reached.iter().enumerate().filter(|(from, seen)| seen.contains(from)) {
        let circle: Vec<String> = seen
            .iter()
            .filter(|other| reached[**other].contains(&from))
            .map(|other| sources[*other].file.clone())
            .collect();
        found.insert(circle);
    }
    found.into_iter().collect()
}

#[test]
fn no_circle_leads_from_one_module_of_the_root_to_another() {
    for circle in circles(&sources()) {
        println!("a circle of {}: {}", circle.len(), circle.join(", "));
        let tops: BTreeSet<&str> = circle
            .iter()
            .map(|file| file.split(['/', '.']).next().unwrap_or_default())
            .collect();
        assert_eq!(
            tops.len(),
            1,
            "{} import each other: {}",
            Vec::from_iter(tops).join(", "),
            circle.join(", ")
        );
    }
}

#[test]
fn an_import_against_the_table_is_seen() {
    let source = |code: &str| Source {
        file: "port/at.rs".to_owned(),
        module: vec!["port".to_owned(), "at".to_owned()],
        code: production(code),
    };
    let paths = |code: &str| -> Vec<String> { imports(&source(code)).iter().map(|path| path.join("::")).collect() };
    assert_eq!(paths("use crate::modem::Modems;"), ["modem::Modems"]);
    assert_eq!(
        paths("use crate::{modem, wan::{self, WanHandle as _}};"),
        ["modem", "wan", "wan::WanHandle"]
    );
    assert_eq!(paths("use super::trace::Trace;"), ["port::trace::Trace"]);
    assert_eq!(paths("fn f() { super::super::store::open() }"), ["store::open"]);
    assert!(paths("use tokio::net;\n// crate::modem\n#[cfg(test)]\nmod tests { use crate::modem; }").is_empty());
}

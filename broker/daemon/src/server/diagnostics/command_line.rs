//! A command line cut into its commands, as a module cuts it (V.250 5.2.1): basic commands follow each other without anything
//! in between, extended ones are ended by a semicolon, and both may stand in one line (`ATE0+CMGF=1`).

/// One command of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// In capitals, without what is set: `+CMGF`, `E`, `&F`, `S3`.
    pub(super) name: String,
    /// What is done with it.
    pub(super) action: Action,
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `+NAME?`, `S3?`.
    Read,
    /// `+NAME=?`.
    Test,
    /// Everything else: it sets or executes.
    Does,
}

/// The commands of a line. What cannot be cut is one command that does something, under the name of its first character.
pub(super) fn parts(line: &str) -> Vec<Part> {
    // Blanks between the characters mean nothing (5.2.1), and small letters are as good as capitals.
    let line = without_blanks(line).to_uppercase();
    let mut rest = line.strip_prefix("AT").unwrap_or(&line);
    let mut parts = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (part, after) = match first {
            ';' => {
                rest = &rest[1..];
                continue;
            }
            'D' => (does("D"), ""),
            'S' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => parameter(rest),
            'A'..='Z' => basic(rest, 1),
            '&' => basic(rest, rest.chars().take(2).map(char::len_utf8).sum()),
            _ => extended(rest),
        };
        parts.push(part);
        rest = after;
    }
    parts
}

fn does(name: &str) -> Part {
    Part {
        name: name.to_owned(),
        action: Action::Does,
    }
}

/// Quoted text keeps its blanks.
fn without_blanks(line: &str) -> String {
    let mut quoted = false;
    line.chars()
        .filter(|character| {
            quoted ^= *character == '"';
            quoted || !character.is_whitespace()
        })
        .collect()
}

/// `E0`, `&F`: a name and a number (5.3.1).
fn basic(rest: &str, name: usize) -> (Part, &str) {
    let (name, after) = rest.split_at(name);
    let after = after.trim_start_matches(|next: char| next.is_ascii_digit());
    // `L?` and the like are no V.250, but modules answer them.
    match after
        .strip_prefix("=?")
        .map(|after| (Action::Test, after))
        .or_else(|| Some((Action::Read, after.strip_prefix('?')?)))
    {
        Some((action, after)) => (
            Part {
                name: name.to_owned(),
                action,
            },
            after,
        ),
        None => (does(name), after),
    }
}

/// `S3=13`, `S3?` (5.3.2).
fn parameter(rest: &str) -> (Part, &str) {
    let end = 1 + rest[1..]
        .find(|next: char| !next.is_ascii_digit())
        .unwrap_or(rest.len() - 1);
    let (name, after) = rest.split_at(end);
    if let Some(after) = after.strip_prefix('?') {
        let part = Part {
            name: name.to_owned(),
            action: Action::Read,
        };
        return (part, after);
    }
    let after = after.trim_start_matches(|next: char| next == '=' || next.is_ascii_digit());
    (does(name), after)
}

/// `+NAME`, and what vendors begin with another sign, up to a semicolon outside of quotes (5.4.1).
fn extended(rest: &str) -> (Part, &str) {
    let mut quoted = false;
    let end = rest.find(|next: char| {
        quoted ^= next == '"';
        next == ';' && !quoted
    });
    let (command, after) = rest.split_at(end.unwrap_or(rest.len()));
    let (name, value) = command.split_at(command.find(['=', '?']).unwrap_or(command.len()));
    let action = match value {
        "?" => Action::Read,
        "=?" => Action::Test,
        _ => Action::Does,
    };
    let part = Part {
        name: name.to_owned(),
        action,
    };
    (part, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let show = |part: Part| {
            let sign = match part.action {
                Action::Read => "?",
                Action::Test => "=?",
                Action::Does => "",
            };
            format!("{}{sign}", part.name)
        };
        parts(line).into_iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_line_is_cut_as_a_module_cuts_it() {
        for (line, expected) in [
            ("AT", ""),
            ("AT+CSQ", "+CSQ"),
            ("at e0 q1 v0", "E Q V"),
            ("ATE0+CMGF=1", "E +CMGF"),
            ("ATE+CMGF=1;+CSQ", "E +CMGF +CSQ"),
            ("AT+CMGF?;+CMGF=?;+CMGF=1", "+CMGF? +CMGF=? +CMGF"),
            ("AT+CUSD=1,\"*100#;+CMGF=1\",15;E0", "+CUSD E"),
            ("AT+CMGF=1?", "+CMGF"),
            ("AT&F0Z0", "&F Z"),
            ("ATS3=13S4?E1", "S3 S4? E"),
            ("ATSE", "S E"),
            ("ATD*99***1#", "D"),
            ("ATE0DT+447700900123;", "E D"),
            ("AT$QCPWRDN", "$QCPWRDN"),
            ("AT*PSSTK=\"A;B\";+CSQ", "*PSSTK +CSQ"),
            ("AT;;+CSQ", "+CSQ"),
            ("hello", "H E L L O"),
            ("ATü+CMGF=1", "Ü+CMGF"),
            ("AT&", "&"),
            ("AT\"", "\""),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn no_line_makes_it_fail_or_hides_what_is_set_behind_basic_commands() {
        for basic in ["E", "E0", "Q1", "V", "X4", "&D2", "S0=1", "S7?", "L?", "M=?", ";"] {
            for gap in ["", " ", ";"] {
                let line = format!("AT{basic}{gap}+CMGF=1");
                assert!(shown(&line).split(' ').any(|part| part == "+CMGF"), "{line}");
            }
        }
    }
}

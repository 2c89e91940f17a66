//! Command lines as V.250 clause 5.2 has them: several basic, S-parameter and extended commands after one `AT`.

/// What is asked of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `AT+NAME`, or a basic command with its number as the only argument (`ATE0`).
    Execute,
    /// `AT+NAME?`
    Read,
    /// `AT+NAME=?`
    Test,
    /// `AT+NAME=…`
    Set,
}

/// One command of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Upper-case name with its prefix: `+CREG`, `&F`, `D`, `S0`.
    pub name: String,
    /// What is asked.
    pub form: Form,
    /// The values, without their quotes.
    pub arguments: Vec<String>,
    /// The command as it was written, without `AT`.
    pub text: String,
}

impl Command {
    /// The numeric value at a position; a missing, empty or other value is `None`.
    pub fn number(&self, position: usize) -> Option<u32> {
        self.arguments.get(position)?.trim().parse().ok()
    }

    /// The value at a position unless it is missing or empty.
    pub fn value(&self, position: usize) -> Option<&str> {
        self.arguments
            .get(position)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Splits what follows `AT` into its commands. `None` means that the line has no meaning at all.
pub fn parse(line: &str) -> Option<Vec<Command>> {
    let body = line
        .get(..2)
        .filter(|prefix| prefix.eq_ignore_ascii_case("AT"))
        .and_then(|_| line.get(2..))?;
    let mut commands = Vec::new();
    let mut rest = body.trim_start_matches([' ', ';']);
    while !rest.is_empty() {
        let (command, after) = next(rest)?;
        commands.push(command);
        rest = after.trim_start_matches([' ', ';']);
    }
    Some(commands)
}

fn next(rest: &str) -> Option<(Command, &str)> {
    let first = rest.chars().next()?;
    match first.to_ascii_uppercase() {
        '+' | '*' | '^' | '$' | '#' | '%' => Some(extended(rest)),
        'D' => Some(dial(rest)),
        'A'..='Z' | '&' | '\\' => Some(basic(rest)),
        _ => None,
    }
}

/// The end of a command: the first `;` that is not inside quotes.
fn end_of_extended(rest: &str) -> usize {
    let mut quoted = false;
    for (at, c) in rest.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ';' if !quoted => return at,
            _ => {}
        }
    }
    rest.len()
}

fn extended(rest: &str) -> (Command, &str) {
    let (text, after) = rest.split_at(end_of_extended(rest));
    let text = text.trim_end();
    let name_end = text.find(['=', '?']).unwrap_or(text.len());
    let name = text[..name_end].trim_end().to_ascii_uppercase();
    let (form, arguments) = match &text[name_end..] {
        "" => (Form::Execute, Vec::new()),
        "?" => (Form::Read, Vec::new()),
        "=?" => (Form::Test, Vec::new()),
        set => (Form::Set, split_arguments(set.trim_start_matches('='))),
    };
    (
        Command {
            name,
            form,
            arguments,
            text: text.to_owned(),
        },
        after,
    )
}

/// A dial string reaches to its semicolon, which V.250 makes part of it (a voice call).
fn dial(rest: &str) -> (Command, &str) {
    let end = rest.find(';').map_or(rest.len(), |at| at + 1);
    let (text, after) = rest.split_at(end);
    let argument = text[1..].trim().to_owned();
    (
        Command {
            name: "D".to_owned(),
            form: Form::Execute,
            arguments: vec![argument],
            text: text.to_owned(),
        },
        after,
    )
}

fn basic(rest: &str) -> (Command, &str) {
    let letters = if rest.starts_with(['&', '\\']) { 2 } else { 1 };
    let mut end = rest.char_indices().nth(letters).map_or(rest.len(), |(at, _)| at);
    let digits = |from: usize| from + rest[from..].bytes().take_while(u8::is_ascii_digit).count();
    let name_end = end;
    end = digits(end);
    let mut name = rest[..name_end].to_ascii_uppercase();
    let mut arguments = Vec::new();
    let mut form = Form::Execute;
    if name == "S" {
        name.push_str(&rest[name_end..end]);
    } else if end > name_end {
        arguments.push(rest[name_end..end].to_owned());
    }
    if let Some(after) = rest[end..].strip_prefix('=') {
        end += 1;
        if after.starts_with('?') {
            form = Form::Test;
            end += 1;
        } else {
            form = Form::Set;
            let value_end = digits(end);
            arguments = vec![rest[end..value_end].to_owned()];
            end = value_end;
        }
    } else if rest[end..].starts_with('?') {
        form = Form::Read;
        end += 1;
    }
    let (text, after) = rest.split_at(end);
    (
        Command {
            name,
            form,
            arguments,
            text: text.to_owned(),
        },
        after,
    )
}

/// Splits values at the commas outside quotes and takes the quotes away.
pub fn split_arguments(text: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => values.push(String::new()),
            ' ' if !quoted => {}
            c => {
                if let Some(value) = values.last_mut() {
                    value.push(c);
                }
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Option<Vec<(String, Form, Vec<String>)>> {
        parse(line).map(|all| all.into_iter().map(|c| (c.name, c.form, c.arguments)).collect())
    }

    #[test]
    fn a_line_may_join_basic_and_extended_commands() {
        let parsed = names("ATE0V1;+CREG?;+CMEE=2;+CPMS=\"SM\",\"a;b\";S0=0;&D2;+COPS=?").expect("a line");
        let short: Vec<_> = parsed
            .iter()
            .map(|(name, form, arguments)| format!("{name} {form:?} {}", arguments.join("|")))
            .collect();
        assert_eq!(
            short,
            [
                "E Execute 0",
                "V Execute 1",
                "+CREG Read ",
                "+CMEE Set 2",
                "+CPMS Set SM|a;b",
                "S0 Set 0",
                "&D Execute 2",
                "+COPS Test "
            ]
        );
    }

    #[test]
    fn a_dial_string_keeps_its_semicolon() {
        let parsed = names("AT+CPCMREG=0;D+491234567;").expect("a line");
        assert_eq!(
            parsed[1],
            ("D".to_owned(), Form::Execute, vec!["+491234567;".to_owned()])
        );
    }

    #[test]
    fn what_is_no_command_line_is_refused() {
        for line in ["", "A", "XT+CSQ", "AT=5", "AT\u{fffd}"] {
            assert_eq!(parse(line), None, "{line:?}");
        }
        assert_eq!(parse("at"), Some(Vec::new()));
    }
}

//! Columns of text: aligned by what a terminal shows, not by characters.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::console::{Console, Tone};

const GAP: usize = 2;
/// A last column that would be narrower than this is not shortened: it would tell nothing.
const NARROWEST: usize = 12;
/// Lines of a text below its row; more of it is shown by the command for one.
const LINES_BELOW: usize = 3;
const INDENT: usize = 2;

/// A table whose last column takes what is left of the line.
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<(Tone, String)>>,
    /// Columns of numbers, whose ends stand below each other.
    numbers: &'static [usize],
    /// Less room than this for the last column puts it below its row.
    room: usize,
}

impl Table {
    pub(crate) fn new(heading: &[&'static str]) -> Self {
        Self {
            heading: heading.to_vec(),
            rows: Vec::new(),
            numbers: &[],
            room: 0,
        }
    }

    /// These columns hold numbers.
    pub(crate) fn with_numbers(mut self, columns: &'static [usize]) -> Self {
        self.numbers = columns;
        self
    }

    /// The last column gets at least so much room, otherwise lines of its own.
    pub(crate) fn with_room(mut self, columns: usize) -> Self {
        self.room = columns;
        self
    }

    pub(crate) fn push(&mut self, cells: Vec<(Tone, String)>) {
        self.rows
            .push(cells.into_iter().map(|(tone, text)| (tone, clean(&text))).collect());
    }

    /// The lines, the heading first. A column without any text is left out.
    pub(crate) fn lines(&self, console: &Console) -> Vec<String> {
        let used = |column: &usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(*column));
            self.rows.is_empty() || cells.any(|(_, text)| !text.is_empty())
        };
        let columns: Vec<usize> = (0..self.heading.len()).filter(used).collect();
        let Some((last, before)) = columns.split_last() else {
            return Vec::new();
        };
        let width = |column: &usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(*column));
            let widest = cells.map(|(_, text)| text.width()).max().unwrap_or(0);
            widest.max(self.heading[*column].width())
        };
        let widths: Vec<usize> = before.iter().map(width).collect();
        let taken: usize = widths.iter().map(|width| width + GAP).sum();
        let room = console.width.map(|total| total.saturating_sub(taken));
        let is_below = room.is_some_and(|room| room < self.room.min(width(last)));
        let row_head = |cell: &dyn Fn(usize) -> (Tone, String)| {
            let mut line = String::new();
            for (column, width) in before.iter().zip(&widths) {
                let (tone, text) = cell(*column);
                let blank = " ".repeat(width.saturating_sub(text.width()));
                let text = console.paint(tone, &text);
                let (left, right) = match self.numbers.contains(column) {
                    true => (blank.as_str(), text.as_str()),
                    false => (text.as_str(), blank.as_str()),
                };
                line.push_str(left);
                line.push_str(right);
                line.push_str(&" ".repeat(GAP));
            }
            line
        };
        let heading = |column: usize| (Tone::Heading, self.heading[column].to_owned());
        let mut lines = Vec::new();
        let mut head = row_head(&heading);
        let is_number = self.numbers.contains(last);
        let widest = width(last);
        let aligned = |text: &str| match is_number {
            true => format!("{}{text}", " ".repeat(widest.saturating_sub(text.width()))),
            false => text.to_owned(),
        };
        if !is_below {
            head.push_str(&console.paint(Tone::Heading, &aligned(self.heading[*last])));
        }
        lines.push(head.trim_end().to_owned());
        for row in &self.rows {
            let cell = |column: usize| row.get(column).cloned().unwrap_or((Tone::Plain, String::new()));
            let mut line = row_head(&cell);
            let (tone, text) = cell(*last);
            if is_below {
                lines.push(line.trim_end().to_owned());
                lines.extend(below(console, tone, &text));
                continue;
            }
            let text = room.map_or_else(|| text.clone(), |room| shorten(&text, room.max(NARROWEST)));
            line.push_str(&console.paint(tone, &aligned(&text)));
            lines.push(line.trim_end().to_owned());
        }
        lines
    }
}

/// A text on lines of its own, indented.
fn below(console: &Console, tone: Tone, text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let width = console
        .width
        .unwrap_or(usize::MAX)
        .saturating_sub(INDENT)
        .max(NARROWEST);
    let mut lines = wrap(text, width);
    if lines.len() > LINES_BELOW {
        lines.truncate(LINES_BELOW);
        if let Some(last) = lines.last_mut() {
            *last = format!("{}…", shorten(last, width.saturating_sub(1)).trim_end_matches('…'));
        }
    }
    let indented = |line: &String| format!("{}{}", " ".repeat(INDENT), console.paint(tone, line));
    lines.iter().map(indented).collect()
}

/// What must not reach a terminal: it would move the cursor, turn a line around, or hide what is there. These are the
/// controls (C0, DEL, C1), the separators of lines and paragraphs, the marks of direction, and characters that nobody sees.
/// The joiners stay: scripts and emoji need them.
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Text from the network without what would control the terminal: a message must not move the cursor or hide another.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|character| if is_hidden(character) { ' ' } else { character })
        .collect()
}

/// JSON with the same characters as escapes, which mean the same to a program and nothing to a terminal.
pub(crate) fn escape_hidden(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if is_hidden(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// The same with its line breaks.
pub(crate) fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// The beginning of a text that fits into so many columns.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 0;
    for character in text.chars() {
        let next = used + character.width().unwrap_or(0);
        if next + 1 > width {
            break;
        }
        used = next;
        short.push(character);
    }
    short.push('…');
    short
}

/// A text in lines of at most so many columns, broken at blanks where there are any.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word.to_owned();
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        // A word that is longer than a line has to be broken somewhere.
        while word.width() > width {
            let mut used = 0;
            let fitting = word.char_indices().find(|(_, character)| {
                used += character.width().unwrap_or(0);
                used > width
            });
            let Some((end, _)) = fitting.filter(|(end, _)| *end > 0) else {
                break;
            };
            let rest = word.split_off(end);
            lines.push(std::mem::replace(&mut word, rest));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> Console {
        Console::plain(std::io::sink(), std::io::sink())
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new(&["from", "text"]);
        table.push(vec![
            (Tone::Plain, "東京".into()),
            (Tone::Plain, "日本語のメッセージ".into()),
        ]);
        table.push(vec![(Tone::Plain, "+15550100".into()), (Tone::Plain, "plain".into())]);
        assert_eq!(
            table.lines(&console().as_terminal(24, false)),
            ["from       text", "東京       日本語のメッ…", "+15550100  plain"]
        );
        assert_eq!(table.lines(&console())[1], "東京       日本語のメッセージ");
    }

    #[test]
    fn text_is_wrapped_at_blanks_and_long_words_where_the_line_ends() {
        for (text, width, expected) in [
            ("", 10, vec![""]),
            ("one two three", 20, vec!["one two three"]),
            ("one two three", 7, vec!["one two", "three"]),
            ("one 12345678901 two", 5, vec!["one", "12345", "67890", "1 two"]),
            ("日本語のメッセージ", 6, vec!["日本語", "のメッ", "セージ"]),
        ] {
            assert_eq!(wrap(text, width), expected, "{text:?}");
        }
        assert_eq!(wrap("日本", 1), ["日本"], "what no line can hold stays whole");
    }

    #[test]
    fn a_text_without_room_stands_below_its_row() {
        let mut table = Table::new(&["id", "", "parts", "text"])
            .with_room(20)
            .with_numbers(&[2]);
        for (parts, text) in [
            ("1", "short"),
            (
                "12",
                "one two three four five six seven eight nine ten eleven twelve thirteen",
            ),
        ] {
            let plain = |text: &str| (Tone::Plain, text.to_owned());
            table.push(vec![plain("0123"), plain(""), plain(parts), plain(text)]);
        }
        assert_eq!(
            table.lines(&console().as_terminal(24, false)),
            [
                "id    parts",
                "0123      1",
                "  short",
                "0123     12",
                "  one two three four",
                "  five six seven eight",
                "  nine ten eleven twel…",
            ]
        );
        assert_eq!(table.lines(&console().as_terminal(34, false))[1], "0123      1  short");
    }

    #[test]
    fn json_shows_a_terminal_nothing_hidden() {
        let text = "a\u{9b}2J\u{85}\u{7f}\u{61c}\u{2028}\u{200b}\u{feff}\u{e0041}é\u{200d}";
        let json = serde_json::Value::from(text).to_string();
        let escaped = escape_hidden(&json);
        assert!(!escaped.chars().any(is_hidden), "{escaped:?}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        assert!(!clean(text).chars().any(is_hidden));
    }

    #[test]
    fn a_message_cannot_control_the_terminal() {
        let mut table = Table::new(&["text"]);
        table.push(vec![(
            Tone::Bad,
            "\u{1b}[2Jgone\r\nnew line \u{202e}backwards\u{7}".into(),
        )]);
        let lines = table.lines(&console().as_terminal(80, true));
        assert_eq!(lines[1], "\u{1b}[31m [2Jgone  new line  backwards \u{1b}[0m");
    }
}

//! Columns of text: aligned by what a terminal shows, not by characters.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::console::{Console, Tone};

const GAP: usize = 2;
/// A last column that would be narrower than this is not shortened: it would tell nothing.
const NARROWEST: usize = 12;

/// A table whose last column takes what is left of the line.
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<(Tone, String)>>,
}

impl Table {
    pub(crate) fn new(heading: &[&'static str]) -> Self {
        Self {
            heading: heading.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, cells: Vec<(Tone, String)>) {
        self.rows
            .push(cells.into_iter().map(|(tone, text)| (tone, clean(&text))).collect());
    }

    /// The lines, the heading first.
    pub(crate) fn lines(&self, console: &Console) -> Vec<String> {
        let columns = self.heading.len();
        let width = |column: usize| {
            let cells = self
                .rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|(_, text)| text.width());
            cells.max().unwrap_or(0).max(self.heading[column].width())
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let before_last: usize = widths
            .iter()
            .take(columns.saturating_sub(1))
            .map(|width| width + GAP)
            .sum();
        let last = console
            .width
            .map(|total| total.saturating_sub(before_last).max(NARROWEST));
        let render = |cells: &mut dyn Iterator<Item = (Tone, &str)>| {
            let mut line = String::new();
            for (column, (tone, text)) in cells.enumerate() {
                if column + 1 == columns {
                    let text = last.map_or_else(|| text.to_owned(), |width| shorten(text, width));
                    line.push_str(&console.paint(tone, &text));
                } else {
                    line.push_str(&console.paint(tone, text));
                    line.push_str(&" ".repeat(widths[column] + GAP - text.width()));
                }
            }
            line.trim_end().to_owned()
        };
        let heading = render(&mut self.heading.iter().map(|text| (Tone::Heading, *text)));
        let rows = self
            .rows
            .iter()
            .map(|row| render(&mut row.iter().map(|(tone, text)| (*tone, text.as_str()))));
        std::iter::once(heading).chain(rows).collect()
    }
}

/// Text from the network without what would control the terminal: a message must not move the cursor or hide another.
pub(crate) fn clean(text: &str) -> String {
    let hidden = |character: char| {
        character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|character| if hidden(character) { ' ' } else { character })
        .collect()
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

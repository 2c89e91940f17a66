//! From bytes to lines and prompts.

/// What the framer found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A line that is not empty, without its separators.
    Line(String),
    /// `>` at the beginning of a line while the modem was asked for one (27.005 3.5.1).
    Prompt,
    /// A line that never ended within the limit: so many bytes were discarded.
    Overlong(usize),
}

/// Splits at any run of CR and LF, one byte at a time, so that the chunking of the reads cannot matter.
#[derive(Debug)]
pub(super) struct Framer {
    line: Vec<u8>,
    max_line_bytes: usize,
    /// Bytes of the current line that were thrown away because it is over the limit.
    discarded: usize,
}

impl Framer {
    pub(super) fn new(max_line_bytes: usize) -> Self {
        Self {
            line: Vec::new(),
            max_line_bytes,
            discarded: 0,
        }
    }

    /// Takes the next byte. Only the dialogue knows whether a prompt can come, so it says so with every byte.
    pub(super) fn push(&mut self, byte: u8, prompt_possible: bool) -> Option<Token> {
        match byte {
            b'\r' | b'\n' => self.end_of_line(),
            // The prompt has no line end. The space after it is skipped as the beginning of the next line.
            b'>' if prompt_possible && self.line.is_empty() && self.discarded == 0 => Some(Token::Prompt),
            b' ' if self.line.is_empty() => None,
            // NUL fills the line while a modem boots; an echoed payload carries its Ctrl-Z.
            0..=8 | 11..=31 | 127 => None,
            _ if self.discarded > 0 || self.line.len() >= self.max_line_bytes => {
                self.discarded += self.line.len() + 1;
                self.line.clear();
                None
            }
            _ => {
                self.line.push(byte);
                None
            }
        }
    }

    /// Forgets a line that has begun.
    pub(super) fn clear(&mut self) {
        self.line.clear();
        self.discarded = 0;
    }

    fn end_of_line(&mut self) -> Option<Token> {
        if self.discarded > 0 {
            let bytes = std::mem::take(&mut self.discarded);
            self.line.clear();
            return Some(Token::Overlong(bytes));
        }
        // Line noise decodes to U+FFFD; at the edges it must not hide the line between.
        let text = decoded(&self.line);
        let text = text.trim_matches(|c: char| c == char::REPLACEMENT_CHARACTER || c.is_whitespace());
        let token = (!text.is_empty()).then(|| Token::Line(text.to_owned()));
        self.line.clear();
        token
    }
}

/// UTF-8 as far as it goes. Other octets inside a string are Latin-1, in which some networks write names and texts; those
/// outside are noise.
fn decoded(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        let in_string = text.matches('"').count() % 2 == 1;
        text.extend(chunk.invalid().iter().map(|&octet| match octet {
            0xA0..=0xFF if in_string => char::from(octet),
            _ => char::REPLACEMENT_CHARACTER,
        }));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(bytes: &[u8], prompt_possible: bool) -> Vec<Token> {
        let mut framer = Framer::new(8);
        bytes
            .iter()
            .filter_map(|&byte| framer.push(byte, prompt_possible))
            .collect()
    }

    fn line(text: &str) -> Token {
        Token::Line(text.to_owned())
    }

    #[test]
    fn any_run_of_carriage_returns_and_line_feeds_separates_lines() {
        assert_eq!(tokens(b"\r\nOK\r\n", false), [line("OK")]);
        assert_eq!(tokens(b"\r\r\nRING\r\r\n\r\nOK\n", false), [line("RING"), line("OK")]);
        assert_eq!(tokens(b"AT\rOK\r", false), [line("AT"), line("OK")]);
    }

    #[test]
    fn a_prompt_is_seen_only_where_one_can_come() {
        assert_eq!(tokens(b"\r\n> \r\nOK\r\n", true), [Token::Prompt, line("OK")]);
        assert_eq!(tokens(b"a > b\r\n", true), [line("a > b")]);
        assert_eq!(tokens(b"> b\r\n", false), [line("> b")]);
    }

    #[test]
    fn noise_around_a_line_does_not_hide_it() {
        assert_eq!(tokens(b"\0\0\xFF\xFEOK\x1A\xFF\r\n", false), [line("OK")]);
        assert_eq!(tokens(b"A\xFFB\r\n", false), [line("A\u{FFFD}B")]);
    }

    #[test]
    fn octets_of_a_string_that_are_no_utf_8_are_latin_1() {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(tokens(b"\"T\xFCrk\"\r\n", false), [line("\"T\u{FC}rk\"")]);
        assert_eq!(tokens(b"\"12 \xA3\"\r\n", false), [line("\"12 \u{A3}\"")]);
        assert_eq!(
            tokens("\"T\u{FC}\"\r\n".as_bytes(), false),
            [line(&text(b"\"T\xC3\xBC\""))]
        );
    }

    #[test]
    fn a_line_over_the_limit_is_counted_and_the_next_one_is_read() {
        assert_eq!(
            tokens(b"12345678\r\n123456789\r\nOK\r\n", false),
            [line("12345678"), Token::Overlong(9), line("OK")]
        );
        assert_eq!(tokens(&[b'x'; 100_000], false), []);
    }
}

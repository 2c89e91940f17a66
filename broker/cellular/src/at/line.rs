//! The syntax of information text: a prefix, a colon, and arguments between commas (V.250 5.7.1, 27.007 4).
//!
//! Modems bend it: spaces come and go, strings lose their quotes or hold quotes themselves, lists nest in parentheses.
//! Nothing here fails; an argument that is not what it should be answers `None` when it is asked for its value.

use std::str::FromStr;

/// Splits `+CREG: 0,1` into `+CREG` and `0,1`. The space after the colon is optional; lines without a prefix answer `None`.
#[must_use]
pub fn split_prefix(line: &str) -> Option<(&str, &str)> {
    let (prefix, rest) = line.split_once(':')?;
    let prefix = prefix.trim_end();
    let starts_extended = prefix.starts_with(['+', '^', '*', '$', '%', '#']);
    let well_formed = prefix.len() > 1
        && prefix
            .chars()
            .skip(1)
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '-' | ' '));
    (starts_extended && well_formed).then(|| (prefix, rest.trim()))
}

/// The arguments of `line` if it carries `prefix` (given without the colon), in any letter case.
#[must_use]
pub fn arguments_after<'a>(line: &'a str, prefix: &str) -> Option<Arguments<'a>> {
    let (found, rest) = split_prefix(line)?;
    found.eq_ignore_ascii_case(prefix).then(|| Arguments::parse(rest))
}

/// One argument: what stood between two commas, without the spaces around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument<'a> {
    raw: &'a str,
}

impl<'a> Argument<'a> {
    /// As received, quotes and parentheses included.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.raw
    }

    /// The content without its quotes. A string that was never closed gives what there is.
    #[must_use]
    pub fn text(self) -> &'a str {
        match self.raw.strip_prefix('"') {
            Some(inner) => inner.strip_suffix('"').unwrap_or(inner),
            None => self.raw,
        }
    }

    /// True if the argument stood in quotes.
    #[must_use]
    pub fn is_quoted(self) -> bool {
        self.raw.starts_with('"')
    }

    /// True if nothing stood between the commas, or only a pair of quotes.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.text().is_empty()
    }

    /// The content, or `None` if it is empty.
    #[must_use]
    pub fn non_empty(self) -> Option<&'a str> {
        Some(self.text()).filter(|text| !text.is_empty())
    }

    /// A decimal number, quoted or not.
    #[must_use]
    pub fn number<T: FromStr>(self) -> Option<T> {
        self.text().trim().parse().ok()
    }

    /// A hexadecimal number, quoted or not, with or without `0x`. Location area and cell identities are written so even if
    /// every digit happens to be decimal (27.007 7.2).
    #[must_use]
    pub fn hexadecimal(self) -> Option<u64> {
        let text = self.text().trim();
        let digits = text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .unwrap_or(text);
        // `from_str_radix` would also take a sign.
        (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| u64::from_str_radix(digits, 16).ok())
            .flatten()
    }

    /// The arguments inside a pair of parentheses, or `None` if this is no group.
    #[must_use]
    pub fn group(self) -> Option<Arguments<'a>> {
        let inner = self.raw.strip_prefix('(')?;
        Some(Arguments::parse(inner.strip_suffix(')').unwrap_or(inner)))
    }

    /// The numbers that a test command lists: `(0-2,15)`, `(1)`, or a bare `3` or `0-2`. `None` if one of them is no number.
    /// A range is answered by its ends, so that a hostile `(0-4294967295)` costs nothing.
    #[must_use]
    pub fn ranges(self) -> Option<Vec<(u32, u32)>> {
        let parse = |item: Argument<'_>| {
            let text = item.text().trim();
            match text.split_once('-') {
                Some((low, high)) => Some((low.trim().parse().ok()?, high.trim().parse().ok()?)),
                None => text.parse().ok().map(|value| (value, value)),
            }
        };
        match self.group() {
            Some(items) => items.iter().filter(|item| !item.is_empty()).map(parse).collect(),
            None if self.is_empty() => Some(Vec::new()),
            None => parse(self).map(|range| vec![range]),
        }
    }

    /// The strings that a test command lists: `("ME","SM")`, or a bare `"ME"`.
    #[must_use]
    pub fn strings(self) -> Vec<String> {
        match self.group() {
            Some(items) => items
                .iter()
                .filter_map(Argument::non_empty)
                .map(str::to_owned)
                .collect(),
            None => self.non_empty().map(str::to_owned).into_iter().collect(),
        }
    }
}

/// The arguments of one line, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments<'a> {
    items: Vec<Argument<'a>>,
}

impl<'a> Arguments<'a> {
    /// Splits at commas that stand outside quotes and parentheses. Empty text has no arguments.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        if text.trim().is_empty() {
            return Self { items: Vec::new() };
        }
        let mut items = Vec::new();
        let mut start = 0;
        let mut scan = Scan::default();
        for (at, byte) in text.bytes().enumerate() {
            if scan.step(text, at, byte) == Position::Separator {
                items.push(Argument {
                    raw: text[start..at].trim(),
                });
                start = at + 1;
            }
        }
        items.push(Argument {
            raw: text[start..].trim(),
        });
        Self { items }
    }

    /// The argument at `position`; one that is missing reads as empty, because trailing optional arguments are left out.
    #[must_use]
    pub fn at(&self, position: usize) -> Argument<'a> {
        self.items.get(position).copied().unwrap_or(Argument { raw: "" })
    }

    /// How many arguments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All arguments in order.
    pub fn iter(&self) -> impl Iterator<Item = Argument<'a>> + '_ {
        self.items.iter().copied()
    }
}

/// True for a line that can be a PDU: hexadecimal digits only. Modems are known to lose the last digit, so their number may
/// be odd.
#[must_use]
pub fn is_hex(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|b| b.is_ascii_hexdigit())
}

#[derive(Debug, PartialEq, Eq)]
enum Position {
    Content,
    Separator,
}

#[derive(Default)]
struct Scan {
    in_string: bool,
    depth: usize,
}

impl Scan {
    fn step(&mut self, text: &str, at: usize, byte: u8) -> Position {
        match byte {
            b'"' if self.in_string => {
                // Operators and USSD texts hold quotes of their own, so a quote closes only where an argument can end.
                let next = text[at + 1..].trim_start().bytes().next();
                self.in_string = !matches!(next, None | Some(b',' | b')'));
            }
            b'"' => self.in_string = true,
            _ if self.in_string => {}
            b'(' => self.depth += 1,
            b')' => self.depth = self.depth.saturating_sub(1),
            b',' if self.depth == 0 => return Position::Separator,
            _ => {}
        }
        Position::Content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raws(text: &str) -> Vec<String> {
        Arguments::parse(text).iter().map(|a| a.raw().to_owned()).collect()
    }

    #[test]
    fn arguments_are_split_outside_quotes_and_parentheses() {
        for (text, expected) in [
            ("", vec![]),
            ("1", vec!["1"]),
            ("1,,", vec!["1", "", ""]),
            (" \"a,b\" , 2", vec!["\"a,b\"", "2"]),
            ("(1,(2,3)),4", vec!["(1,(2,3))", "4"]),
            ("\"a \"b\" c\",15", vec!["\"a \"b\" c\"", "15"]),
            ("\"never closed, 15", vec!["\"never closed, 15"]),
            ("1)),2", vec!["1))", "2"]),
        ] {
            assert_eq!(raws(text), expected, "{text}");
        }
    }

    #[test]
    fn values_are_read_with_and_without_quotes() {
        let arguments = Arguments::parse("\"00A1\", 0x2D18,+5,\"\",( 1 ),(0-2,15)");
        assert_eq!(arguments.at(0).hexadecimal(), Some(0xA1));
        assert_eq!(arguments.at(1).hexadecimal(), Some(0x2D18));
        assert_eq!(arguments.at(2).hexadecimal(), None);
        assert!(arguments.at(3).is_empty());
        assert_eq!(arguments.at(4).ranges(), Some(vec![(1, 1)]));
        assert_eq!(arguments.at(5).ranges(), Some(vec![(0, 2), (15, 15)]));
        assert!(arguments.at(9).is_empty());
    }

    #[test]
    fn prefixes_are_recognised_without_a_space_after_the_colon() {
        assert_eq!(split_prefix("+CPCMREG:1"), Some(("+CPCMREG", "1")));
        assert_eq!(split_prefix("+CPIN: READY"), Some(("+CPIN", "READY")));
        assert_eq!(split_prefix("VOICE CALL: BEGIN"), None);
        assert_eq!(split_prefix("11:01AM"), None);
    }
}

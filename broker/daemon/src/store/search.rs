//! Searching texts by their words.

use rusqlite::{Connection, params};

use super::StoreError;
use super::writer::Writing;

/// What a query asks for: words that the index has, and fragments that it cannot have.
pub(super) struct Wanted {
    /// An expression of FTS5; none if no word is asked for.
    pub(super) expression: Option<String>,
    /// Texts that have to occur anywhere.
    pub(super) fragments: Vec<String>,
}

impl Wanted {
    /// Each word has to be the beginning of a word of the text. What is not made of words (symbols, and scripts that put no
    /// spaces between them) has to occur in it as it is.
    pub(super) fn new(words: &[String]) -> Self {
        let (indexed, fragments): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| is_indexed(word));
        let phrases: Vec<String> = indexed
            .into_iter()
            .map(|word| format!("\"{}\"*", word.replace('"', "\"\"")))
            .collect();
        Self {
            expression: (!phrases.is_empty()).then(|| phrases.join(" ")),
            fragments: fragments.into_iter().cloned().collect(),
        }
    }
}

/// Whether the index can find a word: it has something that is part of a word, and all of that is in scripts with spaces.
fn is_indexed(word: &str) -> bool {
    word.chars().any(char::is_alphanumeric) && !word.chars().any(is_written_without_spaces)
}

/// Thai, Lao, Tibetan, Myanmar, Khmer, and the scripts of China, Japan and their neighbours.
const fn is_written_without_spaces(character: char) -> bool {
    matches!(
        character,
        '\u{0E00}'..='\u{0FFF}'
            | '\u{1000}'..='\u{109F}'
            | '\u{1780}'..='\u{17FF}'
            | '\u{2E80}'..='\u{A4CF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{FF66}'..='\u{FF9F}'
            | '\u{1B000}'..='\u{1B2FF}'
            | '\u{20000}'..='\u{3FFFF}'
    )
}

impl Writing<'_> {
    /// Makes the text of a message findable, in the place of what was there before.
    pub(super) fn index_text(&self, message_id: &str, text: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO message_text (rowid, text) SELECT number, ?2 FROM message WHERE id = ?1",
            )?
            .execute(params![message_id, text])?;
        Ok(())
    }
}

/// Forgets the words of a message that is about to be deleted.
pub(super) fn forget(connection: &Connection, number: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM message_text WHERE rowid = ?1")?
        .execute([number])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_looked_up_and_the_rest_is_looked_for() {
        for (words, expression, fragments) in [
            (&["code", "Grüße"][..], Some(r#""code"* "Grüße"*"#), &[][..]),
            (&["a\"b", "foo-bar"], Some(r#""a""b"* "foo-bar"*"#), &[]),
            (&["东京", "😀", "…", "42"], Some(r#""42"*"#), &["东京", "😀", "…"]),
            (&["カード", "กรุงเทพ"], None, &["カード", "กรุงเทพ"]),
            (&[], None, &[]),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let wanted = Wanted::new(&words);
            assert_eq!(wanted.expression.as_deref(), expression, "{words:?}");
            assert_eq!(wanted.fragments, fragments, "{words:?}");
        }
    }
}

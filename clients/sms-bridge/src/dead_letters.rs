//! What could not be forwarded, so that the rest could go on. Without numbers and texts: the messages are the broker's.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Entries that are kept; the oldest go.
const KEPT: usize = 200;

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeadLetter {
    /// When it was given up, RFC 3339.
    pub(crate) time: String,
    /// The event's position in the broker's journal.
    pub(crate) sequence: u64,
    /// The message, to be asked for at `/messages/{id}`; none when the event could not be read at all.
    pub(crate) message_id: Option<String>,
    /// Why.
    pub(crate) problem: String,
}

/// The last entries, in memory and, where a file was named, after a restart as well.
#[derive(Debug, Default)]
pub(crate) struct DeadLetters {
    entries: VecDeque<DeadLetter>,
    file: Option<PathBuf>,
}

impl DeadLetters {
    /// The list that a file holds. Lines that are not understood are left out: the list is for people, and no reason to stop.
    pub(crate) fn load(file: Option<&Path>) -> Self {
        let text = file
            .and_then(|file| std::fs::read_to_string(file).ok())
            .unwrap_or_default();
        let mut entries: VecDeque<DeadLetter> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        entries.drain(..entries.len().saturating_sub(KEPT));
        Self {
            entries,
            file: file.map(Path::to_owned),
        }
    }

    /// Adds an entry. A list that cannot be written is still shown until the end of the process.
    pub(crate) fn add(&mut self, sequence: u64, message_id: Option<String>, problem: String) {
        self.entries.push_back(DeadLetter {
            time: jiff::Timestamp::now().to_string(),
            sequence,
            message_id,
            problem,
        });
        self.entries.drain(..self.entries.len().saturating_sub(KEPT));
        if let Some(file) = &self.file
            && let Err(error) = self.write(file)
        {
            tracing::warn!(file = %file.display(), %error, "the list of dead letters was not written");
        }
    }

    fn write(&self, file: &Path) -> std::io::Result<()> {
        let unfinished = file.with_extension("new");
        let mut out = std::io::BufWriter::new(std::fs::File::create(&unfinished)?);
        for entry in &self.entries {
            serde_json::to_writer(&mut out, entry)?;
            out.write_all(b"\n")?;
        }
        out.into_inner()
            .map_err(std::io::IntoInnerError::into_error)?
            .sync_all()?;
        std::fs::rename(unfinished, file)
    }

    /// The entries, the oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &DeadLetter> {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_outlives_a_restart_and_stays_short() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("dead-letters.jsonl");
        let mut letters = DeadLetters::load(Some(&file));
        for sequence in 1..=KEPT as u64 + 5 {
            letters.add(sequence, Some(format!("m{sequence}")), "refused".to_owned());
        }
        let again = DeadLetters::load(Some(&file));
        let sequences: Vec<_> = again.entries().map(|entry| entry.sequence).collect();
        assert_eq!((sequences.len(), sequences[0]), (KEPT, 6));
        std::fs::write(&file, "{}\nnonsense\n").unwrap();
        assert_eq!(DeadLetters::load(Some(&file)).entries().count(), 0);
    }
}

//! Real PDUs, by their row in the crate `cellular`'s table of vectors (each row there names its source).

use anyhow::Context as _;

const TABLE: &str = include_str!("../../../../broker/cellular/tests/data/pdus.jsonl");

/// A PDU as a network delivered it.
#[derive(Debug, serde::Deserialize)]
pub struct Vector {
    row: u32,
    /// Hexadecimal, with the service centre in front.
    pub pdu: String,
    /// What its source says it means.
    pub text: Option<String>,
    /// Where it came from.
    pub from_or_to: Option<String>,
}

/// The vector of a row.
pub fn row(row: u32) -> anyhow::Result<Vector> {
    for line in TABLE.lines() {
        let vector: Vector = serde_json::from_str(line)?;
        if vector.row == row {
            return Ok(vector);
        }
    }
    None.with_context(|| format!("there is no row {row}"))
}

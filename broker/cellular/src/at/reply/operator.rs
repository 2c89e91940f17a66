//! Replies about operators (27.007 7.3).

use super::super::line::Arguments;
use super::network::AccessTechnology;
use super::{UnexpectedReply, last, rows};

/// `+COPS?` (27.007 7.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSelection {
    /// `<mode>`: 0 automatic, 1 manual, 2 deregistered, 4 manual then automatic.
    pub mode: u8,
    /// `<format>` of the name: 0 long, 1 short, 2 numeric.
    pub format: Option<u8>,
    /// `<oper>`; `None` while no operator is selected.
    pub operator: Option<String>,
    /// `<AcT>`
    pub access_technology: Option<AccessTechnology>,
}

/// `+COPS?`.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn operator_selection(lines: &[impl AsRef<str>]) -> Result<OperatorSelection, UnexpectedReply> {
    last(lines, "+COPS", |arguments| {
        Some(OperatorSelection {
            mode: arguments.at(0).number()?,
            format: arguments.at(1).number(),
            operator: arguments.at(2).non_empty().map(super::text::name),
            access_technology: AccessTechnology::read(arguments.at(3)),
        })
    })
}

/// `<stat>` of a found operator (27.007 7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorAvailability {
    /// 0
    Unknown,
    /// 1
    Available,
    /// 2
    Current,
    /// 3
    Forbidden,
}

/// One operator found by `+COPS=?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundOperator {
    /// `<stat>`
    pub availability: OperatorAvailability,
    /// The long name.
    pub long_name: Option<String>,
    /// The short name.
    pub short_name: Option<String>,
    /// The numeric name: MCC and MNC.
    pub plmn: String,
    /// `<AcT>`; GSM if it is left out.
    pub access_technology: Option<AccessTechnology>,
}

/// `+COPS=?` (27.007 7.3). An empty list is an answer: nothing was found.
///
/// # Errors
/// [`UnexpectedReply`] without the line.
pub fn operator_scan(lines: &[impl AsRef<str>]) -> Result<Vec<FoundOperator>, UnexpectedReply> {
    let mut seen = false;
    let mut operators = Vec::new();
    for line in lines {
        let Some(rest) = line.as_ref().trim().strip_prefix("+COPS:") else {
            continue;
        };
        seen = true;
        // The list ends at the empty argument before the supported modes and formats; those have no strings.
        operators.extend(groups(rest).filter_map(found_operator));
    }
    if seen {
        Ok(operators)
    } else {
        Err(UnexpectedReply { command: "+COPS" })
    }
}

/// What follows each `(` up to the next group. Real modems leave out commas between groups and put a field behind the
/// parenthesis that should have closed after it, and operators have parentheses in their names.
fn groups(text: &str) -> impl Iterator<Item = &str> {
    let mut starts = Vec::new();
    let mut in_string = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => in_string = !in_string,
            b'(' if !in_string => starts.push(at + 1),
            _ => {}
        }
    }
    let ends: Vec<usize> = starts
        .iter()
        .skip(1)
        .map(|start| start - 1)
        .chain([text.len()])
        .collect();
    starts.into_iter().zip(ends).map(move |(start, end)| &text[start..end])
}

fn found_operator(group: &str) -> Option<FoundOperator> {
    let mut fields = Vec::new();
    let mut rest = group;
    // Arguments by hand: here a `)` may end a field, because it can stand in the wrong place.
    loop {
        let trimmed = rest.trim_start();
        let (field, after) = match trimmed.strip_prefix('"') {
            Some(inner) => inner.split_once('"')?,
            None => trimmed.split_at(trimmed.find([',', ')']).unwrap_or(trimmed.len())),
        };
        fields.push(field.trim());
        match after.trim_start_matches([')', ' ']).strip_prefix(',') {
            Some(next) if fields.len() < 5 => rest = next,
            _ => break,
        }
    }
    let name = |position: usize| {
        let field: &str = fields.get(position)?;
        (!field.is_empty()).then(|| super::text::name(field))
    };
    Some(FoundOperator {
        availability: match fields.first()?.parse::<u8>().ok()? {
            0 => OperatorAvailability::Unknown,
            1 => OperatorAvailability::Available,
            2 => OperatorAvailability::Current,
            3 => OperatorAvailability::Forbidden,
            _ => return None,
        },
        long_name: name(1),
        short_name: name(2),
        plmn: name(3).filter(|plmn| plmn.len() >= 5 && plmn.bytes().all(|b| b.is_ascii_digit()))?,
        access_technology: match fields.get(4).filter(|act| !act.is_empty()) {
            Some(act) => act.parse().ok().and_then(AccessTechnology::from_number),
            None => Some(AccessTechnology::Gsm),
        },
    })
}

/// `+CPOL?` (27.007 7.19): the preferred operators of the SIM, as index and name.
#[must_use]
pub fn preferred_operators(lines: &[impl AsRef<str>]) -> Vec<(u16, String)> {
    let parse = |arguments: Arguments<'_>| {
        Some((
            arguments.at(0).number()?,
            super::text::name(arguments.at(2).non_empty()?),
        ))
    };
    rows(lines, "+CPOL").filter_map(parse).collect()
}

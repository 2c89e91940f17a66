//! Parameters that the module only has to remember: name, what `=?` shows (and so which values are accepted), first value.
//!
//! Commands with a behaviour of their own may still keep their parameter here.

use std::collections::BTreeMap;

use super::line::{Command, Form};
use super::reply::{Outcome, Reply};

struct Row {
    name: &'static str,
    /// Ranges as the test command shows them.
    values: &'static str,
    initial: &'static str,
}

const fn row(name: &'static str, values: &'static str, initial: &'static str) -> Row {
    Row { name, values, initial }
}

/// Defaults are those of the command manual V1.12 or of a real SIM7600G-H where they differ (`CMEE`, `CNMI`).
const TABLE: &[Row] = &[
    row("+AUTOCSQ", "(0,1),(0,1)", "0,0"),
    row("+CATR", "(0-7)", "0"),
    row("+CCWA", "(0-1)", "0"),
    row("+CECM", "(0-8)", "0"),
    row("+CGEREP", "(0,1,2),(0,1)", "0,0"),
    row("+CLIP", "(0-1)", "0"),
    row("+CNAP", "(0-1)", "0"),
    row("+CLCC", "(0-1)", "0"),
    row("+CLIR", "(0-2)", "0"),
    row("+CLVL", "(0-5)", "4"),
    row("+CMEE", "(0-2)", "2"),
    row("+CMGF", "(0,1)", "0"),
    row("+CMICGAIN", "(0-8)", "3"),
    row("+CMMS", "(0-2)", "0"),
    row("+CMVP", "(0-255)", "167"),
    row("+CNMI", "(0,1,2),(0,1,2,3),(0,2),(0,1,2),(0,1)", "2,1,0,0,0"),
    row("+CNMP", "(2,13,14,38,39,48,51,54)", "2"),
    row("+CNSMOD", "(0-1)", "0"),
    row("+COLP", "(0-1)", "0"),
    row("+COUTGAIN", "(0-8)", "8"),
    row("+CPCMBANDWIDTH", "(0-1),(0-1)", "0,1"),
    row("+CPCMFRM", "(0-1)", "0"),
    row("+CRC", "(0-1)", "0"),
    row("+CREG", "(0-2)", "0"),
    row("+CGREG", "(0-2)", "0"),
    row("+CEREG", "(0-2)", "0"),
    row("+CSCLK", "(0-1)", "0"),
    row("+CSDH", "(0-1)", "0"),
    row("+CSDVC", "(1,3)", "1"),
    row("+CSSN", "(0-1),(0-1)", "0,0"),
    row("+CSTA", "(129,145,161,177)", "129"),
    row("+CTZR", "(0-2)", "0"),
    row("+CTZU", "(0-1)", "0"),
    row("+CVHU", "(0-1)", "1"),
    row("+DDET", "(0-1)", "0"),
    row("+CGSMS", "(0-3)", "3"),
    row("+CMOD", "(0-1)", "0"),
    row("+CSDT", "(0-1)", "0"),
    row("+MORING", "(0-1)", "0"),
    row("+CSQDELTA", "(1-5)", "5"),
    row("+VTD", "(0-255)", "1"),
    row("+CR", "(0-1)", "0"),
    row("+CMER", "(0-3),(0),(0),(0,1),(0,1)", "0,0,0,0,0"),
    row("+CGPSNMEA", "(0-262143)", "200191"),
    row("+CGPSNMEARATE", "(0,1)", "0"),
    row("+CGPSAUTO", "(0,1)", "0"),
    row("+IFC", "(0,2),(0,2)", "0,0"),
    row("+IPR", "(0-3686400)", "115200"),
    row("+ICF", "(1-6),(0-3)", "3,3"),
    row("+CGPIAF", "(0,1),(0,1),(0,1),(0,1)", "0,0,0,0"),
    row("+CMUT", "(0-1)", "0"),
    row("+CPCMREG", "(0-1)", "0"),
];

/// The values of all parameters.
#[derive(Debug, Clone)]
pub(crate) struct Settings(BTreeMap<&'static str, Vec<String>>);

impl Settings {
    pub(crate) fn initial() -> Self {
        Self(
            TABLE
                .iter()
                .map(|row| (row.name, row.initial.split(',').map(str::to_owned).collect()))
                .collect(),
        )
    }

    /// One value of a parameter; zero for what is no number.
    pub(crate) fn number(&self, name: &str, position: usize) -> u32 {
        self.0
            .get(name)
            .and_then(|values| values.get(position))
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    }

    /// Whether the first value is one.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.number(name, 0) == 1
    }

    pub(crate) fn set(&mut self, name: &str, position: usize, value: u32) {
        if let Some(slot) = self.0.get_mut(name).and_then(|values| values.get_mut(position)) {
            *slot = value.to_string();
        }
    }

    pub(crate) fn line(&self, name: &str) -> String {
        format!(
            "{name}: {}",
            self.0.get(name).map(|values| values.join(",")).unwrap_or_default()
        )
    }

    /// Answers a command about a parameter that needs nothing but memory.
    pub(crate) fn execute(&mut self, command: &Command) -> Option<Outcome> {
        let row = TABLE.iter().find(|row| row.name == command.name)?;
        Some(match command.form {
            Form::Test => Reply::line(format!("{}: {}", row.name, row.values)).into(),
            Form::Read => Reply::line(self.line(row.name)).into(),
            // Several of these commands have an execute form that goes back to the default.
            Form::Execute => {
                self.0
                    .insert(row.name, row.initial.split(',').map(str::to_owned).collect());
                Reply::ok().into()
            }
            Form::Set if self.accept(row, &command.arguments) => Reply::ok().into(),
            Form::Set => Reply::error().into(),
        })
    }

    fn accept(&mut self, row: &Row, arguments: &[String]) -> bool {
        let groups: Vec<&str> = row.values.trim_matches(['(', ')']).split("),(").collect();
        let fits = arguments
            .iter()
            .zip(&groups)
            .all(|(value, group)| value.is_empty() || within(value, group));
        if arguments.len() > groups.len() || !fits {
            return false;
        }
        if let Some(values) = self.0.get_mut(row.name) {
            for (value, argument) in values.iter_mut().zip(arguments) {
                if !argument.is_empty() {
                    value.clone_from(argument);
                }
            }
        }
        true
    }
}

/// Whether a value lies in a group such as `0-5` or `2,13,38`.
fn within(value: &str, group: &str) -> bool {
    let Ok(number) = value.parse::<u32>() else { return false };
    group.split(',').any(|part| match part.split_once('-') {
        Some((low, high)) => {
            low.parse().is_ok_and(|low: u32| low <= number) && high.parse().is_ok_and(|high: u32| number <= high)
        }
        None => part.parse() == Ok(number),
    })
}

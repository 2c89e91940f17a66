/// The name of an enum's value as people read it: `label("MESSAGE_STATE_OUTCOME_UNKNOWN", "MESSAGE_STATE_")` is
/// `outcome-unknown`. A value that is not set is empty.
pub fn label(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix).unwrap_or(name) {
        "UNSPECIFIED" => String::new(),
        rest => rest.to_ascii_lowercase().replace('_', "-"),
    }
}

//! How telephone numbers are written in the country of a SIM.

use super::Plmn;

const TABLE: &str = include_str!("countries.tsv");

/// What is shorter is a short code of the network and not a subscriber's number, however it begins.
const SHORTEST_SUBSCRIBER: usize = 7;

/// A country's way of writing numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country {
    /// E.164 country code.
    code: &'static str,
    /// Before national numbers; empty where there is none.
    national_prefix: &'static str,
    /// Before international numbers.
    international_prefix: &'static str,
}

impl Country {
    /// The country of a subscriber, if the table has it.
    #[must_use]
    pub fn of_imsi(imsi: &str) -> Option<Self> {
        let home = Plmn::of_imsi(imsi, None)?;
        TABLE.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let mut fields = line.split('\t');
            let is_home = fields.next()?.split(',').any(|mcc| mcc == home.mcc());
            let mut field = || fields.next().map(|field| if field == "-" { "" } else { field });
            let country = Self {
                code: field()?,
                national_prefix: field()?,
                international_prefix: field()?,
            };
            is_home.then_some(country)
        })
    }

    /// The number in its international form, `+` first. One that is not a subscriber's, such as a short code or a name,
    /// stays as it is.
    #[must_use]
    pub fn international(&self, number: &str) -> String {
        let unchanged = || number.to_owned();
        if number.starts_with('+') || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return unchanged();
        }
        if let Some(rest) = number.strip_prefix(self.international_prefix)
            && rest.len() >= SHORTEST_SUBSCRIBER
        {
            return format!("+{rest}");
        }
        let national = match number.strip_prefix(self.national_prefix) {
            Some(national) => national,
            // North America writes its prefix or leaves it out.
            None if self.code == self.national_prefix => number,
            None => return unchanged(),
        };
        if national.len() < SHORTEST_SUBSCRIBER {
            return unchanged();
        }
        format!("+{}{national}", self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn national_and_international_forms_of_a_number_are_one() {
        for (imsi, number, expected) in [
            ("234150000000001", "07700900123", "+447700900123"),
            ("234150000000001", "00447700900123", "+447700900123"),
            ("234150000000001", "+447700900123", "+447700900123"),
            ("235150000000001", "07700900123", "+447700900123"),
            ("262020000000001", "01700000001", "+491700000001"),
            ("262020000000001", "1700000001", "1700000001"),
            ("262020000000001", "4636", "4636"),
            ("262020000000001", "0800", "0800"),
            ("262020000000001", "INFO", "INFO"),
            ("214070000000001", "600000001", "+34600000001"),
            ("222100000000001", "3330000001", "+393330000001"),
            ("216300000000001", "06301234567", "+36301234567"),
            ("310260000000001", "2015550123", "+12015550123"),
            ("310260000000001", "12015550123", "+12015550123"),
            ("310260000000001", "01144770090012", "+44770090012"),
            ("250010000000001", "89000000001", "+79000000001"),
            ("250010000000001", "810447700900123", "+447700900123"),
        ] {
            let country = Country::of_imsi(imsi).expect("the country is in the table");
            assert_eq!(country.international(number), expected, "{imsi} {number}");
        }
        for unknown in ["", "999990000000001", "001010000000001"] {
            assert_eq!(Country::of_imsi(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_table_is_well_formed_and_names_each_code_once() {
        let mut seen = Vec::new();
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            assert_eq!(fields.len(), 4, "{line}");
            assert!(fields[1].bytes().all(|byte| byte.is_ascii_digit()), "{line}");
            seen.extend(fields[0].split(','));
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}

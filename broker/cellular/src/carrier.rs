//! Which carrier issued a SIM, and which access points go with it.
//!
//! The home network is the beginning of the IMSI; how much of it is the MNC is told by EF_AD. Operators without a network of
//! their own share the code of their host and are told apart by the name (EF_SPN) or the group (EF_GID1) on the SIM. What
//! belongs to a carrier is in a table of this crate; [`provider_info`] reads a larger one.

mod country;
pub mod provider_info;
mod sim_file;

pub use country::Country;
pub use sim_file::{SimFile, alpha_identifier, group_identifier, mnc_length, service_provider_name};

use std::fmt;

/// The table: ten European countries.
const TABLE: &str = include_str!("carrier/carriers.tsv");

/// Countries whose networks have an MNC of three digits (ITU-T E.212 leaves it to each country). For SIMs without a readable
/// EF_AD only.
const THREE_DIGIT_MNC: [&str; 27] = [
    "302", "310", "311", "312", "313", "314", "315", "316", "330", "334", "338", "342", "344", "346", "348", "350",
    "352", "354", "356", "358", "360", "364", "365", "708", "722", "732", "750",
];

/// India writes most codes of 405 with two digits, and those of its newer licences with three (ITU-T E.212).
const INDIA_THREE_DIGIT_MNC: (&str, std::ops::RangeInclusive<u16>) = ("405", 750..=932);

/// The code of a network: three digits of MCC and two or three of MNC (23.003 clause 2.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plmn(String);

impl Plmn {
    /// Reads `26202` or `262-02`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = match text.split_once('-') {
            Some((mcc, mnc)) if mcc.len() == 3 => format!("{mcc}{mnc}"),
            Some(_) => return None,
            None => text.to_owned(),
        };
        let fits = matches!(digits.len(), 5 | 6) && digits.bytes().all(|byte| byte.is_ascii_digit());
        fits.then_some(Self(digits))
    }

    /// The home network of a subscriber. The length is that of EF_AD; without it that which is usual in the country.
    #[must_use]
    pub fn of_imsi(imsi: &str, mnc_length: Option<usize>) -> Option<Self> {
        let mcc = imsi.get(..3)?;
        let (india, newer) = INDIA_THREE_DIGIT_MNC;
        let is_newer = || {
            imsi.get(3..6)
                .and_then(|mnc| mnc.parse().ok())
                .is_some_and(|mnc| newer.contains(&mnc))
        };
        let has_three = THREE_DIGIT_MNC.contains(&mcc) || mcc == india && is_newer();
        let usual = if has_three { 3 } else { 2 };
        Self::parse(imsi.get(..3 + mnc_length.unwrap_or(usual))?)
    }

    /// Mobile country code.
    #[must_use]
    pub fn mcc(&self) -> &str {
        &self.0[..3]
    }

    /// Mobile network code, two or three digits.
    #[must_use]
    pub fn mnc(&self) -> &str {
        &self.0[3..]
    }

    /// Both, without a separator.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Plmn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What of a SIM tells operators apart that share a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// EF_SPN; empty when the SIM has none.
    pub service_provider_name: String,
    /// EF_GID1 in hexadecimal; empty when the SIM has none.
    pub group_identifier: String,
}

/// A carrier and its access points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carrier {
    /// Its name.
    pub name: String,
    /// Its country, as an English name.
    pub country: String,
    /// Access point for data.
    pub data_apn: String,
    /// User of the data access point; empty where it wants none.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Access point of the IMS.
    pub ims_apn: String,
}

/// The access point of the IMS where nobody names another (GSMA IR.88 clause 6.3.2).
pub const IMS_APN: &str = "ims";

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Networks, as `262-02` with commas between them.
    pub plmns: &'static str,
    /// Beginning of the service provider's name, in lower case; empty: no condition.
    pub spn: &'static str,
    /// Beginning of the group identifier, in hexadecimal; empty: no condition.
    pub gid1: &'static str,
    /// Name.
    pub name: &'static str,
    /// Country.
    pub country: &'static str,
    /// Access point for data.
    pub data_apn: &'static str,
    /// Its user.
    pub user: &'static str,
    /// Its password.
    pub password: &'static str,
    /// Access point of the IMS.
    pub ims_apn: &'static str,
    /// Where and why the row differs from the package.
    pub note: &'static str,
}

impl Row {
    fn parse(line: &'static str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next();
        Some(Self {
            plmns: next()?,
            spn: next()?,
            gid1: next()?,
            name: next()?,
            country: next()?,
            data_apn: next()?,
            user: next()?,
            password: next()?,
            ims_apn: next()?,
            note: next()?,
        })
    }

    /// Its networks.
    pub fn plmns(&self) -> impl Iterator<Item = Plmn> + use<> {
        self.plmns.split(',').filter_map(Plmn::parse)
    }

    /// Whether it is for some of the SIMs of a network only.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        !(self.spn.is_empty() && self.gid1.is_empty())
    }

    fn fits(&self, evidence: &Evidence) -> bool {
        let name = evidence.service_provider_name.to_lowercase();
        let group = evidence.group_identifier.to_ascii_uppercase();
        name.starts_with(self.spn) && group.starts_with(self.gid1)
    }

    fn carrier(&self) -> Carrier {
        Carrier {
            name: self.name.to_owned(),
            country: self.country.to_owned(),
            data_apn: self.data_apn.to_owned(),
            user: self.user.to_owned(),
            password: self.password.to_owned(),
            ims_apn: self.ims_apn.to_owned(),
        }
    }
}

/// All rows of the table.
pub fn rows() -> impl Iterator<Item = Row> {
    TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(Row::parse)
}

fn rows_of(plmn: &Plmn) -> impl Iterator<Item = Row> {
    rows().filter(move |row| row.plmns().any(|known| known == *plmn))
}

/// How many octets of EF_GID1 the table wants to see for a network.
#[must_use]
pub fn group_identifier_octets(plmn: &Plmn) -> usize {
    rows_of(plmn).map(|row| row.gid1.len() / 2).max().unwrap_or(0)
}

/// What the table knows of a SIM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// This SIM's operator.
    Operator(Carrier),
    /// The network's own operator; the SIM may be of another one that shares it.
    Network(Carrier),
}

/// Looks a SIM up in the table.
#[must_use]
pub fn built_in(plmn: &Plmn, evidence: &Evidence) -> Option<Known> {
    if let Some(row) = rows_of(plmn).find(|row| row.is_conditional() && row.fits(evidence)) {
        return Some(Known::Operator(row.carrier()));
    }
    let row = rows_of(plmn).find(|row| !row.is_conditional())?;
    let carrier = row.carrier();
    let name = &evidence.service_provider_name;
    Some(if name.is_empty() || names_alike(name, &carrier.name) {
        Known::Operator(carrier)
    } else {
        Known::Network(carrier)
    })
}

/// Whether two names of an operator mean the same one: `o2 - de` and `O2 Germany` begin alike.
pub(crate) fn names_alike(one: &str, other: &str) -> bool {
    let first = |name: &str| {
        let words = name.split(|c: char| !c.is_alphanumeric());
        words.map(str::to_lowercase).find(|word| !word.is_empty())
    };
    match (first(one), first(other)) {
        (Some(one), Some(other)) => {
            one == other || (one.len().min(other.len()) > 3 && (one.starts_with(&other) || other.starts_with(&one)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_does_not_tell_the_length_of_its_network_code_has_the_usual_one() {
        for (imsi, expected) in [
            ("405854000000001", "405854"),
            ("405801000000001", "405801"),
            ("405052000000001", "40505"),
            ("404450000000001", "40445"),
            ("454000000000001", "45400"),
            ("310260000000001", "310260"),
            ("262020000000001", "26202"),
        ] {
            assert_eq!(Plmn::of_imsi(imsi, None), Plmn::parse(expected), "{imsi}");
        }
    }

    fn plmn(text: &str) -> Plmn {
        Plmn::parse(text).expect("a network code")
    }

    fn evidence(spn: &str, gid1: &str) -> Evidence {
        Evidence {
            service_provider_name: spn.to_owned(),
            group_identifier: gid1.to_owned(),
        }
    }

    #[test]
    fn the_home_network_is_as_long_as_ef_ad_says_and_otherwise_as_is_usual() {
        for (imsi, length, expected) in [
            ("262021234567890", Some(2), Some("26202")),
            ("262021234567890", None, Some("26202")),
            ("310410123456789", None, Some("310410")),
            ("310410123456789", Some(2), Some("31041")),
            // India has both.
            ("405840123456789", Some(3), Some("405840")),
            ("26202", None, Some("26202")),
            ("2620", None, None),
            ("26x021234567890", None, None),
        ] {
            let found = Plmn::of_imsi(imsi, length);
            assert_eq!(found.as_ref().map(Plmn::as_str), expected, "{imsi} {length:?}");
        }
    }

    #[test]
    fn operators_that_share_a_network_are_told_apart() {
        for (code, spn, gid1, expected) in [
            ("23410", "", "", "O2 UK"),
            ("23410", "giffgaff", "", "giffgaff"),
            ("23410", "GiffGaff", "", "giffgaff"),
            ("23410", "Tesco", "0A", "Tesco Mobile UK"),
            ("23410", "", "0A", "O2 UK"),
            ("24601", "", "", "Telia Lietuva"),
            ("24602", "", "", "Bite Lietuva"),
            ("24603", "", "", "Tele2 Lietuva"),
            ("26203", "ALDI TALK", "", "ALDI TALK"),
            ("21403", "JAZZTEL", "", "Jazztel"),
        ] {
            match built_in(&plmn(code), &evidence(spn, gid1)) {
                Some(Known::Operator(carrier)) => assert_eq!(carrier.name, expected, "{code} {spn} {gid1}"),
                other => panic!("{code} {spn} {gid1}: {other:?}"),
            }
        }
        assert_eq!(built_in(&plmn("00101"), &Evidence::default()), None);
    }

    #[test]
    fn a_name_that_the_table_does_not_know_is_perhaps_of_another_operator() {
        let known = built_in(&plmn("26202"), &evidence("Otelo", ""));
        assert!(matches!(&known, Some(Known::Network(carrier)) if carrier.name == "Vodafone Germany"));
        let known = built_in(&plmn("26202"), &evidence("Vodafone.de", ""));
        assert!(matches!(known, Some(Known::Operator(_))), "{known:?}");
    }

    #[test]
    fn only_as_much_of_the_group_is_wanted_as_the_table_asks_for() {
        // No group identifier of an operator of the ten countries is published.
        assert_eq!(group_identifier_octets(&plmn("23410")), 0);
        let row = Row::parse("234-10\t\t0AFF\tName\tCountry\tapn\t\t\tims\t").expect("all ten fields");
        assert!(row.is_conditional());
        for (gid1, fits) in [("0AFF", true), ("0aff01", true), ("0A", false), ("", false)] {
            assert_eq!(row.fits(&evidence("any name", gid1)), fits, "{gid1}");
        }
    }
}

//! The table of carriers against the package that it was checked with: an extract that is checked in, and the package itself
//! where it is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::path::Path;

use cellular::carrier::provider_info::{AccessPoint, Provider, each_provider};
use cellular::carrier::{self, Plmn};

const EXTRACT: &[u8] = include_bytes!("data/serviceproviders.xml");
const INSTALLED: &str = "/usr/share/mobile-broadband-provider-info/serviceproviders.xml";

const COUNTRIES: [&str; 10] = [
    "United Kingdom",
    "Lithuania",
    "Germany",
    "Poland",
    "Latvia",
    "Estonia",
    "France",
    "Spain",
    "Italy",
    "Netherlands",
];

fn access_points(providers: &[Provider]) -> BTreeMap<Plmn, Vec<AccessPoint>> {
    let mut known: BTreeMap<Plmn, Vec<AccessPoint>> = BTreeMap::new();
    for provider in providers {
        for network in &provider.networks {
            known
                .entry(network.clone())
                .or_default()
                .extend(provider.access_points.iter().cloned());
        }
    }
    known
}

fn deviations(providers: &[Provider]) -> Vec<String> {
    let known = access_points(providers);
    let mut found = Vec::new();
    for row in carrier::rows() {
        for plmn in row.plmns() {
            let same = |access_point: &AccessPoint| {
                (row.data_apn, row.user, row.password)
                    == (&*access_point.apn, &*access_point.user, &*access_point.password)
            };
            if !known.get(&plmn).is_some_and(|points| points.iter().any(same)) {
                found.push(format!("{plmn} {}", row.name));
                assert!(
                    !row.note.is_empty(),
                    "{plmn} {} differs from the package and does not say why",
                    row.name
                );
            }
        }
    }
    found
}

fn read(database: impl std::io::BufRead) -> Vec<Provider> {
    let mut providers = Vec::new();
    each_provider(database, |provider| providers.push(provider.clone())).expect("a database");
    providers
}

#[test]
fn every_row_is_that_of_the_package_or_says_why_not() {
    let deviations = deviations(&read(EXTRACT));
    assert_eq!(
        deviations,
        [
            "26203 O2 Germany (E-Plus)",
            "26205 O2 Germany (E-Plus)",
            "26277 O2 Germany (E-Plus)",
            "21403 Jazztel"
        ]
    );
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the package is a file of the machine that the test runs on"
)]
fn the_installed_package_says_the_same() {
    if !Path::new(INSTALLED).exists() {
        return;
    }
    let file = std::fs::File::open(INSTALLED).expect("the package is readable");
    let providers = read(BufReader::new(file));
    assert!(providers.len() > 500, "worldwide: {}", providers.len());
    // A newer package may know more; what the extract has is what the rows were checked against.
    deviations(&providers);
}

#[test]
fn the_table_covers_ten_countries_with_more_than_forty_carriers() {
    let rows: Vec<_> = carrier::rows().collect();
    let countries: BTreeSet<_> = rows.iter().map(|row| row.country).collect();
    assert_eq!(countries, COUNTRIES.into_iter().collect());
    let networks: BTreeSet<_> = rows
        .iter()
        .filter(|row| !row.is_conditional())
        .map(|row| row.name)
        .collect();
    assert!(networks.len() >= 40, "{}", networks.len());
    let mut seen = BTreeSet::new();
    for row in &rows {
        assert_eq!(row.plmns().count(), row.plmns.split(',').count(), "{}", row.plmns);
        assert!(
            !row.name.is_empty() && !row.data_apn.is_empty() && row.ims_apn == "ims",
            "{row:?}"
        );
        assert_eq!(row.spn, row.spn.to_lowercase(), "{row:?}");
        for plmn in row.plmns() {
            assert!(
                seen.insert((plmn.clone(), row.spn, row.gid1)),
                "{plmn} {} twice",
                row.spn
            );
            if row.is_conditional() {
                let host = rows
                    .iter()
                    .any(|other| !other.is_conditional() && other.plmns().any(|one| one == plmn));
                assert!(host, "{} shares a network that the table does not have", row.name);
            }
        }
    }
}

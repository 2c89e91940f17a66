//! The database of the package mobile-broadband-provider-info, `serviceproviders.xml`: worldwide, in the public domain.
//!
//! It is read from front to back and nothing of it is kept but the answer.

use std::io::BufRead;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::{Carrier, IMS_APN, Plmn, names_alike};

/// Elements inside each other that are still followed; the database has seven.
const DEPTH_LIMIT: usize = 32;

/// Why the database could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProviderInfoError {
    /// It is not the XML that it should be, or reading failed.
    #[error("not readable as XML")]
    Xml(#[from] quick_xml::Error),
    /// Elements are nested deeper than in any known version.
    #[error("nested too deeply")]
    Depth,
}

/// Looks a network up. With a service provider's name a provider that is called alike; otherwise, if `or_first`, the one
/// that is marked as the network's own, or the first.
///
/// # Errors
/// [`ProviderInfoError`] for a damaged file.
pub fn look_up(
    database: impl BufRead,
    plmn: &Plmn,
    service_provider_name: &str,
    or_first: bool,
) -> Result<Option<Carrier>, ProviderInfoError> {
    let mut found: Option<Candidate> = None;
    each_provider(database, |provider| {
        if !provider.networks.contains(plmn) || provider.access_points.is_empty() {
            return;
        }
        let named = !service_provider_name.is_empty() && names_alike(service_provider_name, &provider.name);
        let rank = match (named, provider.primary) {
            (true, _) => 3,
            (false, true) => 2,
            (false, false) => 1,
        };
        if (named || or_first) && found.as_ref().is_none_or(|best| rank > best.rank) {
            found = Some(Candidate {
                rank,
                carrier: provider.carrier(),
            });
        }
    })?;
    Ok(found.map(|candidate| candidate.carrier))
}

struct Candidate {
    rank: u8,
    carrier: Carrier,
}

/// An access point for internet access.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessPoint {
    /// Its name.
    pub apn: String,
    /// Its user.
    pub user: String,
    /// Its password.
    pub password: String,
    internet: bool,
    has_usage: bool,
}

/// A provider of GSM and its successors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider {
    /// Name of the country.
    pub country: String,
    /// Its own name.
    pub name: String,
    /// It owns the network; others with the same code use it.
    pub primary: bool,
    /// Its networks.
    pub networks: Vec<Plmn>,
    /// Its access points for internet access.
    pub access_points: Vec<AccessPoint>,
}

impl Provider {
    fn carrier(&self) -> Carrier {
        let first = self.access_points.first().cloned().unwrap_or_default();
        Carrier {
            name: self.name.clone(),
            country: self.country.clone(),
            data_apn: first.apn,
            user: first.user,
            password: first.password,
            ims_apn: IMS_APN.to_owned(),
        }
    }
}

/// Shows every provider to `visit`.
///
/// # Errors
/// [`ProviderInfoError`] for a damaged file.
pub fn each_provider(database: impl BufRead, mut visit: impl FnMut(&Provider)) -> Result<(), ProviderInfoError> {
    let mut reader = Reader::from_reader(database);
    let mut buffer = Vec::new();
    let mut path: Vec<Vec<u8>> = Vec::new();
    let mut state = State::default();
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer)? {
            Event::Start(element) => {
                if path.len() >= DEPTH_LIMIT {
                    return Err(ProviderInfoError::Depth);
                }
                path.push(element.name().as_ref().to_vec());
                state.begin(&path, &element);
            }
            Event::Empty(element) => {
                path.push(element.name().as_ref().to_vec());
                state.begin(&path, &element);
                state.end(&path, &mut visit);
                path.pop();
            }
            Event::Text(text) => state.text.push_str(&String::from_utf8_lossy(&text)),
            Event::GeneralRef(reference) => state.reference(&reference),
            Event::End(_) => {
                state.end(&path, &mut visit);
                path.pop();
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

#[derive(Default)]
struct State {
    text: String,
    country: String,
    provider: Provider,
    access_point: AccessPoint,
}

impl State {
    fn begin(&mut self, path: &[Vec<u8>], element: &BytesStart<'_>) {
        self.text.clear();
        match tail(path) {
            [_, b"country"] => self.country.clear(),
            [b"country", b"provider"] => {
                self.provider = Provider {
                    primary: attribute(element, "primary").as_deref() == Some("true"),
                    ..Provider::default()
                };
            }
            [b"gsm", b"network-id"] => {
                let code = (attribute(element, "mcc"), attribute(element, "mnc"));
                if let (Some(mcc), Some(mnc)) = code {
                    self.provider.networks.extend(Plmn::parse(&format!("{mcc}-{mnc}")));
                }
            }
            [b"gsm", b"apn"] => {
                self.access_point = AccessPoint {
                    apn: attribute(element, "value").unwrap_or_default(),
                    ..AccessPoint::default()
                };
            }
            [b"apn", b"usage"] => {
                self.access_point.has_usage = true;
                self.access_point.internet |= attribute(element, "type").as_deref() == Some("internet");
            }
            _ => {}
        }
    }

    fn end(&mut self, path: &[Vec<u8>], visit: &mut impl FnMut(&Provider)) {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        match tail(path) {
            // Names may be repeated in other languages; the first is in English.
            [b"country", b"name"] if self.country.is_empty() => self.country = text,
            [b"provider", b"name"] if self.provider.name.is_empty() => self.provider.name = text,
            [b"apn", b"username"] => self.access_point.user = text,
            [b"apn", b"password"] => self.access_point.password = text,
            [b"gsm", b"apn"] => {
                let access_point = std::mem::take(&mut self.access_point);
                if (access_point.internet || !access_point.has_usage) && !access_point.apn.is_empty() {
                    self.provider.access_points.push(access_point);
                }
            }
            [b"country", b"provider"] => {
                self.provider.country.clone_from(&self.country);
                visit(&self.provider);
            }
            _ => {}
        }
    }

    fn reference(&mut self, name: &[u8]) {
        let number = |digits: &[u8], radix| {
            let digits = std::str::from_utf8(digits).ok()?;
            u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)
        };
        let character = match name {
            b"amp" => Some('&'),
            b"lt" => Some('<'),
            b"gt" => Some('>'),
            b"quot" => Some('"'),
            b"apos" => Some('\''),
            [b'#', b'x', digits @ ..] => number(digits, 16),
            [b'#', digits @ ..] => number(digits, 10),
            _ => None,
        };
        self.text.extend(character);
    }
}

/// The last two elements of a path.
fn tail(path: &[Vec<u8>]) -> [&[u8]; 2] {
    match path {
        [.., parent, own] => [parent, own],
        [own] => [b"", own],
        [] => [b"", b""],
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok().flatten()?;
    Some(attribute.unescape_value().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: &str = r#"<?xml version="1.0"?>
<!DOCTYPE serviceproviders SYSTEM "serviceproviders.2.dtd">
<serviceproviders format="2.0">
<country code="xx">
  <name>Testland</name><name xml:lang="de">Testenland</name>
  <provider>
    <name>Guest &amp; Co</name>
    <gsm><network-id mcc="001" mnc="01"/>
      <apn value="mms"><usage type="mms"/></apn>
      <apn value="guest&amp;co"><usage type="internet"/><username>g</username><password>p&#x31;</password></apn></gsm>
  </provider>
  <provider primary="true">
    <name>Host</name>
    <gsm><network-id mcc="001" mnc="01"/><network-id mcc="001" mnc="001"/><apn value="host"/></gsm>
  </provider>
  <provider><name>Without access</name><gsm><network-id mcc="001" mnc="01"/></gsm></provider>
</country>
</serviceproviders>"#;

    fn find(code: &str, spn: &str, or_first: bool) -> Option<Carrier> {
        let plmn = Plmn::parse(code).expect("a network code");
        look_up(DATABASE.as_bytes(), &plmn, spn, or_first).expect("a database")
    }

    #[test]
    fn the_owner_of_the_network_is_found_unless_the_sim_names_a_guest() {
        let host = find("00101", "", true).expect("the host");
        assert_eq!(
            (
                host.name.as_str(),
                host.country.as_str(),
                host.data_apn.as_str(),
                host.ims_apn.as_str()
            ),
            ("Host", "Testland", "host", "ims")
        );
        let guest = find("00101", "GUEST mobile", true).expect("the guest");
        assert_eq!(
            (
                guest.name.as_str(),
                guest.data_apn.as_str(),
                guest.user.as_str(),
                guest.password.as_str()
            ),
            ("Guest & Co", "guest&co", "g", "p1")
        );
        assert_eq!(find("00101", "Stranger", false), None);
        assert_eq!(
            find("001001", "", true).map(|carrier| carrier.name).as_deref(),
            Some("Host")
        );
        assert_eq!(find("00102", "", true), None);
    }

    #[test]
    fn a_damaged_database_is_an_error_and_never_a_panic() {
        let plmn = Plmn::parse("00101").expect("a network code");
        assert!(look_up(&b"<a></b>"[..], &plmn, "", true).is_err());
        assert!(look_up("<a>".repeat(100).as_bytes(), &plmn, "", true).is_err());
        for end in 0..DATABASE.len() {
            let _ = look_up(&DATABASE.as_bytes()[..end], &plmn, "", true);
        }
    }
}

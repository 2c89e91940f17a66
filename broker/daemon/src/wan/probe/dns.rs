//! As much of DNS (RFC 1035) as a probe needs: one question, and the addresses in the answer.

use std::net::{IpAddr, SocketAddr};

use super::udp;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
const HEADER: usize = 12;

/// No answer over UDP without EDNS is longer.
const ANSWER_MAX: usize = 512;

/// Asks a name server through an interface. An answer that the name does not exist is an answer as well.
pub(super) async fn ask(interface: &str, server: SocketAddr, name: &str, is_v6: bool) -> Result<Vec<IpAddr>, String> {
    let id = (uuid::Uuid::new_v4().as_u128() & 0xFFFF) as u16;
    let query = question(id, name, is_v6);
    let exchange = async {
        let socket = udp(interface, server).await?;
        socket.send(&query).await?;
        let mut buffer = [0; ANSWER_MAX];
        loop {
            let count = socket.recv(&mut buffer).await?;
            if let Some(answer) = read(id, &buffer[..count]) {
                return Ok::<_, std::io::Error>(answer);
            }
        }
    };
    exchange.await.map_err(|error| error.to_string())?
}

fn question(id: u16, name: &str, is_v6: bool) -> Vec<u8> {
    let mut octets = id.to_be_bytes().to_vec();
    // A standard query, recursion desired, one question.
    octets.extend([0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        octets.push(label.len() as u8);
        octets.extend(label);
    }
    octets.push(0);
    octets.extend(if is_v6 { TYPE_AAAA } else { TYPE_A }.to_be_bytes());
    octets.extend(CLASS_IN.to_be_bytes());
    octets
}

/// Reads an answer; `None` for what is no answer to this query.
fn read(id: u16, octets: &[u8]) -> Option<Result<Vec<IpAddr>, String>> {
    let header = octets.first_chunk::<HEADER>()?;
    let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    if number(0) != id || header[2] & 0x80 == 0 {
        return None;
    }
    match header[3] & 0x0F {
        0 => {}
        // NXDOMAIN
        3 => return Some(Ok(Vec::new())),
        2 => return Some(Err("the name server failed (SERVFAIL)".to_owned())),
        5 => return Some(Err("the name server refused".to_owned())),
        code => return Some(Err(format!("the name server answered with code {code}"))),
    }
    let mut rest = &octets[HEADER..];
    for _ in 0..number(4) {
        rest = after_name(rest).and_then(|rest| rest.get(4..)).unwrap_or_default();
    }
    let mut addresses = Vec::new();
    for _ in 0..number(6) {
        let Some((address, after)) = record(rest) else { break };
        addresses.extend(address);
        rest = after;
    }
    Some(Ok(addresses))
}

/// The address of a record, if it is one, and what follows it.
fn record(octets: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let rest = after_name(octets)?;
    let fixed = rest.first_chunk::<10>()?;
    let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
    let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    let value = rest.get(10..10 + length)?;
    let address = match kind {
        TYPE_A => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        TYPE_AAAA => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    };
    Some((address, &rest[10 + length..]))
}

fn after_name(mut octets: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, rest) = octets.split_first()?;
        match length {
            0 => return Some(rest),
            // A pointer ends a name (RFC 1035 4.1.4).
            0xC0.. => return rest.get(1..),
            length => octets = rest.get(usize::from(length)..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_a_failure_and_from_what_is_none() {
        let query = question(0x1234, "example.org", false);
        assert_eq!(query[12..25], *b"\x07example\x03org\0");
        let answer = |flags: [u8; 2], records: &[u8], count: u8| {
            let mut octets = query.clone();
            (octets[2], octets[3], octets[7]) = (flags[0], flags[1], count);
            octets.extend(records);
            octets
        };
        // A pointer to the name, type, class, time to live, length, address.
        let a = b"\xC0\x0C\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x01";
        let alias = b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x02\xC0\x0C";
        let both = [&alias[..], &a[..]].concat();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        for (octets, expected) in [
            (answer([0x81, 0x80], a, 1), Some(Ok(vec![address]))),
            (answer([0x81, 0x80], &both, 2), Some(Ok(vec![address]))),
            (answer([0x81, 0x83], &[], 0), Some(Ok(vec![]))),
            (answer([0x81, 0x80], &a[..9], 1), Some(Ok(vec![]))),
            (query.clone(), None),
            (b"\x12\x34".to_vec(), None),
            (
                answer([0x81, 0x82], &[], 0),
                Some(Err("the name server failed (SERVFAIL)".to_owned())),
            ),
        ] {
            assert_eq!(read(0x1234, &octets), expected, "{octets:x?}");
        }
        assert_eq!(
            read(0x4321, &answer([0x81, 0x80], a, 1)),
            None,
            "the answer to another query"
        );
        for length in 0..both.len() {
            let _ = read(0x1234, &answer([0x81, 0x80], &both[..length], 200));
        }
    }
}
